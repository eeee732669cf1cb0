"""An exported `.onnx` file, run by onnxruntime: no torch is needed, nor loaded."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import InputError
from model.decode import Floats
from model.pictures import Pixels
from model.ready import Ready, seen_faces, unseal
from model.threads import cores

EXTRA = 'pip install "faceaudit[onnx]"'
Batch = npt.NDArray[np.float32]


def open_onnx(path: Path, *, threads: int | None) -> Ready:
    """The model in `path`, its bytes checked against their seal before it reads a face.

    Raises InputError: no such file, no onnxruntime, no whole ONNX model, or none of ours.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; `faceaudit export RUN --to {path.name}` makes one")
    data = path.read_bytes()
    session = onnx_session(data, source=path, threads=threads)
    about = unseal(session.get_modelmeta().custom_metadata_map, data, source=path)

    def score(pictures: Pixels) -> tuple[Floats, Floats]:
        return score_onnx(session, pictures, mean=about["mean"], std=about["std"])

    return Ready(about, seen_faces(about), score)


def onnx_session(data: bytes, *, source: Path, threads: int | None) -> Any:
    """An onnxruntime session on the CPU for the model in `data`. InputError names `source`.

    Weights that a model keeps in other files are not read: it could name any file below the folder
    one works in, and its readings would tell what stands there.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise InputError(f"{source}: a .onnx model needs onnxruntime: {EXTRA}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or cores()
    options.log_severity_level = 4  # what it would print is in the exception
    # Threads that wait in a busy loop would take the cores from those that decode pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with TemporaryDirectory() as empty:
        options.add_session_config_entry(_WEIGHTS_BESIDE, empty)
        try:
            return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            if "external" in str(error).lower():
                raise InputError(
                    f"{source} keeps its weights in other files; save it as one file "
                    "(onnx.save_model of onnx.load)"
                ) from error
            raise InputError(f"{source} {_refusal(str(error), onnxruntime.__version__)}") from error


def _refusal(said: str, version: str) -> str:
    """What onnxruntime refuses a model for; the reason stands last, behind places in its source."""
    if "INVALID_PROTOBUF" in said or "No graph" in said:
        return "is cut or no ONNX model; export it again"
    words = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(said.split()))
    tail = words if len(words) <= _MOST_WORDS else f"... {words[-_MOST_WORDS:]}"
    return f"cannot be run by onnxruntime {version} ({tail})"


_MOST_WORDS = 160  # characters
_WEIGHTS_BESIDE = "session.model_external_initializers_file_folder_path"


def score_onnx(
    session: Any, pictures: Pixels, *, mean: list[float], std: list[float]
) -> tuple[Floats, Floats]:
    """`model.evaluate.score` with mirror images, by onnxruntime and numpy."""
    x = to_input(pictures, mean=mean, std=std)
    ages, genders = [], []
    for view in (x, np.ascontiguousarray(x[:, :, :, ::-1])):
        age, gender = session.run(["age", "gender"], {"pictures": view})
        ages.append(softmax(age) if age.ndim == 2 else age)
        genders.append(sigmoid(gender))
    return (ages[0] + ages[1]) / 2, (genders[0] + genders[1]) / 2


def to_input(pictures: Pixels, *, mean: list[float], std: list[float]) -> Batch:
    """uint8 [N, S, S, 3] -> normalised float32 [N, 3, S, S], as `model.augment.to_input` does."""
    m, s = (np.array(part, dtype=np.float32).reshape(1, 3, 1, 1) for part in (mean, std))
    scaled: Batch = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), dtype=np.float32)
    scaled *= 1 / (255 * s)
    scaled -= m / s
    return scaled


def softmax(logits: Floats) -> Floats:
    """Shares [N, K] that sum to 1 of logits [N, K], in their own precision."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def sigmoid(logits: Floats) -> Floats:
    """Probabilities of logits, in their own precision; beyond ±80 there is nothing to gain."""
    probabilities: Floats = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
    return probabilities
