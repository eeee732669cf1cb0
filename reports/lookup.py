"""Which records of a result a figure draws. Look-ups only: nothing is computed here."""

from collections import namedtuple
from collections.abc import Callable
from functools import cache
from typing import Any

import pandas as pd

from audit import groups
from audit.metrics import METRICS
from audit.result import AuditResult
from audit.words import CROSS, THIN, counted_faces, in_unit, interval
from reports.names import isolated, isolating

OVERALL = groups.OVERALL


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts."""
    names = [str(c) for c in rows.columns]
    return [dict(zip(names, row, strict=True)) for row in cells(rows)]


def each(rows: pd.DataFrame) -> list[Any]:
    """The rows as named tuples, for columns known by name."""
    return list(map(_kind(tuple(map(str, rows.columns)))._make, cells(rows)))


def cells(rows: pd.DataFrame) -> list[list[Any]]:
    """The rows as lists. Five times as fast as pandas' own ways, which go cell by cell."""
    return rows.to_numpy(object).tolist()


@cache
def _kind(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns, rename=True)


def features(result: AuditResult, *, crossed: int = 1) -> list[str]:
    """Names of the features (or crossings of `crossed` features) that hold records, in order."""
    names = result.subgroups.feature.drop_duplicates()
    return [n for n in names if n != OVERALL and len(n.split(CROSS)) == crossed]


def metrics(result: AuditResult, feature: str = OVERALL) -> list[str]:
    """Keys of the metrics that have a value in `feature`, in the order of METRICS."""
    rows = result.subgroups
    held = set(rows.metric[(rows.feature == feature) & rows.value.notna()])
    return [key for key in METRICS if key in held]


def subgroup_rows(result: AuditResult, feature: str, metric: str) -> pd.DataFrame:
    """Records of one metric over a feature's groups, in the feature's own order."""
    return result.subgroups_of(feature, metric)


def overall_row(result: AuditResult, metric: str) -> dict[str, Any] | None:
    """The metric's record over all faces, or None where it has no value."""
    rows = subgroup_rows(result, OVERALL, metric)
    return None if rows.empty or pd.isna(rows.value.iloc[0]) else dict(rows.iloc[0])


def disparity_row(result: AuditResult, feature: str, metric: str) -> dict[str, Any] | None:
    """The record that compares a feature's groups by a metric, without a control feature."""
    rows = result.disparities
    found = rows[(rows.feature == feature) & (rows.metric == metric) & rows.control.isna()]
    return None if found.empty else dict(found.iloc[0])


def is_ordered(result: AuditResult, feature: str) -> bool:
    """Whether the feature's groups have an order of their own (ages, cut numbers)."""
    return any(f["name"] == feature and f.get("ordered") for f in result.info["features"])


def foremost(rows: pd.DataFrame, by: pd.Series, *, most: int) -> pd.DataFrame:
    """Of a long list, all faces and the `most` groups with the largest `by`, in their order.

    Groups of fewer than FEW_BELOW faces are none of these: they are never ranked.
    """
    whole = rows.feature == OVERALL
    if (~whole).sum() <= most:
        return rows
    ranked = by[~whole & (rows.n >= groups.FEW_BELOW)].sort_values(ascending=False, kind="stable")
    kept: pd.DataFrame = rows[whole | rows.index.isin(ranked.index[:most])]
    return kept


def levels(result: AuditResult, feature: str, *, occupied: list[str]) -> list[str]:
    """A feature's levels in its own order, those that occur in `occupied`."""
    known = [f["levels"] for f in result.info["features"] if f["name"] == feature]
    own = [str(level) for level in known[0]] if known else []
    held = set(occupied)
    return [x for x in own if x in held] + [x for x in dict.fromkeys(occupied) if x not in set(own)]


def worst_group(result: AuditResult, feature: str, metric: str) -> str | None:
    """The compared group furthest on the bad side, as the disparity record names it.

    For a signed metric the group furthest from zero; for one without a bad side, none.
    """
    record = disparity_row(result, feature, metric)
    if record is None or metric not in METRICS:
        return None
    ends = [record["lowest_group"], record["highest_group"]]
    if any(not isinstance(group, str) for group in ends):
        return None
    better = METRICS[metric].better
    if better == "neither":
        return None
    low, high = str(ends[0]), str(ends[1])
    if better == "zero":
        values = {r.group: r.value for r in each(subgroup_rows(result, feature, metric))}
        held = [group for group in (low, high) if group in values]
        return max(held, key=lambda group: abs(values[group]), default=None)
    return low if better == "higher" else high


def in_place(result: AuditResult) -> Callable[[str], str]:
    """A function that keeps the audit's right-to-left names in their place within a sentence."""
    own = [f for f in result.info["features"] if not f.get("crossing")]
    return isolating({str(x) for f in own for x in (f["name"], *f["levels"])})


def heading(feature: str) -> str:
    """What a feature is called above its figures: `By race`, `By race × age group`."""
    words = {
        "gender_true": "labelled gender",
        "age_group": "true age",
        "age_group_pred": "predicted age",
        OVERALL: "all faces",
    }
    parts = [words.get(name, name.replace("_", " ")) for name in feature.split(CROSS)]
    return "All faces" if feature == OVERALL else "By " + isolated(CROSS.join(parts))


def by_words(feature: str) -> str:
    """`by labelled gender`: a feature in the middle of a title."""
    words = heading(feature)
    return words[0].lower() + words[1:]


def value_words(row: Any) -> str:
    """`10.7 years`: the record's value in its metric's unit."""
    found = METRICS[row["metric"]]
    unit = f"{THIN}years" if found.unit == "years" else ""
    return in_unit(row["value"], found.unit, signed=found.better == "zero") + unit


def figure_words(row: Any, *, n: bool = False) -> str:
    """`10.7 years [9.5, 11.9]`, with `, 177 faces` where asked."""
    found = METRICS[row["metric"]]
    signed = found.better == "zero"
    ends = ""
    if pd.notna(row["low"]) and pd.notna(row["high"]):
        ends = " " + interval(row["low"], row["high"], found.unit, signed=signed)
    return value_words(row) + ends + (f", {counted_faces(row['n'])}" if n else "")
