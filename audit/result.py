"""The audit result: the one object that every renderer reads and none may change."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.errors import InputError
from audit.files import parsed_json, read_json, write_text

SCHEMA = 1
# Of `info`, what every renderer reads.
INFO = tuple(
    "rows_read rows_audited rows_left_out subjects model settings features margins run".split()
)

# The columns of every table, in the order they are written. A record may not lack one.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "subgroups": tuple("feature group metric value low high n n_subjects shrunken status".split()),
    "disparities": tuple(
        "feature metric control control_group difference ratio lowest_group highest_group spread "
        "spread_low spread_high p_value p_adjusted detectable margin standardised_difference "
        "standardised_p composition verdict noise_gap groups_compared "
        "outlying_group outlying_difference outlying_low outlying_high cochran_q cochran_p "
        "standardised_p_adjusted outlying_standardised outlying_standardised_low "
        "outlying_standardised_high ages_left_out".split()
    ),
    "slices": tuple(
        "feature group metric value complement_value difference low high n n_confirm p_adjusted "
        "confirmed".split()
    ),
    "calibration": tuple(
        "feature group head bin predicted observed low high band_low band_high n error error_low "
        "error_high mae mae_low mae_high coverage coverage_low coverage_high width".split()
    ),
    "coverage": tuple(
        "feature group level coverage low high width n below above winkler winkler_low "
        "winkler_high z2 z2_low z2_high crps std_n".split()
    ),
    "scores": tuple(
        "feature group n brier miscalibration discrimination uncertainty ece ece_null mean_score "
        "observed miscalibration_null miscalibration_p smooth_ece smooth_ece_null l2 l2_null l2_p "
        "l2_p_adjusted spiegelhalter_z spiegelhalter_p mean_z mean_p mean_p_adjusted".split()
    ),
    "reliability": tuple("feature group predicted fitted band_low band_high n".split()),
    "thresholds": tuple(
        "feature group threshold tpr tpr_low tpr_high female_n fpr fpr_low fpr_high male_n "
        "selection selection_low selection_high n".split()
    ),
    "age_thresholds": tuple(
        "feature group threshold accepted accepted_low accepted_high below_n rejected rejected_low "
        "rejected_high above_n".split()
    ),
    "proposals": tuple(
        "head method scope feature group metric before after change low high n_fit n_judge "
        "fell_back".split()
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
_WHOLE = frozenset(
    "n n_subjects n_confirm n_fit n_judge std_n female_n male_n below_n above_n rank epoch "
    "groups_compared severity bin".split()
)
_AGAIN = "run the audit again"
_DIGITS = 10  # significant digits kept: what engines and thread counts agree on


@dataclass(frozen=True, eq=False, repr=False)
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
    reliability: pd.DataFrame
    thresholds: pd.DataFrame
    age_thresholds: pd.DataFrame
    proposals: pd.DataFrame
    findings: pd.DataFrame
    worst: pd.DataFrame
    confusion: pd.DataFrame
    histograms: pd.DataFrame
    history: pd.DataFrame

    def __repr__(self) -> str:
        """What was audited and what it holds, in one line."""
        rows = f"{self.info['rows_audited']} rows of {self.info['model']!r}"
        tables = ", ".join(f"{name} {len(getattr(self, name))}" for name in COLUMNS)
        return f"<AuditResult: {rows}; {tables}>"

    def to_json(self) -> str:
        """`result.json`: numbers or null, never NaN; the same bytes for the same result."""
        info = json.dumps(plain_values(self.info), ensure_ascii=False, allow_nan=False, indent=1)
        parts = [f'"schema": {SCHEMA}', '"info": ' + info.replace("\n", "\n ")]
        parts += [f'"{name}": {_table_json(getattr(self, name))}' for name in COLUMNS]
        return "{\n " + ",\n ".join(parts) + "\n}\n"

    def subgroups_of(self, feature: str, metric: str) -> pd.DataFrame:
        """The rows of `subgroups` of one feature and metric, which every figure asks for."""
        return self.subgroups.take(self._places.get((feature, metric), []))

    @cached_property
    def _places(self) -> dict[tuple[str, str], list[int]]:
        places: dict[tuple[str, str], list[int]] = {}
        pairs = self.subgroups[["feature", "metric"]].to_numpy(object).tolist()
        for place, (feature, metric) in enumerate(pairs):
            places.setdefault((feature, metric), []).append(place)
        return places

    def save(self, folder: Path | str) -> Path:
        """Write `folder/result.json` atomically and return its path."""
        return write_text(Path(folder) / "result.json", self.to_json())

    @classmethod
    def from_json(cls, text: str) -> "AuditResult":
        """Read what `to_json` wrote. Raises InputError for another schema or a cut file."""
        return cls._read(parsed_json(text, name="result.json", again=_AGAIN))

    @classmethod
    def load(cls, folder: Path | str) -> "AuditResult":
        """The result of an audit folder (or of a `result.json`). Raises InputError if none."""
        folder = Path(folder)
        path = folder if folder.name == "result.json" else folder / "result.json"
        if not path.is_file():
            raise InputError(
                f"no result.json in {path.parent}: "
                "`faceaudit audit PREDICTIONS --out DIR` makes one, then give that DIR"
            )
        return cls._read(read_json(path, again=_AGAIN))

    @classmethod
    def _read(cls, raw: Any) -> "AuditResult":
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            found = raw.get("schema") if isinstance(raw, dict) else None
            raise InputError(
                f"result.json has schema {found!r}, this version reads {SCHEMA}: {_AGAIN}"
            )
        missing = [name for name in ("info", *COLUMNS) if name not in raw]
        info = raw.get("info")
        if isinstance(info, dict):
            missing += [f"info.{name}" for name in INFO if name not in info]
        if missing:
            raise InputError(f"result.json lacks {', '.join(missing)}: {_AGAIN}")
        other = [name for name in COLUMNS if not isinstance(raw[name], list)]
        if not (isinstance(info, dict) and isinstance(info["run"], dict)):
            other.append("info")
        if other:
            what = ", ".join(other)
            raise InputError(f"result.json has another {what} than an audit: {_AGAIN}")
        try:
            tables = {name: table(name, raw[name]) for name in COLUMNS}
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"result.json holds something else than tables: {_AGAIN}") from error
        if mixed := [f"{name}.{column}" for name in COLUMNS for column in _mixed(tables[name])]:
            raise InputError(
                f"result.json holds words where numbers belong, or the other way round, in "
                f"{', '.join(mixed)}: {_AGAIN}"
            )
        return cls(raw["info"], **tables)


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


def _mixed(frame: pd.DataFrame) -> list[str]:
    """Columns of several kinds of values, which no audit writes but in `bin`: a number or words."""
    return [str(name) for name in frame if frame[name].dtype == object and name != "bin"]


def plain_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as JSON values: numbers of `_DIGITS` digits, None where one is missing."""
    columns = [str(c) for c in frame.columns]
    whole = [c in _WHOLE for c in columns]
    rows = frame.astype(object).itertuples(index=False, name=None)
    return [
        {c: _number(v, whole=w) for c, v, w in zip(columns, row, whole, strict=True)}
        for row in rows
    ]


def _table_json(frame: pd.DataFrame) -> str:
    """A table as `json.dumps` writes its records at indent 1, column by column.

    Its own encoder walks tens of thousands of cells in Python as soon as it is asked to indent.
    """
    columns = []
    for name in frame:
        key, whole = json.dumps(str(name), ensure_ascii=False), name in _WHOLE
        cells = frame[name].to_numpy(object)
        columns.append([f"   {key}: {_cell_json(v, whole=whole)}" for v in cells])
    records = ["  {\n" + ",\n".join(cells) + "\n  }" for cells in zip(*columns, strict=True)]
    return "[\n" + ",\n".join(records) + "\n ]" if records else "[]"


def _cell_json(value: Any, *, whole: bool) -> str:
    plain = _number(value, whole=whole)
    if plain.__class__ is float or plain.__class__ is int:
        return repr(plain)
    return "null" if plain is None else _ENCODE(plain)


_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def plain_values(value: Any) -> Any:
    """Nested dicts and lists as JSON values."""
    if isinstance(value, Mapping):
        return {str(k): plain_values(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(v) for v in value]
    return _number(value)


def _number(value: Any, *, whole: bool = False) -> Any:
    if value.__class__ is str:
        return value
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
