"""What lies beside an audit: the embeddings of its faces, and the network that read them."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from audit.embeddings import Embeddings, embeddings_beside, of_these_faces, read_embeddings
from audit.errors import InputError
from audit.result import AuditResult
from audit.rows import FaceRows, figures_of

GET_EMBEDDINGS = (
    "`faceaudit predict RUN FACES --out predictions.parquet --embeddings` writes them beside the "
    "table (`faceaudit run` takes `--embeddings` too); then audit that table"
)
GET_NETWORK = (
    "start the dashboard with `--run RUN`, the run folder or the exported .onnx that made the table"
)


def embeddings_file(result: AuditResult, folder: Path) -> Path | None:
    """Where the embeddings of the audit's faces lie; None where there are none."""
    found = [embeddings_beside(source) for source in _sources(result, folder)]
    return next((path for path in found if path.is_file()), None)


def load_embeddings(path: Path, rows: FaceRows) -> Embeddings:
    """The embeddings of the audit's faces. InputError: a broken file, or one of another table."""
    figures = figures_of(rows, ["age_pred", "gender_score"])
    given = {
        name: figures[name].astype(float).tolist()
        for name in ("age_pred", "gender_score")
        if name in figures and figures[name].notna().any()
    }
    ids = figures["sample_id"].astype(str).tolist()
    return of_these_faces(
        read_embeddings(path),
        ids=ids,
        age_pred=given.get("age_pred"),
        gender_score=given.get("gender_score"),
    )


def network_file(result: AuditResult, folder: Path, given: Path | None) -> Path | None:
    """The run folder or .onnx that read the faces: the one given, else the run beside the table."""
    if given is not None:
        return given
    runs = [folder / "run", *(source.parent for source in _sources(result, folder))]
    return next((run for run in runs if (run / "model.safetensors").is_file()), None)


def why_not_run(network: Path | None) -> str:
    """Why the network cannot read a face here, and what to do; empty where it can."""
    if network is None:
        return f"The network that read these faces is not known: {GET_NETWORK}."
    if not network.exists():
        return f"{network} is not there any more: {GET_NETWORK}."
    needed, extra = ("onnxruntime", "onnx") if network.is_file() else ("torch", "model")
    if find_spec(needed) is None:
        return f'{needed} is missing: pip install "faceaudit[{extra}]".'
    return ""


def _sources(result: AuditResult, folder: Path) -> Iterator[Path]:
    """Where the audited table may lie: by its recorded path, or below the folder of the audit.

    A relative path leads from the audit; older audits noted it from where they were run.
    """
    paths = result.info.get("run", {}).get("paths") or {}
    if led := paths.get("table"):
        yield folder / str(led)
    elif named := paths.get("source"):
        path = Path(str(named))
        yield path
        if not path.is_absolute():
            yield folder / path
    yield folder / "run" / "predictions.parquet"
    yield folder / "predictions.parquet"


def load_checked(path: Path | None, rows: FaceRows) -> tuple[Embeddings | None, str]:
    """The embeddings, or why there are none and what to do."""
    if path is None:
        return None, f"This audit has no embeddings of its faces: {GET_EMBEDDINGS}."
    try:
        return load_embeddings(path, rows), ""
    except InputError as error:
        return None, f"{str(error)[0].upper()}{str(error)[1:]}."
