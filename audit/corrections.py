"""A chosen recalibration as a file, and its use on a table: arrays only, no torch.

`recalibration.json` holds plain numbers, so that any program can apply it. Its digest shows a
flipped bit before that changes a figure.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.config import NONE, OLDEST, RECALIBRATIONS
from audit.conformal import PREDICTED, widened
from audit.errors import InputError
from audit.files import read_json, write_text
from audit.levels import UNKNOWN, number_of, read_words
from audit.metrics import Floats
from audit.recalibration import Numbers, corrected_age, corrected_score

SCHEMA = 1
FILE = "recalibration.json"
HEADS = tuple(RECALIBRATIONS)
METADATA = "faceaudit.recalibration"  # key in the metadata of a table that a map was applied to


@dataclass(frozen=True)
class Recalibration:
    """A map for each head, as `docs/recalibration.md` describes the file.

    `data` is plain JSON values without the digest.
    """

    data: Mapping[str, Any]

    @property
    def heads(self) -> dict[str, Mapping[str, Any]]:
        """The heads that are corrected, each with its method, groups and numbers."""
        return {name: h for name, h in self.data["heads"].items() if h["method"] != NONE}

    @property
    def features(self) -> tuple[str, ...]:
        """The columns whose groups have maps of their own: a table needs them."""
        return tuple(
            dict.fromkeys(
                h["per"] for h in self.heads.values() if h["per"] not in {None, PREDICTED}
            )
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the file's content."""
        return hashlib.sha256(_plain_text(self.data).encode("utf-8")).hexdigest()

    def words(self) -> str:
        """`gender platt, age linear per race`, or `nothing`."""
        each = [
            f"{name} {h['method']}" + (f" per {h['per']}" if h["per"] else "")
            for name, h in self.heads.items()
        ]
        return ", ".join(each) or "nothing"


def _plain_text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False)


def write_recalibration(path: Path, recalibration: Recalibration) -> Path:
    """Write the file with its digest, atomically."""
    whole = {**recalibration.data, "digest": recalibration.digest}
    return write_text(path, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def read_recalibration(path: Path | str) -> Recalibration:
    """What `write_recalibration` wrote. InputError for a cut, altered or foreign file."""
    path = Path(path)
    again = "make it again with `faceaudit recalibrate`"
    try:
        data = read_json(path, again=again)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; `faceaudit recalibrate` makes one") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise InputError(f"{path} has schema {found!r}, this version reads {SCHEMA}: {again}")
    digest = data.pop("digest", None)
    if Recalibration(data).digest != digest:
        raise InputError(f"{path} was altered since it was written (digest differs); {again}")
    return Recalibration(data)


def refuse_lacking(recalibration: Recalibration, columns: Mapping[str, Any], *, where: str) -> None:
    """Raise InputError where a map asks for a column that the table lacks or leaves empty."""
    for name in recalibration.features:
        if name not in columns or pd.isna(pd.Series(columns[name])).all():
            raise InputError(
                f"{where}: the recalibration has a map for each {name!r}, a column that is not "
                f"there; add it, or make one map for everyone (recalibrate without --per {name})"
            )


def apply_recalibration(recalibration: Recalibration, table: pd.DataFrame) -> pd.DataFrame:
    """The table with corrected gender_score, age_pred, age_low and age_high.

    Only these change (and gender_pred, the call, where it stands beside a score). What is missing
    stays missing. Groups are told by the prediction as it was. An interval that held its own age
    is stretched to hold the corrected one; its ends stay within 0..120. A level that no map was
    made for takes the map of everyone.

    Raises InputError for a table without a column that a map needs.
    """
    refuse_lacking(recalibration, {str(c): table[c] for c in table}, where="the table")
    heads, out = recalibration.heads, table.copy(deep=False)
    if "gender" in heads:
        score = _number(table, "gender_score", "gender")
        out["gender_score"] = _mapped(heads["gender"], table, score, corrected_score)
        if "gender_pred" in table:
            called = np.where(
                out["gender_score"] >= recalibration.data["threshold"], "female", "male"
            )
            known = np.isfinite(score)
            out["gender_pred"] = np.where(known, called, table["gender_pred"].astype(object))
    if "age" in heads:
        age = _number(table, "age_pred", "age")
        out["age_pred"] = np.where(
            np.isfinite(age), _mapped(heads["age"], table, age, corrected_age), age
        )
    if "interval" in heads:
        out["age_low"], out["age_high"] = _intervals(heads["interval"], table)
    if {"age_low", "age_high"} <= {*out.columns} and heads.keys() & {"age", "interval"}:
        _hold(out, table)
    return out


def _number(table: pd.DataFrame, name: str, head: str) -> Floats:
    if name not in table:
        raise InputError(f"the recalibration corrects {head}, but the table has no {name}")
    return table[name].to_numpy(np.float64, na_value=np.nan)


def _mapped(
    head: Mapping[str, Any],
    table: pd.DataFrame,
    values: Floats,
    corrected: Callable[[Numbers, Floats], Floats],
) -> Floats:
    """Every value by the map of its group."""
    out = corrected(head["overall"], values)
    if head["per"]:
        levels = group_of(head, table)
        for level, numbers in head["groups"].items():
            mine = levels == level
            out[mine] = corrected(numbers, values[mine])
    return out


def group_of(head: Mapping[str, Any], table: pd.DataFrame) -> NDArray[np.object_]:
    """The level of every row in what a head's maps are made for."""
    column = table[head["column"]]
    if head["cuts"] is None:
        raw = [None if pd.isna(v) else str(v) for v in column]
        # The known levels are read along: whether all are numbers decides what `01` is.
        read = read_words([*head["levels"], *sorted({v for v in raw if v is not None})])
        return np.array([UNKNOWN if v is None else read[v] for v in raw], dtype=object)
    words = np.array([*head["levels"], UNKNOWN], dtype=object)
    numbers = _read_numbers(column)
    return words[np.where(np.isfinite(numbers), np.digitize(numbers, head["cuts"]), -1)]


def _read_numbers(column: "pd.Series[Any]") -> Floats:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64, na_value=np.nan)
    values = [number_of(str(v).replace(",", ".")) for v in column]
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _intervals(head: Mapping[str, Any], table: pd.DataFrame) -> tuple[Floats, Floats]:
    """Ends widened by each group's years: the stated ends, or the predicted age on both sides."""
    names = ("age_low", "age_high") if head["stated"] else ("age_pred", "age_pred")
    low, high = (_number(table, name, "intervals") for name in names)
    by = _mapped(head, table, low, lambda numbers, x: np.full(len(x), numbers["widen"]))
    lower, upper = widened(low, high, by)
    return np.clip(lower, 0, OLDEST), np.clip(upper, 0, OLDEST)


def _hold(out: pd.DataFrame, before: pd.DataFrame) -> None:
    """Stretch intervals that held the age they belong to until they hold the corrected one."""
    age, was = (_number(t, "age_pred", "age") for t in (out, before))
    low, high = (_number(out, name, "intervals") for name in ("age_low", "age_high"))
    held = np.isfinite(age)
    if "age_low" in before and "age_high" in before:
        stated = (_number(before, name, "intervals") for name in ("age_low", "age_high"))
        first, last = stated
        held &= (first <= was) & (was <= last)
    out["age_low"] = np.where(held, np.fmin(low, age), low)
    out["age_high"] = np.where(held, np.fmax(high, age), high)
