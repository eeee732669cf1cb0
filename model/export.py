"""A finished training becomes one file: `.onnx` for onnxruntime, `.pt2` for PyTorch.

Both hold the network (pictures in, logits out, any number of faces at once) and what
`model.ready.about_model` says of it. Nothing is written unless the file, read back, gives what
PyTorch gives.
"""

import importlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from audit.errors import InputError
from audit.files import write_atomic
from model.carried_map import carried_by_run
from model.decode import OLDEST, Floats, mean_age
from model.material import read_split
from model.pictures import Pixels
from model.ready import about_model, seal
from model.ready_onnx import EXTRA, Batch, onnx_session, sigmoid, softmax, to_input
from model.run_folder import Run, load_run

if TYPE_CHECKING:
    from onnx import ModelProto

LIMIT = 1e-4  # largest difference: of a share, of P(female), of an age in years
FACES = (1, 2, 7, 32)  # a graph that kept the number of faces it was traced with fails at others
SUFFIXES = (".onnx", ".pt2")
Outputs: TypeAlias = tuple[Floats, Floats]


@dataclass(frozen=True)
class Exported:
    """The file at `path`; `difference` is its largest one from PyTorch over `faces` pictures."""

    path: Path
    difference: float
    faces: int


def export(run: Path, *, to: Path) -> Exported:
    """Write the finished training in folder `run` to the file `to` (.onnx or .pt2), atomically.

    The file computes in float32, also where the run predicts in bfloat16.

    Raises InputError: another suffix, a wrong or damaged run, a missing package, or outputs that
    are further than LIMIT from PyTorch's on random pictures.
    """
    suffix = to.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"--to {to}: must end in {' or '.join(SUFFIXES)}")
    if suffix == ".onnx":
        _require_onnx()
    loaded = load_run(run)
    about = about_model(loaded.config, read_split(run, loaded.config), carried_by_run(run))
    program = _traced(loaded)
    if suffix == ".onnx":
        data = _onnx_file(program, about)
        outputs = _onnx_outputs(data, source=to)
    else:
        data = _pt2_file(program, about)
        outputs = _pt2_outputs(data)
    difference = largest_difference(loaded, outputs)
    if not difference <= LIMIT:  # NaN is refused too
        raise InputError(
            f"{to} is not written: it differs from PyTorch by {difference:.2g} (at most {LIMIT:g}) "
            f"on random pictures; predict with the run folder {run}"
        )
    write_atomic(to, lambda beside: _write(beside, data))
    return Exported(to, difference, sum(FACES))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _require_onnx() -> None:
    try:
        for name in ("onnx", "onnxscript", "onnxruntime"):
            importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"--to .onnx needs {error.name}: {EXTRA}") from error


def _traced(run: Run) -> torch.export.ExportedProgram:
    """The network's graph for any number of faces, without the paths of this machine's sources."""
    size = run.config["size"]
    example = torch.zeros(2, 3, size, size)
    faces = torch.export.Dim("faces")
    program = torch.export.export(run.network, (example,), dynamic_shapes=({0: faces},))
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


# The two files -------------------------------------------------------------------------------


def _onnx_file(program: torch.export.ExportedProgram, about: dict[str, Any]) -> bytes:
    """The bytes of the ONNX model, its metadata last.

    Messages of protobuf may be joined end to end: the seal stands behind the bytes that it seals.
    """
    from onnx import ModelProto, StringStringEntryProto  # noqa: PLC0415 - an optional package

    converted = torch.onnx.export(
        program,
        dynamo=True,
        input_names=["pictures"],
        output_names=["age", "gender"],
        verbose=False,
    )
    assert converted is not None
    model = converted.model_proto
    _forget_origins(model)
    graph: bytes = model.SerializeToString(deterministic=True)
    entries = seal(about, graph)
    tail = ModelProto(
        metadata_props=[StringStringEntryProto(key=k, value=v) for k, v in entries.items()]
    )
    sealed: bytes = graph + tail.SerializeToString(deterministic=True)
    return sealed


def _forget_origins(model: "ModelProto") -> None:
    """Drop the exporter's notes (stack traces with paths); call the number of faces `faces`."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    old = graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*graph.value_info, *graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == old:
                dim.dim_param = "faces"


def _pt2_file(program: torch.export.ExportedProgram, about: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    text = json.dumps(about, ensure_ascii=False)
    torch.export.save(program, buffer, extra_files={"faceaudit.json": text})
    return buffer.getvalue()


# Parity --------------------------------------------------------------------------------------


def largest_difference(run: Run, outputs: Callable[[Batch], Outputs]) -> float:
    """Largest difference between `outputs` as read and the run's network, float32 on the CPU.

    Over FACES random pictures: every other one is noise, the rest are soft, as faces are.
    """
    config = run.config
    worst = 0.0
    for seed, n in enumerate(FACES):
        x = to_input(_pictures(n, config["size"], seed), mean=config["mean"], std=config["std"])
        with torch.inference_mode():
            age, gender = run.network(torch.from_numpy(x))
        gap = _difference(outputs(x), (age.numpy(), gender.numpy()))
        worst = float(np.maximum(worst, gap))  # keeps a NaN
    return worst


def _difference(ours: Outputs, theirs: Outputs) -> float:
    """Of the figures a reader takes from the outputs; infinite when there are more or fewer.

    Logits are read as shares, their mean in years, and P(female): far out, where P is 0 or 1, the
    digits of a logit say nothing. Ages beyond any life count relative to OLDEST, for a network
    that says 4,000 years (one hardly trained) says so to float32's half a thousandth at best.
    """
    if [part.shape for part in ours] != [part.shape for part in theirs]:
        return float("inf")
    with np.errstate(all="ignore"):  # an infinite output becomes a NaN, which is refused
        (age, gender), (age_too, gender_too) = ours, theirs
        gaps = [sigmoid(gender) - sigmoid(gender_too)]
        if age.ndim == 1:
            gaps.append((age - age_too) / np.maximum(1, np.abs(age_too) / OLDEST))
        else:
            shares, shares_too = softmax(age), softmax(age_too)
            gaps += [shares - shares_too, mean_age(shares) - mean_age(shares_too)]
        return float(np.max([np.abs(gap).max() for gap in gaps]))


def _pictures(n: int, size: int, seed: int) -> Pixels:
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    cells = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    soft = cells.repeat(-(-size // 8), axis=1).repeat(-(-size // 8), axis=2)[:, :size, :size]
    pictures[::2] = soft[::2]
    return pictures


def _onnx_outputs(data: bytes, *, source: Path) -> Callable[[Batch], Outputs]:
    session = onnx_session(data, source=source, threads=None)

    def outputs(x: Batch) -> Outputs:
        age, gender = session.run(["age", "gender"], {"pictures": x})
        return age, gender

    return outputs


def _pt2_outputs(data: bytes) -> Callable[[Batch], Outputs]:
    # Loading may run code that a file brings; these bytes were made by this very process.
    network = torch.export.load(io.BytesIO(data)).module()

    def outputs(x: Batch) -> Outputs:
        with torch.inference_mode():
            age, gender = network(torch.from_numpy(x))
        return age.numpy(), gender.numpy()

    return outputs
