"""Faces in, the contract's predictions table out: decode, score, read, write.

Pictures are decoded in threads while the network works on the batch before. Each face is scored
with its mirror image. A face that the run was trained on keeps that split wherever it lies now:
it is known by its content, and so are its copies.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from audit.contract import CONDITIONS
from audit.errors import InputError
from audit.files import write_atomic, write_text
from model.conditions import MEASURED, conditions_of, measure_pixels
from model.decode import Floats, apply_rule
from model.evaluate import Pixels, score
from model.faces import MADE, FaceTable, write_left_out
from model.material import SPLITS, read_split
from model.parallel import choose_device
from model.pictures import PictureError, read_picture
from model.run_folder import Run, load_run
from model.threads import ahead, cores, tracked

BATCH = 64
_AHEAD = 4  # batches decoded ahead of the network: bounds memory
COLUMNS = (
    "sample_id", "subject_id", "image", "age_true", "age_pred", "age_low", "age_high",
    "gender_true", "gender_score", "split", "race",
)  # fmt: skip
_OWN = {*MADE, *COLUMNS}  # any other column comes from the labels and is a feature
Measured = dict[str, npt.NDArray[np.float64]]


def predict(
    run: Path,
    table: FaceTable,
    *,
    out: Path,
    split: str = "all",
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the predictions of the run in folder `run` for the faces of `table` to `out`.

    `out` is a `.parquet` (with page checksums; its metadata name the model) or a `.csv`.
    `split` keeps one part only. Faces that cannot be decoded are listed in `left_out.csv` beside
    `out`. Raises InputError for a wrong or damaged run folder and when no face is left.
    """
    if out.suffix not in {".parquet", ".csv"}:
        raise InputError(f"--out {out}: must end in .parquet or .csv")
    loaded = load_run(run)
    faces = table.faces.reset_index(drop=True)
    faces = faces.assign(split=known_split(faces, read_split(run / "split.csv")))
    if split != "all":
        if split not in SPLITS:
            raise InputError(f"split {split!r}: must be all, {', '.join(SPLITS)}")
        faces = faces[faces["split"] == split].reset_index(drop=True)
    if not len(faces):
        raise InputError(f"{table.root}: no face to predict (split {split})")
    torch.set_num_threads(threads or cores())
    age, gender, faults, measured = score_faces(
        loaded, faces, root=table.root, device=choose_device(device), progress=progress
    )
    kept = np.array([fault is None for fault in faults])
    _write_left_out(table, faces, faults, out=out)
    if not kept.any():
        raise InputError(f"{table.root}: none of {len(faces)} faces can be decoded: {faults[0]}")
    rows = prediction_rows(faces[kept], age, gender, loaded.config["decode"], measured=measured)
    return write_predictions(rows, out, run=loaded)


def known_split(faces: pd.DataFrame, trained: pd.DataFrame) -> pd.Series:
    """`train`, `valid` or `test` for each face: what the run did with it or with a copy of it.

    A copy has the same content hash, or belongs to the same subject of `faces` as a face that
    has. Where copies were in several parts, `train` goes before `valid` before `test`; a face the
    run never saw is `test`.
    """
    order = {name: number for number, name in enumerate(SPLITS)}
    known = trained["split"].map(order).groupby(trained["content_hash"]).min()
    own = faces["content_hash"].map(known).fillna(order["test"])
    whole = own.groupby(faces["subject_id"]).transform("min")
    return whole.astype(int).map(dict(enumerate(SPLITS)))


def score_faces(
    run: Run, faces: pd.DataFrame, *, root: Path, device: torch.device, progress: bool
) -> tuple[Floats, Floats, list[str | None], Measured]:
    """Decode and score: age outputs and P(female) of what could be decoded, each face's fault.

    Last, what was measured on the pixels of what could be decoded.
    """
    config, read = run.config, scorer(run, device)
    ages, genders, faults, seen = [], [], list[str | None](), list[Measured]()
    batches = decoded_batches([str(root / image) for image in faces["image"]], size=config["size"])
    shown = tracked(batches, total=len(faces), label="faces read:", show=progress, step=BATCH)
    for pictures, problems, measured in shown:
        faults += problems
        seen.append(measured)
        if len(pictures):
            age, gender = read(pictures)
            ages.append(age)
            genders.append(gender)
    joined = {name: np.concatenate([part[name] for part in seen]) for name in MEASURED}
    if not ages:
        return np.empty((0,)), np.empty((0,)), faults, joined
    return np.concatenate(ages), np.concatenate(genders), faults, joined


def scorer(run: Run, device: torch.device) -> Callable[[Pixels], tuple[Floats, Floats]]:
    """The run's network on `device` as one function: pictures in, ages and P(female) out."""
    return partial(
        score,
        run.network.to(device).to(memory_format=torch.channels_last),
        mean=torch.tensor(run.config["mean"], device=device),
        std=torch.tensor(run.config["std"], device=device),
        device=device,
        precision=run.config["precision"],
        flip=True,
    )


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


def write_predictions(rows: pd.DataFrame, out: Path, *, run: Run) -> Path:
    """Write `rows` to `out` (.parquet or .csv), atomically; the metadata name model and run."""
    if out.suffix == ".csv":
        return write_text(out, rows.to_csv(index=False, lineterminator="\n"))
    about = {
        "model": f"{run.config['network']} {run.config['run_id']}",
        "run": run.config["run_id"],
        "decode": json.dumps(run.config["decode"]),
        "rows_sha256": hashlib.sha256(
            pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()
        ).hexdigest(),
    }
    arrow = pa.Table.from_pandas(rows, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), b"faceaudit": json.dumps(about).encode()}
    arrow = arrow.replace_schema_metadata({**metadata, b"faceaudit.model": about["model"].encode()})
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
