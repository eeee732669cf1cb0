"""The first screen, in words: the report's opening and the dashboard's Overview are the same."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath
from typing import Any

import pandas as pd

from audit.groups import SUPPRESSED_BELOW
from audit.metrics import METRICS
from audit.result import AuditResult
from audit.words import (
    count,
    counted_faces,
    counted_people,
    counted_rows,
    in_unit,
    interval,
    p_value,
)
from reports import lookup

TILES = ("age_mae", "gender_accuracy", "interval_coverage")
HOW_FINDINGS = (
    "Ranked. One dot per group with its 95 % interval; the dotted line is all faces; the diamond "
    "is the group of the sentence; numbers at the right count faces."
)
SPARE = ("gender_tpr", "age_cs5", "gender_auc")  # stand in where a head is missing


@dataclass(frozen=True)
class Tile:
    """One overall figure with its interval, and the compared group furthest on its bad side."""

    metric: str
    label: str
    value: str
    unit: str
    interval: str
    worst_group: str
    worst_figures: str


@dataclass(frozen=True)
class Finding:
    """A finding's sentence and the numbers that stand beside it; feature and metric may be None."""

    sentence: str
    kind: str
    severity: int
    feature: str | None
    group: str | None
    metric: str | None
    figures: str


@dataclass(frozen=True)
class Opening:
    """Title and verdict, three tiles, findings, what was left out, what cannot be concluded."""

    title: str
    about: str
    verdict: str
    tiles: tuple[Tile, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]
    limits: tuple[str, ...]


def opening(result: AuditResult) -> Opening:
    """The words of the first screen, from stored figures alone."""
    verdict, findings = _findings(result)
    said = lookup.in_place(result)
    return Opening(
        title=f"Audit of {result.info['model']}",
        about=about(result),
        verdict=said(verdict),
        tiles=tuple(replace(t, worst_group=said(t.worst_group)) for t in _tiles(result)),
        findings=tuple(
            replace(f, sentence=said(f.sentence), figures=said(f.figures))
            for f in findings
            if f.kind != "data"
        ),
        left_out=tuple(map(said, _left_out(result))),
        limits=tuple(_limits(result)),
    )


def about(result: AuditResult) -> str:
    """`predictions.parquet · 3 000 faces · 3 000 people · 23 November 2026`."""
    info = result.info
    source = (info["run"].get("paths") or {}).get("source")
    table = [PurePath(source).name] if source else []
    people = (
        "one photo per person assumed"
        if info.get("subjects_assumed")
        else counted_people(info["subjects"])
    )
    return " · ".join([*table, counted_faces(info["rows_audited"]), people, date(result)])


def date(result: AuditResult) -> str:
    """The day of the audit, `23 November 2026`."""
    created = str(result.info["run"].get("created", ""))
    try:
        day = datetime.fromisoformat(created)
    except ValueError:
        return created or "undated"
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


_MONTHS = (  # not by locale: the same report everywhere
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def _findings(result: AuditResult) -> tuple[str, list[Finding]]:
    """The verdict's sentence, and the findings but the one that only repeats it."""
    rows = lookup.records(result.findings)
    if not rows:
        return "Nothing stands out, and nothing was tested.", []
    head = next((r for r in rows if r["kind"] == "verdict"), rows[0])
    rest = [r for r in rows if r is not head and r["sentence"] != head["sentence"]]
    return str(head["sentence"]), [_finding(r) for r in rest]


def _finding(row: dict[str, Any]) -> Finding:
    words = {k: None if pd.isna(row[k]) else str(row[k]) for k in ("feature", "group", "metric")}
    parts, place = [], ""
    if words["metric"] in METRICS and pd.notna(row["value"]):
        group = "all faces" if words["feature"] == lookup.OVERALL else words["group"]
        place = f"{group}: " if group else ""
        parts.append(lookup.figure_words(row))
    if pd.notna(row["n"]) and words["feature"]:
        parts.append(counted_faces(row["n"]))
    if pd.notna(row["p_adjusted"]):
        parts.append(f"adjusted {p_value(row['p_adjusted'])}")
    elif words["feature"]:
        parts.append("not tested")
    # a figure does not break over lines, the name of a group may
    parts = [part.replace(" ", "\u00a0") for part in parts]
    return Finding(
        sentence=str(row["sentence"]),
        kind=str(row["kind"]),
        severity=0 if pd.isna(row["severity"]) else int(row["severity"]),
        figures=place + " · ".join(parts),
        **words,
    )


def _tiles(result: AuditResult) -> list[Tile]:
    chosen = [m for m in TILES if lookup.overall_row(result, m) is not None]
    spare = [m for m in SPARE if lookup.overall_row(result, m) is not None]
    return [_tile(result, metric) for metric in (*chosen, *spare)[:3]]


def _tile(result: AuditResult, metric: str) -> Tile:
    row = lookup.overall_row(result, metric)
    assert row is not None
    found = METRICS[metric]
    value, unit = in_unit(row["value"], found.unit), ""
    if found.unit == "years":
        unit = "years"
    elif found.unit == "share":
        value, unit = value.removesuffix("\u00a0%"), "%"
    ends = "" if pd.isna(row["low"]) else interval(row["low"], row["high"], found.unit)
    return Tile(metric, found.label, value, unit, ends, *_worst(result, metric))


def _worst(result: AuditResult, metric: str) -> tuple[str, str]:
    """`Highest: 70+` and `10.7 years [9.5, 11.9]`, among single features' compared groups."""
    found = METRICS[metric]
    candidates = []
    for feature in lookup.features(result):
        group = lookup.worst_group(result, feature, metric)
        rows = lookup.subgroup_rows(result, feature, metric)
        candidates += lookup.records(rows[rows.group == group])
    if not candidates:
        return "No groups large enough to compare", ""
    sign = -1 if found.better == "higher" else 1
    worst = max(candidates, key=lambda r: sign * r["value"])
    if all(_compared(result, metric).value == worst["value"]):
        return "The same in every compared group", ""
    side = "Lowest" if sign < 0 else "Highest"
    return f"{side}: {worst['group']}", lookup.figure_words(worst)


def _compared(result: AuditResult, metric: str) -> pd.DataFrame:
    """The metric's records of single features' compared groups."""
    rows = result.subgroups
    single = rows.feature.isin(lookup.features(result))
    return rows[single & (rows.metric == metric) & (rows.status == "ok")]


def _left_out(result: AuditResult) -> list[str]:
    """Rows read, rows left out by reason, groups too small, and what was assumed."""
    info = result.info
    reasons = {k: n for k, n in info["rows_left_out"].items() if n}
    read, audited = count(info["rows_read"]), count(info["rows_audited"])
    lines = [f"{read} rows were read, {audited} audited."]
    lines += [f"Left out: {counted_rows(n)}, {reason}." for reason, n in reasons.items()]
    if not reasons:
        lines = [f"All {read} rows that were read were audited."]
    seen = {line.rstrip(".") for line in lines}
    rows = result.findings
    for sentence in rows.sentence[rows.kind == "data"]:
        if "left out" not in sentence and sentence.rstrip(".") not in seen:
            lines.append(sentence)
    return [*lines, *map(str, info.get("notes", [])), *site_notes(result)]


def site_notes(result: AuditResult) -> list[str]:
    """What to know of an audit that was made from tallies; nothing where rows were read."""
    return [str(note) for note in (result.info["run"].get("sites") or {}).get("notes", [])]


def _limits(result: AuditResult) -> list[str]:
    """What cannot be concluded: the audit's own sentences, and comparisons not tested."""
    lines = []
    overall = result.subgroups[result.subgroups.feature == lookup.OVERALL]
    if len(overall) and (overall.status == "suppressed").all():
        people = counted_people(overall.n_subjects.max())
        lines.append(
            f"No figure over all faces is shown: they are of {people}, and a figure is shown from "
            f"{SUPPRESSED_BELOW} on."
        )
    verdicts = result.disparities.verdict
    undecided = int((verdicts == "insufficient evidence").sum())
    if len(verdicts) and verdicts.isna().all():
        lines.append(
            f"None of the {count(len(verdicts))} comparisons of groups was tested: a difference "
            "seen here may be chance."
        )
    elif undecided:
        lines.append(
            f"{count(undecided)} of {count(int(verdicts.notna().sum()))} comparisons cannot be "
            "decided with this table."
        )
    return [*lines, *map(str, result.info.get("limits", []))]
