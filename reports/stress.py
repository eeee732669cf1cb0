"""The stress page: how far errors rise in worse pictures, and for whom they rise more.

Draws what `audit.stress` stored; it computes no figure. One file, no script, no request.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from audit.metrics import METRICS
from audit.stress import StressResult, established, verdict_words
from audit.words import (
    GAP_UNITS,
    THIN,
    count,
    gap,
    gap_interval,
    gap_words,
    in_unit,
    interval,
    p_value,
)
from reports import lookup
from reports.panels import Line, panel_svg, ticks_of
from reports.templates import page_environment

OVERALL = lookup.OVERALL
CLEAN = "clean"
FINDINGS = 8  # that stand open
OVER_ALL = ("age_mae", "age_me", "gender_accuracy", "interval_coverage")
UNEQUAL, NONE = "unequal harm", "no unequal harm found"
VERDICTS = {UNEQUAL: "established", NONE: "none found"}

Record = dict[str, Any]


def render_stress(result: StressResult, *, examples: Mapping[str, Sequence[bytes]]) -> str:
    """The page as HTML: the same bytes for the same result.

    examples: small JPEGs of a drawn face under each corruption, clean first, then by severity; none
    for corruptions without an entry.
    """
    environment = page_environment()
    told = established(result.comparisons)["sentence"].tolist()
    words = verdict_words(result.comparisons)
    corruptions = _corruptions(result)
    return environment.get_template("stress.html").render(
        info=result.info,
        about=_about(result.info),
        verdict=told[0] if told else words,
        counted=words if told else "",
        findings=told[1:FINDINGS],
        more_findings=told[FINDINGS:],
        tiles=list(_tiles(result, corruptions)),
        shown=[
            {**c, "pictures": [_data_uri(p) for p in examples.get(c["name"], ())]}
            for c in corruptions
        ],
        overall=_overalls(result, corruptions),
        features=[
            {"heading": lookup.heading(f["name"]), "figures": figures}
            for f in result.info["features"]
            if (figures := _by_feature(result, f["name"], corruptions))
        ],
    )


def stress_section(result: StressResult) -> Record:
    """What the audit's report says of the same model in worse pictures: verdicts, and all faces."""
    told = established(result.comparisons)["sentence"].tolist()
    corruptions = _corruptions(result)
    return {
        "about": f"{result.info['model']}: {_about(result.info)}",
        "verdict": verdict_words(result.comparisons),
        "findings": told[:FINDINGS],
        "overall": _overalls(result, corruptions),
        "features": [
            {"heading": lookup.heading(f["name"]), "figure": figures[0]}
            for f in result.info["features"]
            if (figures := _by_feature(result, f["name"], corruptions))
        ],
    }


def _overalls(result: StressResult, corruptions: Sequence[Record]) -> list[Record]:
    there = set(result.curves["metric"])
    return [_overall(result, metric, corruptions) for metric in OVER_ALL if metric in there]


def _corruptions(result: StressResult) -> list[Record]:
    """Name, label and steps of every corruption, in the order they were made in."""
    known = result.info.get("steps", {})
    held = result.info["corruptions"]
    names = [n for n in known if n in held] + [n for n in held if n not in known]
    return [
        {
            "name": n,
            "label": known.get(n, {}).get("label", n),
            "steps": [
                known.get(n, {}).get("steps", {}).get(str(severity), "")
                for severity in result.info["severities"]
            ],
        }
        for n in names
    ]


def _about(info: Mapping[str, Any]) -> str:
    people = "photos, one a person assumed" if info["people_assumed"] else "people"
    parts = [f"{count(info['faces'])} faces of {count(info['people'])} {people}"]
    if info.get("people_there", 0) > info["people"]:
        parts.append(f"drawn by lot from {count(info['people_there'])}")
    if info.get("split"):
        parts.append("all parts" if info["split"] == "all" else f"{info['split']} part")
    return ", ".join(parts).replace(THIN, "\u202f")


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _tiles(result: StressResult, corruptions: Sequence[Record]) -> list[Record]:
    """Each metric clean, and under the corruption that moves it furthest to the bad side."""
    rows = result.curves[result.curves["feature"] == OVERALL]
    labels = {c["name"]: c["label"] for c in corruptions}
    tiles = []
    for key in ("age_mae", "gender_accuracy", "interval_coverage"):
        mine = rows[(rows["metric"] == key) & rows["value"].notna()]
        clean, others = mine[mine["corruption"] == CLEAN], mine[mine["corruption"] != CLEAN]
        if clean.empty or others.empty:
            continue
        values = others["value"] if METRICS[key].better == "lower" else -others["value"]
        worst = dict(others.iloc[int(values.argmax())])
        label = labels[worst["corruption"]]
        tiles.append(
            {
                "what": METRICS[key].label + ", clean",
                "value": lookup.value_words(dict(clean.iloc[0])),
                "range": lookup.figure_words(dict(clean.iloc[0])).split(" ", 1)[-1],
                "worst": f"{label} {worst['severity']}: {lookup.figure_words(worst)}",
            }
        )
    return tiles


def _overall(result: StressResult, metric: str, corruptions: Sequence[Record]) -> Record:
    rows = _rows(result, OVERALL, metric)
    panels = []
    ticks = ticks_of(rows)
    for c in corruptions:
        line = _line(rows, c["name"], OVERALL, look="accent", whiskers=True)
        last = line.records[-1]
        moved = gap_words(last["change"], METRICS[metric].unit, signed=True)
        moved = f"{moved} at {last['severity']}"
        panels.append(_panel(c["label"], metric, ticks, [line], moved, strong=False))
    return {
        "title": METRICS[metric].label,
        "help": METRICS[metric].help,
        "panels": panels,
        "table": _table(rows, [OVERALL], corruptions, metric),
    }


def _by_feature(result: StressResult, feature: str, corruptions: Sequence[Record]) -> list[Record]:
    figures = []
    told = result.comparisons[result.comparisons["feature"] == feature]
    for metric in dict.fromkeys(told["metric"]):
        rows = _rows(result, feature, metric)
        all_rows = _rows(result, OVERALL, metric)
        groups = [g for g in dict.fromkeys(rows["group"]) if _shown(rows, g)]
        verdicts = {r["corruption"]: r for r in lookup.records(told[told["metric"] == metric])}
        ticks = ticks_of(rows[rows["status"] == "ok"])
        panels = []
        for c in corruptions:
            record = verdicts[c["name"]]
            sure = record["verdict"] == UNEQUAL
            lines = [
                _line(rows, c["name"], g, look="context")
                for g in groups
                if g != record["group"] and _compared(rows, g)
            ]
            lines.append(_line(all_rows, c["name"], OVERALL, look="all"))
            look = "group" if sure else "accent"
            lines.append(_line(rows, c["name"], record["group"], look=look, whiskers=True))
            words = f"{record['group']} at {record['severity']}: {_harm(record)}"
            words += GAP_UNITS[METRICS[metric].unit]
            panels.append(_panel(c["label"], metric, ticks, lines, words, strong=sure))
        figures.append(
            {
                "title": _title(METRICS[metric].label, verdicts, corruptions),
                "panels": panels,
                "comparisons": [_row(verdicts[c["name"]], c["label"]) for c in corruptions],
                "table": _table(rows, groups, corruptions, metric),
            }
        )
    return figures


def _rows(result: StressResult, feature: str, metric: str) -> pd.DataFrame:
    rows = result.curves
    return rows[(rows["feature"] == feature) & (rows["metric"] == metric)]


def _shown(rows: pd.DataFrame, group: str) -> bool:
    return bool(rows.loc[rows["group"] == group, "value"].notna().any())


def _compared(rows: pd.DataFrame, group: str) -> bool:
    return bool((rows.loc[rows["group"] == group, "status"] == "ok").all())


def _line(
    rows: pd.DataFrame, corruption: str, group: str, *, look: str, whiskers: bool = False
) -> Line:
    mine = rows[(rows["group"] == group) & rows["corruption"].isin([CLEAN, corruption])]
    records = lookup.records(mine[mine["value"].notna()].sort_values("severity"))
    return Line("all faces" if group == OVERALL else group, records, look, whiskers)


@dataclass(frozen=True)
class Panel:
    """One corruption: its name, its picture, and what is to be read off it."""

    label: str
    svg: Markup
    words: str
    strong: bool


def _panel(
    label: str, metric: str, ticks: list[float], lines: Sequence[Line], words: str, *, strong: bool
) -> Panel:
    return Panel(label, panel_svg(lines, metric=metric, ticks=ticks, label=label), words, strong)


def _title(label: str, verdicts: Mapping[str, Record], corruptions: Sequence[Record]) -> str:
    names = [c["label"] for c in corruptions if verdicts[c["name"]]["verdict"] == UNEQUAL]
    if names:
        return f"{label}: unequal harm by {', '.join(n.lower() for n in names)}"
    decided = all(r["verdict"] == NONE for r in verdicts.values())
    return f"{label}: {'no unequal harm found' if decided else 'no unequal harm established'}"


def _harm(record: Record) -> str:
    unit = METRICS[record["metric"]].unit
    ends = gap_interval(record["low"], record["high"], unit, signed=True)
    return f"{gap(record['harm'], unit, signed=True)} {ends}"


def _row(record: Record, label: str) -> list[str]:
    unit = METRICS[record["metric"]].unit
    names = ("change", "rest_change", "gap_clean", "gap")
    change, of_rest, before, after = (gap(record[name], unit, signed=True) for name in names)
    return [
        label,
        VERDICTS.get(record["verdict"], "cannot be decided"),
        f"{record['group']}, {record['severity']}",
        f"{change}, {of_rest}",
        _harm(record),
        f"{before} → {after}",
        p_value(record["p_adjusted"]).removeprefix("p = ").removeprefix("p "),
    ]


def _table(
    rows: pd.DataFrame, groups: Sequence[str], corruptions: Sequence[Record], metric: str
) -> Record:
    """Values of every group under every reading, a row a reading."""
    at = {(r["corruption"], r["severity"], r["group"]): r for r in lookup.records(rows)}
    unit = METRICS[metric].unit
    signed = METRICS[metric].better == "zero"

    def cells(corruption: str, severity: int) -> list[str]:
        found = [at[corruption, severity, g] for g in groups]
        return [
            f"{in_unit(r['value'], unit, signed=signed)} "
            f"{interval(r['low'], r['high'], unit, signed=signed)}"
            for r in found
        ]

    labels = {c["name"]: c["label"] for c in corruptions}
    steps = {k[:2] for k in at if k[0] != CLEAN}
    ordered = sorted(steps, key=lambda step: (list(labels).index(step[0]), step[1]))
    body = [{"head": "Clean", "cells": cells(CLEAN, 0)}]
    body += [{"head": f"{labels[n]} {s}", "cells": cells(n, s)} for n, s in ordered]
    return {"groups": ["All faces" if g == OVERALL else g for g in groups], "rows": body}
