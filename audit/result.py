"""The audit result: the one object that every renderer reads and none may change."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.errors import InputError
from audit.files import write_text

SCHEMA = 1

# The columns of every table, in the order they are written. A record may not lack one.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "subgroups": tuple("feature group metric value low high n n_subjects shrunken status".split()),
    "disparities": tuple(
        "feature metric control control_group difference ratio lowest_group highest_group spread "
        "spread_low spread_high p_value p_adjusted detectable margin standardised_difference "
        "standardised_p composition verdict noise_gap groups_compared "
        "outlying_group outlying_difference outlying_low outlying_high".split()
    ),
    "slices": tuple(
        "feature group metric value complement_value difference low high n n_confirm p_adjusted "
        "confirmed".split()
    ),
    "calibration": tuple(
        "feature group head bin predicted observed low high band_low band_high n error error_low "
        "error_high mae mae_low mae_high".split()
    ),
    "coverage": tuple("feature group level coverage low high width n".split()),
    "scores": tuple(
        "feature group n brier miscalibration discrimination uncertainty ece ece_null mean_score "
        "observed".split()
    ),
    "findings": tuple(
        "kind severity sentence feature group metric value low high n p_adjusted".split()
    ),
    "worst": tuple(
        "list rank sample_id image age_true age_pred age_low age_high gender_true gender_pred "
        "gender_score error groups".split()
    ),
    "confusion": tuple("head feature group true predicted n".split()),
    "histograms": tuple("kind feature group low high n value value_low value_high".split()),
    "history": (),  # as the trainer wrote it: epoch and its figures
}
_WHOLE = {"n", "n_subjects", "n_confirm", "rank", "epoch", "groups_compared", "severity", "bin"}
_DIGITS = 10  # significant digits kept: what engines and thread counts agree on


@dataclass(frozen=True)
class AuditResult:
    """`info` and flat tables, as `docs/result.md` describes them.

    `info` is a plain dict of JSON values; every other field is a DataFrame with the columns of
    COLUMNS (missing numbers are NaN, missing words None). `info["run"]` alone holds what may
    differ between equal audits.
    """

    info: dict[str, Any]
    subgroups: pd.DataFrame
    disparities: pd.DataFrame
    slices: pd.DataFrame
    calibration: pd.DataFrame
    coverage: pd.DataFrame
    scores: pd.DataFrame
    findings: pd.DataFrame
    worst: pd.DataFrame
    confusion: pd.DataFrame
    histograms: pd.DataFrame
    history: pd.DataFrame

    def to_json(self) -> str:
        """`result.json`: numbers or null, never NaN; the same bytes for the same result."""
        tables = {name: records_of(getattr(self, name)) for name in COLUMNS}
        whole = {"schema": SCHEMA, "info": plain_values(self.info), **tables}
        return json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    def save(self, folder: Path) -> Path:
        """Write `folder/result.json` atomically and return its path."""
        return write_text(folder / "result.json", self.to_json())

    @classmethod
    def from_json(cls, text: str) -> "AuditResult":
        """Read what `to_json` wrote. Raises InputError for another schema or a cut file."""
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f"result.json is not whole (line {error.lineno}): run the audit again"
            ) from error
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            found = raw.get("schema") if isinstance(raw, dict) else None
            raise InputError(
                f"result.json has schema {found!r}, this version reads {SCHEMA}: "
                "run the audit again"
            )
        missing = [name for name in ("info", *COLUMNS) if name not in raw]
        if missing:
            raise InputError(f"result.json lacks {', '.join(missing)}: run the audit again")
        return cls(raw["info"], **{name: table(name, raw[name]) for name in COLUMNS})

    @classmethod
    def load(cls, folder: Path) -> "AuditResult":
        """The result of an audit folder (or of a `result.json`). Raises InputError if none."""
        path = folder if folder.name == "result.json" else folder / "result.json"
        if not path.is_file():
            raise InputError(
                f"no result.json in {path.parent}: "
                "`faceaudit audit PREDICTIONS --out DIR` makes one, then give that DIR"
            )
        return cls.from_json(path.read_text(encoding="utf-8"))


def table(name: str, records: list[dict[str, Any]]) -> pd.DataFrame:
    """Records as the DataFrame of table `name`: its columns in order, numbers as float64."""
    columns = list(COLUMNS[name]) or (list(records[0]) if records else [])
    frame = pd.DataFrame.from_records(records, columns=columns)
    for column in frame:
        values = frame[column]
        number = pd.api.types.is_numeric_dtype(values) and values.dtype != bool
        if number or values.isna().all():  # an empty column would otherwise have no type
            frame[column] = values.astype("float64")
    return frame


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON values: numbers to ten digits, null for what is missing."""
    columns = [str(c) for c in frame.columns]
    whole = [c in _WHOLE for c in columns]
    rows = frame.astype(object).itertuples(index=False, name=None)
    return [
        {c: _number(v, whole=w) for c, v, w in zip(columns, row, whole, strict=True)}
        for row in rows
    ]


def plain_values(value: Any) -> Any:
    """Nested dicts and lists as JSON values."""
    if isinstance(value, Mapping):
        return {str(k): plain_values(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(v) for v in value]
    return _number(value)


def _number(value: Any, *, whole: bool = False) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            return None
        return int(value) if whole else float(f"{value:.{_DIGITS}g}")
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    return str(value)


assert [f.name for f in fields(AuditResult)][1:] == list(COLUMNS)
