"""The table behind a figure, in words: one rule for every table of report and dashboard."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from audit import words
from audit.metrics import METRICS
from reports import lookup

# What a column is called, in the tables people read.
HEADINGS: Mapping[str, str] = {
    "feature": "Feature",
    "group": "Group",
    "metric": "Metric",
    "value": "Value",
    "interval": "95 % interval",
    "n": "Faces",
    "n_subjects": "People",
    "shrunken": "Shrunken",
    "status": "Status",
    "difference": "Difference",
    "ratio": "Ratio",
    "lowest_group": "Lowest",
    "highest_group": "Highest",
    "noise_gap": "From noise alone",
    "groups_compared": "Groups",
    "p_adjusted": "Adjusted p",
    "comparison": "Comparison",
    "detectable": "Seen from",
    "verdict": "Verdict",
    "bin": "Bin",
    "predicted": "Predicted",
    "observed": "Observed",
    "band": "Band of a calibrated score",
    "error": "Mean signed error",
    "error_interval": "95 % interval of signed error",
    "mae": "Mean absolute error",
    "mae_interval": "95 % interval of absolute error",
    "level": "Stated",
    "coverage": "Coverage",
    "width": "Mean width",
    "true": "True",
    "k": "Within years",
    "brier": "Brier score",
    "miscalibration": "Miscalibration",
    "discrimination": "Discrimination",
    "uncertainty": "Uncertainty",
    "ece": "ECE",
    "ece_null": "ECE by chance",
    "mean_score": "Mean P(female)",
    "complement_value": "Everyone else",
    "n_confirm": "Faces confirmed on",
    "rank": "Rank",
    "image": "Picture",
    "age": "Age, true → read",
    "age_interval": "Stated interval",
    "gender": "Gender, labelled → called",
    "gender_score": "P(female)",
    "groups": "Groups",
    "help": "What it says",
    "epoch": "Epoch",
}
STATUS_WORDS = {
    "ok": "",
    "few": "few: out of comparisons",
    "suppressed": "too few to show",
    "undefined": "undefined",
}
_WHOLE = {"n", "n_subjects", "n_confirm", "rank", "epoch", "groups_compared", "k"}
_GAPS = {"difference", "noise_gap", "detectable"}
_IN_UNIT = {"value", "complement_value", "shrunken", *_GAPS}
_SHARES = {"level", "coverage", "mean_score"}
_SCORES = {
    "brier",
    "miscalibration",
    "discrimination",
    "uncertainty",
    "ece",
    "ece_null",
    "gender_score",
    "ratio",
}
_YEARS = {"error", "mae", "width"}
_PAIRS = {  # heading of an interval: its two columns
    "interval": ("low", "high"),
    "band": ("band_low", "band_high"),
    "error_interval": ("error_low", "error_high"),
    "mae_interval": ("mae_low", "mae_high"),
}


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: headings in words, numbers in their unit, intervals joined.

    A row's unit is its metric's (column `metric`); without one, probabilities are shares and
    errors are years. Columns that hold nothing but nulls, other than verdicts, are left out.
    """
    columns: dict[str, list[str]] = {}
    table = _compared(table)
    rows = lookup.records(table)
    for column in _order(table):
        low, high = _PAIRS.get(column, (column, column))
        if column in ("metric", "detectable") and "comparison" in table.columns:
            continue  # said in the comparison and in the verdict
        if column != "verdict" and table[low].isna().all() and table[high].isna().all():
            continue
        columns[HEADINGS.get(column, column.replace("_", " "))] = [_cell(column, r) for r in rows]
    return pd.DataFrame(columns, dtype="str")


def _compared(table: pd.DataFrame) -> pd.DataFrame:
    """Metric and feature of a comparison as one column, so that the table fits a page."""
    if not {"feature", "metric", "lowest_group"} <= set(table.columns):
        return table
    words = [
        f"{metric_words(m)} {lookup.heading(f).lower() if f else ''}".strip()
        for f, m in zip(table.feature, table.metric, strict=True)
    ]
    return table.drop(columns="feature").assign(comparison=words)[
        ["comparison", *(c for c in table.columns if c != "feature")]
    ]


def is_number(heading: str) -> bool:
    """Whether the column of this heading holds numbers (set flush right)."""
    return heading not in _WORDS


_WORDS = {
    HEADINGS[c]
    for c in (
        "comparison feature group metric status lowest_group highest_group verdict bin true image "
        "groups help age gender"
    ).split()
} | {"Face"}


def metric_words(metric: str) -> str:
    """`Mean absolute age error`, or the key itself for a metric of another version."""
    return METRICS[metric].label if metric in METRICS else metric


def _order(table: pd.DataFrame) -> list[str]:
    """The table's columns, an interval's two ends replaced by one where the lower stands."""
    ends = {low: name for name, (low, _) in _PAIRS.items()}
    skip = {high for _, high in _PAIRS.values()}
    return [ends.get(c, c) for c in map(str, table.columns) if c not in skip]


def _cell(column: str, row: Mapping[str, Any]) -> str:
    if column in _PAIRS:
        low, high = (row[end] for end in _PAIRS[column])
        if _missing(low) or _missing(high):
            return ""
        write = _writer(column, row)
        return f"[{write(low)}, {write(high)}]"
    value = row[column]
    if column == "verdict":
        return _verdict(row)
    if _missing(value):
        return ""
    if isinstance(value, str):
        return _word(column, value)
    return _writer(column, row)(value)


def _word(column: str, value: str) -> str:
    if column == "metric":
        return metric_words(value)
    return STATUS_WORDS.get(value, value) if column == "status" else value


def _writer(column: str, row: Mapping[str, Any]) -> Callable[[float], str]:
    """How a number of this column and row is written."""
    if column in _WHOLE:
        return words.count
    if column == "p_adjusted":
        return words.p_value
    if column in _SCORES:
        return words.score
    if column in _SHARES or column == "band":
        return words.percent
    if column in _YEARS or column in ("error_interval", "mae_interval"):
        signed = column in ("error", "error_interval")
        return lambda x: words.years(x, signed=signed)
    metric = row.get("metric")
    if column in (*_IN_UNIT, "interval") and metric in METRICS:
        found = METRICS[str(metric)]
        if column in _GAPS:
            return lambda x: _gap(x, found.unit)
        signed = found.better == "zero"
        return lambda x: words.in_unit(x, found.unit, signed=signed)
    if column in ("predicted", "observed", "interval"):
        return words.years if row.get("head") == "age" else words.percent
    return lambda x: f"{x:.4g}"


def _verdict(row: Mapping[str, Any]) -> str:
    """The verdict; where nothing was found, what would have been seen."""
    if _missing(row["verdict"]):
        return "not tested"
    if row["verdict"] == "disparity" or _missing(row.get("detectable")):
        return str(row["verdict"])
    return f"{row['verdict']}; seen from {_writer('detectable', row)(row['detectable'])}"


def _gap(x: float, unit: str) -> str:
    """A difference with its unit: shares differ by points, not by percent."""
    if unit == "share":
        return f"{100 * x:.1f} points".replace("-", words.MINUS)
    return f"{words.years(x)} years" if unit == "years" else words.in_unit(x, unit)


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
