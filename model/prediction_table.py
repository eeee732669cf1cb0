"""Rows of the contract's predictions table, and the file that holds them."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.contract import CONDITIONS, IMAGES_KEY
from audit.corrections import METADATA, Recalibration
from audit.files import write_atomic, write_text
from model.conditions import conditions_of
from model.faces import MADE
from model.scoring import Figures

COLUMNS = (
    "sample_id", "subject_id", "image", "age_true", "age_pred", "age_low", "age_high",
    "age_std", "gender_true", "gender_score", "split", "race",
)  # fmt: skip
AGES = ("age_pred", "age_low", "age_high", "age_std")
DIGITS = {"age_pred": 3, "age_low": 3, "age_high": 3, "gender_score": 6}
_OWN = {*MADE, *COLUMNS}  # any other column comes from the labels and is a feature


def carried_columns(columns: Iterable[str]) -> list[str]:
    """Of the columns of a face table those that stand in its predictions too, as features."""
    own = [name for name in columns if name not in _OWN or name == "race"]
    return [*own, *(name for name in CONDITIONS if name not in own)]


def prediction_rows(faces: pd.DataFrame, figures: Figures) -> pd.DataFrame:
    """The contract's columns, whatever else the labels say, CONDITIONS.

    `figures` are those of `model.scoring.Read`; a head that the model lacks has no column.
    """
    columns: dict[str, Any] = {
        "sample_id": faces["image"].to_numpy(),
        "subject_id": faces["subject_id"].to_numpy(),
        "image": faces["image"].to_numpy(),
        "age_true": faces["age"].to_numpy(dtype=np.float64),
        **{name: figures[name] for name in AGES if name in figures},
        "gender_true": faces["gender"].to_numpy(),
    }
    if "gender_score" in figures:
        columns["gender_score"] = figures["gender_score"]
    if "split" in faces:
        columns["split"] = faces["split"].to_numpy()
    rows = pd.DataFrame(columns)
    if "race" in faces and faces["race"].notna().any():
        rows["race"] = faces["race"].to_numpy()
    for name in faces.columns:
        if name not in _OWN:
            rows[name] = faces[name].to_numpy()
    seen = conditions_of(faces.reset_index(drop=True), figures)
    return rows.join(seen[[name for name in CONDITIONS if name not in rows]])


def write_predictions(
    rows: pd.DataFrame,
    out: Path,
    *,
    config: Mapping[str, Any],
    images: Path,
    recalibration: Recalibration | None = None,
) -> Path:
    """Write `rows` to `out` (.parquet or .csv), atomically.

    Metadata of the Parquet name model, run, map and the folder `images` that pictures lie in.
    """
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
        IMAGES_KEY.encode(): os.fsencode(images.resolve()),
    }
    if recalibration is not None:
        metadata[METADATA.encode()] = f"{recalibration.digest} {recalibration.words()}".encode()
    arrow = arrow.replace_schema_metadata(metadata)
    return write_atomic(out, lambda beside: pq.write_table(arrow, beside, write_page_checksum=True))
