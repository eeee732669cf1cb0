"""The table behind a figure, in words: one rule for every table of report and dashboard."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from audit import words
from audit.metrics import METRICS
from reports import lookup
from reports.names import isolated

# What a column is called, in the tables people read.
HEADINGS: Mapping[str, str] = {
    "feature": "Feature",
    "group": "Group",
    "metric": "Metric",
    "value": "Value",
    "interval": "95 % interval",
    "n": "Faces",
    "n_subjects": "People",
    "share": "Share of faces",
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
    "mcb": "MCB",
    "discrimination": "DSC",
    "uncertainty": "UNC",
    "ece": "ECE",
    "smooth_ece": "Smooth ECE",
    "l2": "Signed L2², in hundredths",
    "fitted": "Observed",
    "miscalibration_p": "p of MCB",
    "l2_p": "p of L2²",
    "spiegelhalter_z": "Spiegelhalter z",
    "spiegelhalter_p": "p of z",
    "mean_p_adjusted": "p of mean, adjusted",
    "threshold": "At",
    "tpr": "Of females",
    "tpr_interval": "95 % interval of females",
    "female_n": "Females",
    "fpr": "Of males",
    "fpr_interval": "95 % interval of males",
    "male_n": "Males",
    "selection": "Called female",
    "selection_interval": "95 % interval of calls",
    "accepted": "Read as of age",
    "accepted_interval": "95 % interval of read as of age",
    "below_n": "Under the limit",
    "rejected": "Read as under age",
    "rejected_interval": "95 % interval of read as under age",
    "above_n": "Of the limit or older",
    "below": "Younger than interval",
    "above": "Older than interval",
    "winkler": "Winkler score",
    "winkler_interval": "95 % interval of Winkler",
    "z2": "Squared z",
    "z2_interval": "95 % interval of squared z",
    "crps": "CRPS",
    "std_n": "Faces with deviation",
    "quantile": "Stated quantile",
    "pit": "Share of true ages",
    "pit_band": "Band where right",
    "within": "Share",
    "within_interval": "95 % interval of share",
    "by": "Split",
    "correction": "Correction",
    "before": "Before",
    "after": "After",
    "change": "Change",
    "n_fit": "Fitted on",
    "n_judge": "Judged on",
    "fitted_on": "Fell back to",
    "mean_score": "Mean P(female)",
    "complement_value": "Everyone else",
    "n_confirm": "Faces confirmed on",
    "cluster": "Cluster",
    "confirmed": "Confirmed",
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
_WHOLE = {
    *("n", "n_subjects", "n_confirm", "rank", "epoch", "groups_compared", "k", "n_fit", "n_judge"),
    *("female_n", "male_n", "below_n", "above_n", "std_n"),
}
_GAPS = {"difference", "noise_gap", "detectable", "change"}
_IN_UNIT = {"value", "complement_value", "shrunken", "before", "after", *_GAPS}
_SHARES = {
    *("level", "coverage", "mean_score", "fitted", "tpr", "fpr", "selection", "accepted"),
    *("rejected", "below", "above", "pit", "within", "share"),
}
_P_VALUES = {"p_adjusted", "miscalibration_p", "l2_p", "spiegelhalter_p", "mean_p_adjusted"}
_SCORES = {
    "brier",
    "mcb",
    "miscalibration",
    "discrimination",
    "uncertainty",
    "ece",
    "smooth_ece",
    "gender_score",
    "ratio",
}
_YEARS = {"error", "mae", "width", "crps"}
_CHANCE = {  # an error of calibration: what chance alone shows, in brackets beside it
    e: f"{e}_null" for e in ("miscalibration", "ece", "smooth_ece", "l2")
}
_PAIRS = {  # heading of an interval: its two columns
    "interval": ("low", "high"),
    "band": ("band_low", "band_high"),
    "error_interval": ("error_low", "error_high"),
    "mae_interval": ("mae_low", "mae_high"),
    "pit_band": ("pit_low", "pit_high"),
    **{
        f"{stem}_interval": (f"{stem}_low", f"{stem}_high")
        for stem in ("tpr", "fpr", "selection", "accepted", "rejected", "winkler", "z2", "within")
    },
}


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: headings in words, numbers in their unit, intervals joined.

    A row's unit is its metric's (column `metric`); without one, probabilities are shares and
    errors are years. Columns that hold nothing but nulls, other than verdicts, are left out.
    """
    table = _compared(table)
    rows = lookup.records(table)
    columns = {_heading(c): [_cell(c, r) for r in rows] for c in _shown(table)}
    return pd.DataFrame(columns, dtype="str")


class Number(float):
    """A number that is shown in words of its own: `str` gives them."""

    def __new__(cls, value: float, words: str) -> "Number":
        """The number `value`, shown as `words`."""
        number = super().__new__(cls, value)
        number._words = words
        return number

    _words: str

    def __str__(self) -> str:
        return self._words


class Name(str):
    """A name that a grid sorts by the numbers in it, 3-9 before 10-19: `str` gives it as it is."""

    __slots__ = ("_name",)

    def __new__(cls, name: str) -> "Name":
        """`name` with blanks before its numbers, which a screen reader passes over."""
        found = super().__new__(cls, _DIGITS.sub(lambda m: m[0].rjust(16), name))
        found._name = name
        return found

    _name: str

    def __str__(self) -> str:
        return self._name


_DIGITS = re.compile(r"(?<![0-9.])[0-9]+")  # not those after a decimal point


def as_grid(table: pd.DataFrame) -> pd.DataFrame:
    """The table in words for a grid that sorts: numbers are Numbers, names with numbers Names.

    An interval is sorted by its lower end.
    """
    table = _compared(table)
    grid = in_words(table).astype(object)
    for column in _shown(table):
        heading, (low, _) = _heading(column), _PAIRS.get(column, (column, column))
        if is_number(heading) and pd.api.types.is_numeric_dtype(table[low]):
            values = table[low].to_numpy(dtype=float, na_value=math.nan)
            numbers = [*map(Number, values, grid[heading])]
            grid[heading] = pd.Series(numbers, dtype=object)
        elif not is_number(heading):
            names = [Name(words) if _DIGITS.search(words) else words for words in grid[heading]]
            grid[heading] = pd.Series(names, dtype=object)
    return grid


def _heading(column: str) -> str:
    return HEADINGS.get(column, column.replace("_", " "))


def _shown(table: pd.DataFrame) -> Iterator[str]:
    """The columns that people see, an interval's two ends by its name."""
    for column in _order(table):
        low, high = _PAIRS.get(column, (column, column))
        if column in ("metric", "detectable") and "comparison" in table.columns:
            continue  # said in the comparison and in the verdict
        if column == "metric" and "correction" in table.columns:
            continue  # said in the title
        if column != "verdict" and table[low].isna().all() and table[high].isna().all():
            continue
        yield column


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
        "groups help age gender correction fitted_on quantile by cluster confirmed"
    ).split()
} | {"Face"}


def metric_words(metric: str) -> str:
    """`Mean absolute age error`, or the key itself for a metric of another version."""
    return METRICS[metric].label if metric in METRICS else metric


def contrast_words(one: Mapping[str, Any]) -> str:
    """`Mean absolute age error 9.1 years, 5.0 for everyone else: a difference of +4.1 years [...]`.

    one: metric, value, complement_value, difference, and low and high, which are the difference's.
    """
    metric = str(one["metric"])
    unit = METRICS[metric].unit
    value, other = (words.in_unit(one[name], unit) for name in ("value", "complement_value"))
    difference = words.gap_words(one["difference"], unit, signed=True)
    ends = words.gap_interval(one["low"], one["high"], unit, signed=True)
    value += " years" if unit == "years" else ""
    return (
        f"{metric_words(metric)} {value}, {other} for everyone else: "
        f"a difference of {difference} {ends}"
    )


def _order(table: pd.DataFrame) -> list[str]:
    """The table's columns, an interval's two ends replaced by one where the lower stands."""
    ends = {low: name for name, (low, _) in _PAIRS.items()}
    skip = {high for _, high in _PAIRS.values()} | set(_CHANCE.values())
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
        return isolated(_word(column, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    write = _writer(column, row)
    null: Any = row.get(_CHANCE.get(column, ""))
    return write(value) if _missing(null) else f"{write(value)} ({write(null)})"


def _word(column: str, value: str) -> str:
    if column == "metric":
        return metric_words(value)
    if column == "group" and value == lookup.OVERALL:
        return "all faces"
    return STATUS_WORDS.get(value, value) if column == "status" else value


def _writer(column: str, row: Mapping[str, Any]) -> Callable[[float], str]:
    """How a number of this column and row is written."""
    if column in _WHOLE:
        return words.count
    if column in _P_VALUES:
        return words.p_value
    if column == "l2":
        return lambda x: words.score(100 * x)
    if column == "threshold":
        return lambda x: f"{x:.0f} years" if x >= 1 else f"{x:g}".lstrip("0")
    if column in _SCORES:
        return words.score
    stem = column.removesuffix("_interval").removesuffix("_band")
    if stem in _SHARES or column == "band":
        return words.percent
    if stem in ("winkler", "z2", "spiegelhalter_z"):
        return lambda x: f"{x:.2f}".replace("-", words.MINUS)
    if column in _YEARS or column in ("error_interval", "mae_interval"):
        signed = column in ("error", "error_interval")
        return lambda x: words.years(x, signed=signed)
    metric = row.get("metric")
    if column in (*_IN_UNIT, "interval") and metric in METRICS:
        found = METRICS[str(metric)]
        if column in _GAPS:
            return lambda x: words.gap_words(x, found.unit)
        signed = found.better == "zero"
        return lambda x: words.in_unit(x, found.unit, signed=signed)
    if column in ("predicted", "observed", "interval"):
        return words.years if row.get("head") == "age" else words.percent
    return lambda x: f"{x:.4g}"


def _verdict(row: Mapping[str, Any]) -> str:
    """The verdict; where nothing was found, what would have been seen."""
    if _missing(row["verdict"]):
        return "not tested"
    if row["verdict"] == "disparity" or _missing(row.get("p_adjusted")):
        return str(row["verdict"])
    if _missing(row.get("detectable")):
        return f"{row['verdict']}; no difference is sure to be seen"
    return f"{row['verdict']}; seen from {_writer('detectable', row)(row['detectable'])}"


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))
