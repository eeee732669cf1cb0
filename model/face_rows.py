"""Faces with a label, before their pictures are read: rows as every kind of source gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model.labels import Label

MADE = (  # columns a face table makes; a source's own columns of these names are not taken
    "image", "age", "gender", "race", "subject_id", "content_hash", "dhash", "width", "height",
    "bytes", "copy_group", "copy_kind", "conflict",
)  # fmt: skip
LeftOut = tuple[str, str, str]  # image, status, reason
_EXACT = 2**53  # above, a whole number is a name, not a quantity


@dataclass(frozen=True)
class Labelled:
    """Rows with a label: image (path below `root`), age, gender, race where known, then others."""

    root: Path
    rows: pd.DataFrame
    left_out: list[LeftOut]
    passed_over: int = 0


def label_columns(images: Sequence[str], labels: Sequence[Label]) -> pd.DataFrame:
    """Columns image, age (years), gender and, where any label has one, race."""
    ages = np.array([label.age for label in labels], dtype="float64")
    whole = bool((ages == np.floor(ages)).all())
    rows = pd.DataFrame(
        {
            "image": pd.Series(images, dtype="str"),
            "age": ages.astype("int64") if whole else ages,
            "gender": pd.Series([label.gender for label in labels], dtype="str"),
        }
    )
    if any(label.race is not None for label in labels):
        rows["race"] = pd.Series([label.race for label in labels], dtype="str")
    return rows


def further_columns(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """What else labels say, a column a name in the order first met; MADE ones are not taken.

    A column is of numbers or of truth values where all of its values are, and of text otherwise.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    kept = [name for name in names if name not in MADE or name == "subject_id"]
    columns = {
        name: _of_one_kind([row.get(name) for row in rows], text=name == "subject_id")
        for name in kept
    }
    return pd.DataFrame(columns, index=range(len(rows)))


def _of_one_kind(values: Sequence[Any], *, text: bool) -> "pd.Series[Any]":
    known = [value for value in values if value is not None and not text]
    if known and all(isinstance(value, bool) for value in known):
        return pd.Series(values, dtype="bool" if len(known) == len(values) else "object")
    if known and all(_is_number(value) for value in known):
        whole = len(known) == len(values) and all(isinstance(value, int) for value in known)
        return pd.Series(values, dtype="int64" if whole else "float64")
    return pd.Series([None if v is None else _as_text(v) for v in values], dtype="str")


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < _EXACT
    return isinstance(value, float)


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
