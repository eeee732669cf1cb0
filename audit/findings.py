"""What was found, as ranked sentences, each with its numbers in the same record."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.fairness import is_tested
from audit.groups import CROSS, OVERALL
from audit.metrics import METRICS
from audit.result import COLUMNS
from audit.words import count, in_unit, interval, percent, years

_KEY = ("feature", "group", "metric")
MOST = 12  # findings of one kind that a reader is shown
STRONG, PLAIN, NOTE = 3, 2, 1  # severity


def find(tables: Mapping[str, pd.DataFrame], info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Findings, most important first: one `verdict` (the headline), then differences, then data.

    tables: the audit's tables by name. Where nothing was tested, sentences say so.
    """
    gaps = untested_gaps(tables["disparities"], tables["subgroups"])
    data = data_findings(tables["subgroups"], info)
    head = headline(gaps, tables["subgroups"])
    return [_record(**r) for r in (head, *gaps[:MOST], *data)]


def untested_gaps(disparities: pd.DataFrame, subgroups: pd.DataFrame) -> list[dict[str, Any]]:
    """Largest differences first, in margins of practical importance; nothing below one margin."""
    seen = [
        r
        for r in _rows(disparities)
        if is_tested(r["feature"].split(CROSS), r["metric"]) and r["difference"] >= r["margin"]
    ]
    seen.sort(key=lambda r: -r["difference"] / r["margin"])
    values = _by_key(subgroups)
    records = []
    for row in seen:
        metric, feature = METRICS[row["metric"]], row["feature"]
        low = values[feature, row["lowest_group"], metric.key]
        high = values[feature, row["highest_group"], metric.key]
        sentence = (
            f"{metric.label} by {feature} ranges from {_amount(low['value'], metric.key)} "
            f"({low['group']}) to {_amount(high['value'], metric.key)} ({high['group']}); "
            "whether that is more than chance has not been tested."
        )
        worse = low if metric.better == "higher" else high
        shown = {key: worse[key] for key in (*_KEY, "value", "low", "high", "n")}
        records.append(shown | {"kind": "disparity", "severity": PLAIN, "sentence": sentence})
    return records


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in r.items()} for r in frame.to_dict("records")]


def _by_key(subgroups: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(r["feature"], r["group"], r["metric"]): r for r in _rows(subgroups)}


def headline(gaps: list[dict[str, Any]], subgroups: pd.DataFrame) -> dict[str, Any]:
    """The one sentence for the first screen while nothing has been tested."""
    if not gaps:
        words = "No compared groups differ by more than the margin of practical importance."
        return {"kind": "verdict", "severity": STRONG, "sentence": f"{words} Nothing was tested."}
    first = gaps[0]
    metric = METRICS[first["metric"]]
    whole = subgroups[(subgroups["feature"] == OVERALL) & (subgroups["metric"] == metric.key)].iloc[
        0
    ]
    shown = interval(first["low"], first["high"], metric.unit, signed=metric.better == "zero")
    sentence = (
        f"{metric.label} is {_amount(first['value'], metric.key)} {shown} for "
        f"{first['group']}, against {_amount(whole['value'], metric.key)} over all "
        f"{count(whole['n'])} faces: the largest difference seen, not yet tested."
    )
    return first | {"kind": "verdict", "severity": STRONG, "sentence": sentence}


def data_findings(subgroups: pd.DataFrame, info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was left out, and about whom nothing can be said."""
    left_out = info["rows_left_out"]
    records = [
        {
            "kind": "data",
            "severity": NOTE,
            "sentence": f"{count(n)} of {count(info['rows_read'])} rows were left out: {reason}.",
            "n": n,
        }
        for reason, n in left_out.items()
        if n
    ]
    small = subgroups[subgroups["status"].isin(["few", "suppressed"])]
    groups = small.drop_duplicates(["feature", "group"])
    if len(groups):
        total = len(subgroups.drop_duplicates(["feature", "group"]))
        sentence = (
            f"{count(len(groups))} of {count(total)} groups have fewer than 30 people for at "
            "least one figure: shown where 10 or more, never compared."
        )
        records.append({"kind": "data", "severity": NOTE, "sentence": sentence, "n": len(groups)})
    return records


def _amount(value: float, key: str) -> str:
    """A value with its unit in words: `4.1 years`, `91.2 %`, `.058`."""
    metric = METRICS[key]
    if metric.unit == "years":
        return f"{years(value, signed=metric.better == 'zero')} years"
    return percent(value) if metric.unit == "share" else in_unit(value, metric.unit)


def _record(**given: Any) -> dict[str, Any]:
    return {column: given.get(column) for column in COLUMNS["findings"]}
