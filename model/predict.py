"""Faces in, the contract's predictions table out: decode, score, read, write.

Pictures are decoded in threads while the network works on the batch before. Each face is scored
with its mirror image. A face that the run was trained on keeps that split wherever it lies now:
it is known by its content, and so are its copies. The model is a run folder, read by PyTorch, or
an exported `.onnx`, read without it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.contract import CONDITIONS
from audit.corrections import (
    METADATA,
    Recalibration,
    apply_recalibration,
    refuse_lacking,
)
from audit.embeddings import embeddings_beside, write_embeddings
from audit.errors import InputError
from audit.files import write_atomic, write_text
from model.conditions import MEASURED, conditions_of, measure_pixels
from model.decode import Floats, apply_rule
from model.faces import MADE, FaceTable, write_left_out
from model.material import SPLITS
from model.pictures import PictureError, Pixels, pillow_silent, read_picture
from model.ready import HASH_DIGITS, Ready, also_embedding
from model.ready_onnx import open_onnx
from model.threads import ahead, tracked

BATCH = 64
_AHEAD = 4  # batches decoded ahead of the network: bounds memory
COLUMNS = (
    "sample_id", "subject_id", "image", "age_true", "age_pred", "age_low", "age_high",
    "gender_true", "gender_score", "split", "race",
)  # fmt: skip
DIGITS = {"age_pred": 3, "age_low": 3, "age_high": 3, "gender_score": 6}
_OWN = {*MADE, *COLUMNS}  # any other column comes from the labels and is a feature
Measured = dict[str, npt.NDArray[np.float64]]


def predict(
    run: Path,
    table: FaceTable,
    *,
    out: Path,
    split: str = "all",
    recalibration: Recalibration | None = None,
    embeddings: bool = False,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the predictions of the model `run` for the faces of `table` to `out`.

    `run` is a run folder or an exported `.onnx`. `out` is a `.parquet` (with page checksums; its
    metadata name the model) or a `.csv`. `split` keeps one part only. `recalibration` (see
    `carried`) corrects what is written. `embeddings` also writes what the network holds of each
    face before its heads, from the same pass, beside `out` (see `audit.embeddings`). Faces that
    cannot be decoded are listed in `left_out.csv` beside `out`. Raises InputError for a wrong or
    damaged model and when no face is left.
    """
    if out.suffix not in {".parquet", ".csv"}:
        raise InputError(f"--out {out}: must end in .parquet or .csv")
    model = open_model(run, device=device, threads=threads)
    model, vectors = also_embedding(model, source=run) if embeddings else (model, [])
    faces = faces_of(model, table, split=split)
    if not len(faces):
        raise InputError(f"{table.root}: no face to predict (split {split})")
    if recalibration is not None:
        refuse_unmapped(recalibration, faces, where=f"{table.root}, by the map of {run}")
    age, gender, faults, measured = score_faces(model, faces, root=table.root, progress=progress)
    kept = np.array([fault is None for fault in faults])
    _write_left_out(table, faces, faults, out=out)
    if not kept.any():
        raise InputError(f"{table.root}: none of {len(faces)} faces can be decoded: {faults[0]}")
    rows = prediction_rows(faces[kept], age, gender, model.config["decode"], measured=measured)
    if recalibration is not None:
        rows = apply_recalibration(recalibration, rows).round(DIGITS)
    if embeddings:
        write_embeddings(
            embeddings_beside(out),
            np.concatenate(vectors),
            ids=rows["sample_id"].tolist(),
            age_pred=rows["age_pred"].tolist(),
            gender_score=rows["gender_score"].tolist(),
        )
    return write_predictions(rows, out, config=model.config, recalibration=recalibration)


def faces_of(model: Ready, table: FaceTable, *, split: str) -> pd.DataFrame:
    """The faces of one part (or `all`), by what the model's training did with them."""
    faces = table.faces.reset_index(drop=True)
    faces = faces.assign(split=known_split(faces, model.seen))
    if split == "all":
        return faces
    if split not in SPLITS:
        raise InputError(f"split {split!r}: must be all, {', '.join(SPLITS)}")
    return faces[faces["split"] == split].reset_index(drop=True)


def refuse_unmapped(recalibration: Recalibration, faces: pd.DataFrame, *, where: str) -> None:
    """Raise InputError, before any face is read, where they lack a column that a map asks for."""
    known = {c: faces[c] for c in recalibration.features if c in faces}
    refuse_lacking(recalibration, known, where=where)


def open_model(source: Path, *, device: str = "auto", threads: int | None = None) -> Ready:
    """The model in `source`: a run folder (PyTorch, on `device`) or an exported `.onnx` (CPU).

    Raises InputError for anything else, a damaged model and a missing onnxruntime.
    """
    suffix = "" if source.is_dir() else source.suffix.lower()
    if suffix == ".onnx":
        return open_onnx(source, threads=threads)
    if suffix == ".pt2":
        raise InputError(
            f"{source}: a .pt2 is not read here, for reading one runs code that it may bring; "
            "give the run folder, or export it to .onnx"
        )
    if source.is_file():
        raise InputError(f"{source}: give a run folder or an exported .onnx file")
    from model.ready_run import open_run  # noqa: PLC0415 - an .onnx is read without torch

    return open_run(source, device=device, threads=threads)


def carried(run: Path) -> Recalibration | None:
    """The map that a run folder or an exported `.onnx` carries, checked; None where there is none.

    Raises InputError for a file that was cut or altered, or made for other weights.
    """
    if run.is_dir():
        from model.carried_map import carried_by_run  # noqa: PLC0415 - an .onnx is read without torch

        return carried_by_run(run)
    data = open_model(run).config["recalibration"]
    return None if data is None else Recalibration(data)


def known_split(faces: pd.DataFrame, trained: pd.DataFrame) -> pd.Series:
    """`train`, `valid` or `test` for each face: what the run did with it or with a copy of it.

    A copy has the same content hash (of which the first HASH_DIGITS count), or belongs to the same
    subject of `faces` as a face that has. Where copies were in several parts, `train` goes before
    `valid` before `test`; a face the run never saw is `test`.
    """
    order = {name: number for number, name in enumerate(SPLITS)}
    hashes = trained["content_hash"].str[:HASH_DIGITS]
    known = trained["split"].map(order).groupby(hashes).min()
    own = faces["content_hash"].str[:HASH_DIGITS].map(known).fillna(order["test"])
    whole = own.groupby(faces["subject_id"]).transform("min")
    return whole.astype(int).map(dict(enumerate(SPLITS)))


def score_faces(
    model: Ready, faces: pd.DataFrame, *, root: Path, progress: bool
) -> tuple[Floats, Floats, list[str | None], Measured]:
    """Decode and score: age outputs and P(female) of what could be decoded, each face's fault.

    Last, what was measured on the pixels of what could be decoded.
    """
    ages, genders, faults, seen = [], [], list[str | None](), list[Measured]()
    batches = decoded_batches(
        [str(root / image) for image in faces["image"]], size=model.config["size"]
    )
    shown = tracked(batches, total=len(faces), label="faces read:", show=progress, step=BATCH)
    with pillow_silent():
        for pictures, problems, measured in shown:
            faults += problems
            seen.append(measured)
            if len(pictures):
                age, gender = model.score(pictures)
                ages.append(age)
                genders.append(gender)
    joined = {name: np.concatenate([part[name] for part in seen]) for name in MEASURED}
    if not ages:
        return np.empty((0,)), np.empty((0,)), faults, joined
    return np.concatenate(ages), np.concatenate(genders), faults, joined


Decoded = tuple[Pixels, list[str | None], Measured]


def decoded_batches(paths: list[str], *, size: int) -> Iterator[Decoded]:
    """Batches of pictures, picture by picture why one is missing, and what was measured on them.

    In order, BATCH paths each, a few ahead.
    """

    def read(path: str) -> Pixels | str:
        try:
            return read_picture(path, size=size)
        except PictureError as error:
            return str(error)

    def decode(part: list[str]) -> Decoded:
        found = [read(path) for path in part]
        pictures = [picture for picture in found if not isinstance(picture, str)]
        faults = [picture if isinstance(picture, str) else None for picture in found]
        stacked = np.stack(pictures) if pictures else np.empty((0, size, size, 3), np.uint8)
        return stacked, faults, measure_pixels(stacked)

    parts = (paths[start : start + BATCH] for start in range(0, len(paths), BATCH))
    yield from ahead((partial(decode, part) for part in parts), most=_AHEAD)


def prediction_rows(
    faces: pd.DataFrame, age: Floats, gender: Floats, rule: dict[str, Any], *, measured: Measured
) -> pd.DataFrame:
    """The contract's columns, whatever else the labels say, CONDITIONS; years to 1/1000."""
    years, low, high = (np.round(part, 3) for part in apply_rule(age, rule))
    rows = pd.DataFrame(
        {
            "sample_id": faces["image"].to_numpy(),
            "subject_id": faces["subject_id"].to_numpy(),
            "image": faces["image"].to_numpy(),
            "age_true": faces["age"].to_numpy(dtype=np.float64),
            "age_pred": years,
            "age_low": low,
            "age_high": high,
            "gender_true": faces["gender"].to_numpy(),
            "gender_score": np.round(gender.astype(np.float64), 6),
            "split": faces["split"].to_numpy(),
        }
    )
    if "race" in faces and faces["race"].notna().any():
        rows["race"] = faces["race"].to_numpy()
    for name in faces.columns:
        if name not in _OWN:
            rows[name] = faces[name].to_numpy()
    seen = conditions_of(faces.reset_index(drop=True), measured)
    return rows.join(seen[[name for name in CONDITIONS if name not in rows]])


def write_predictions(
    rows: pd.DataFrame,
    out: Path,
    *,
    config: Mapping[str, Any],
    recalibration: Recalibration | None = None,
) -> Path:
    """Write `rows` to `out` (.parquet or .csv), atomically; metadata name model, run and map."""
    if out.suffix == ".csv":
        return write_text(out, rows.to_csv(index=False, lineterminator="\n"))
    about = {
        "model": f"{config['network']} {config['run_id']}",
        "run": config["run_id"],
        "decode": json.dumps(config["decode"]),
        "rows_sha256": hashlib.sha256(
            pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()
        ).hexdigest(),
    }
    arrow = pa.Table.from_pandas(rows, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), b"faceaudit": json.dumps(about).encode()}
    metadata |= {
        b"faceaudit.model": about["model"].encode(),
        b"faceaudit.run": about["run"].encode(),
    }
    if recalibration is not None:
        metadata[METADATA.encode()] = f"{recalibration.digest} {recalibration.words()}".encode()
    arrow = arrow.replace_schema_metadata(metadata)
    return write_atomic(out, lambda beside: pq.write_table(arrow, beside, write_page_checksum=True))


def _write_left_out(
    table: FaceTable, faces: pd.DataFrame, faults: list[str | None], *, out: Path
) -> None:
    """`left_out.csv` beside `out`: what the scan left out, and what could not be decoded now."""
    now = pd.DataFrame(
        [(i, "decode_error", f) for i, f in zip(faces["image"], faults, strict=True) if f],
        columns=["image", "status", "reason"],
    )
    path = out.with_name("left_out.csv")
    left_out = pd.concat([table.left_out, now.astype("str")], ignore_index=True)
    if len(left_out) or path.exists():
        write_left_out(dataclasses.replace(table, left_out=left_out), path)
