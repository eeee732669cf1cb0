"""What would mend it, and at what cost: before and after, on people no correction was fitted on."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from audit.metrics import METRICS
from audit.result import AuditResult
from audit.words import counted_faces, gap, gap_interval, in_unit
from reports import lookup
from reports.forest import least_width, name_width
from reports.marks import ROW, figure, group_words, row_axis
from reports.plot import Trace
from reports.theme import LIGHT, Drawn, note, text

METHODS = {
    "temperature": "temperature",
    "platt": "Platt",
    "isotonic": "isotonic",
    "linear": "linear",
    "conformal": "conformal",
    "mondrian": "Mondrian",
}
COLUMNS = [
    *("group", "correction", "metric", "before", "after", "change", "low", "high"),
    *("n_fit", "n_judge", "fitted_on"),
]
CHIEF = ("gender_brier", "age_mae", "interval_coverage")  # of groups, one a head
REPORTED = (  # over all faces, in the report; the dashboard has them all
    *("gender_brier", "gender_ece", "age_mae", "age_me"),
    *("interval_coverage", "interval_width", "interval_gap"),
)
TRADED = ("interval_coverage", "interval_width")  # more is not better by itself
_OTHERS = {  # judged by corrections alone: label and unit
    "gender_me": ("Mean P(female) less share of females", "score"),
    "interval_gap": ("Distance of coverage from what is stated", "share"),
}


def metrics_mended(result: AuditResult) -> list[str]:
    """Metrics that corrections were judged by: those of REPORTED first."""
    held = set(result.proposals.metric[result.proposals.after.notna()])
    known = [m for m in METRICS if m not in REPORTED]
    return [m for m in dict.fromkeys((*REPORTED, *known, *_OTHERS)) if m in held]


def label_unit(metric: str) -> tuple[str, str]:
    """A metric's words and its unit."""
    if metric in METRICS:
        return METRICS[metric].label, METRICS[metric].unit
    return _OTHERS[metric]


def overall_proposals(result: AuditResult) -> list[Drawn]:
    """Per metric, every correction as judged over all faces."""
    rows = result.proposals
    rows = rows[(rows.group == lookup.OVERALL) & rows.after.notna()]
    drawn = [_dumbbells(rows[rows.metric == m], m, lookup.OVERALL) for m in metrics_mended(result)]
    return [d for d in drawn if d is not None]


def group_proposals(
    result: AuditResult,
    *,
    feature: str,
    metrics: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
) -> list[Drawn]:
    """A feature's groups before and after: one map for all beside a map of the group's own.

    By default the chief metric of each head, under the one method that helps all faces most.
    """
    rows = result.proposals
    rows = rows[(rows.feature == feature) & rows.after.notna() & (rows.group != lookup.OVERALL)]
    rows = rows[rows.scope.isin([lookup.OVERALL, feature]) | (rows.scope == "age_group_pred")]
    if groups is not None:
        rows = rows[rows.group.isin(groups)]
    chosen = [m for m in CHIEF if m in set(rows.metric)] if metrics is None else metrics
    drawn = []
    for metric in chosen:
        own = rows[rows.metric == metric]
        wanted = methods or _best(result, metric)
        drawn.append(_dumbbells(own[own.method.isin(wanted)], metric, feature))
    return [d for d in drawn if d is not None]


def _best(result: AuditResult, metric: str) -> list[str]:
    """The method whose map changed all faces most for the better; every method of intervals."""
    rows = result.proposals
    rows = rows[(rows.metric == metric) & (rows.group == lookup.OVERALL) & rows.change.notna()]
    better = METRICS[metric].better if metric in METRICS else ""
    if rows.empty or better not in ("lower", "higher") or metric.startswith("interval"):
        return [str(m) for m in dict.fromkeys(result.proposals.method)]
    at = rows.change.argmin() if better == "lower" else rows.change.argmax()
    return [str(rows.method.iloc[int(at)])]


def _correction(row: Any) -> str:
    """`Platt, one map for all`, `Platt, per race`."""
    method = METHODS.get(row["method"], row["method"])
    if row["scope"] == lookup.OVERALL:
        return f"{method}, one for all"
    return f"{method}, per {lookup.heading(row['scope']).removeprefix('By ')}"


def _dumbbells(rows: pd.DataFrame, metric: str, feature: str) -> Drawn | None:
    """A hollow dot before, a filled one after, the change with its paired interval at the right."""
    if rows.empty:
        return None
    records = lookup.records(rows)
    whole = feature == lookup.OVERALL
    if not whole:
        order = list(dict.fromkeys(rows.group))
        records.sort(key=lambda r: order.index(r["group"]))
    names = [_name(r, records[i - 1] if i else None, whole=whole) for i, r in enumerate(records)]
    label, unit = label_unit(metric)
    like = {"share": "interval_coverage", "score": "gender_brier"}  # for the table's units alone
    table = pd.DataFrame(records).assign(
        metric=metric if metric in METRICS else like[unit],
        correction=[_correction(r) for r in records],
        fitted_on=[
            "all people, too few of its own" if r["fell_back"] is True else "" for r in records
        ],
    )
    words = [_words(r, unit) for r in records]
    return Drawn(
        key=f"proposal-{feature}-{metric}",
        heading=lookup.heading(feature),
        title=_title(records, metric),
        alt=f"{label} before and after. " + "; ".join(words) + ".",
        table=table[COLUMNS],
        data=rows,
        figure=figure(
            _traces(records, [f"{w}, {_judged(r)}" for w, r in zip(words, records, strict=True)]),
            height=ROW * len(names) + 84,
            margin=(name_width(names), 176, 28, 44),
            legend=True,
            xaxis=_axis(metric),
            yaxis=row_axis(names),
            annotations=_changes(records, unit),
        ),
        min_width=max(560, least_width(names, right=176)),
    )


def _name(row: dict[str, Any], before: dict[str, Any] | None, *, whole: bool) -> str:
    if whole and row["feature"] != lookup.OVERALL:
        return f"{_correction(row)}, {lookup.heading(row['feature']).lower()}"
    if whole:
        return _correction(row)
    new = before is None or before["group"] != row["group"]
    fallen = " *" if row["fell_back"] is True else ""
    return (
        f"{group_words(row['group'])} · {_correction(row)}{fallen}"
        if new
        else (f"{_correction(row)}{fallen}")
    )


def _traces(records: list[dict[str, Any]], words: list[str]) -> list[Trace]:
    place = list(range(len(records), 0, -1))
    x: list[float | None] = []
    y: list[float | None] = []
    for r, at in zip(records, place, strict=True):
        x += [None if pd.isna(r["before"]) else r["before"], r["after"], None]
        y += [at, at, None]
    stems = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": LIGHT["rule"], "width": 2},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    ends = []
    for column, symbol in (("before", "circle-open"), ("after", "circle")):
        if all(pd.isna(r[column]) for r in records):
            continue
        ends.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": column,
                "x": [None if pd.isna(r[column]) else r[column] for r in records],
                "y": place,
                "marker": {
                    "color": LIGHT["accent"],
                    "symbol": symbol,
                    "size": 9,
                    "line": {"width": 1.5, "color": LIGHT["accent"]},
                },
                "hovertext": [text(w, longest=200) for w in words],
                "hoverinfo": "text",
            }
        )
    return [stems, *ends]


def _changes(records: list[dict[str, Any]], unit: str) -> list[dict[str, Any]]:
    side: dict[str, Any] = {"xref": "paper", "x": 1, "xshift": 172, "xanchor": "right"}
    of = {"share": "change, points", "years": "change, years"}.get(unit, "change")
    notes = [note(of, y=1, yref="paper", yshift=14, **side)]
    for place, r in zip(range(len(records), 0, -1), records, strict=True):
        notes.append(note(_change(r, unit), y=place, **side))
    return notes


def _change(row: dict[str, Any], unit: str) -> str:
    """`−.012 [−.015, −.009]`; shares differ by points."""
    if pd.isna(row["change"]):
        return "none stated before"
    change = gap(row["change"], unit, signed=True, digits=4)
    if pd.isna(row["low"]):
        return change
    return f"{change} {gap_interval(row['low'], row['high'], unit, signed=True, digits=4)}"


def _words(row: dict[str, Any], unit: str) -> str:
    fallen = ", fell back to the map of all people" if row["fell_back"] is True else ""
    named = {"share": " points", "years": " years"}.get(unit, "")
    if pd.isna(row["change"]):
        ends, named = in_unit(row["after"], unit), ""
    else:
        ends = f"{in_unit(row['before'], unit)} → {in_unit(row['after'], unit)}"
    by = row["group"] == lookup.OVERALL != row["feature"]
    who = group_words(row["group"]) + (f" {lookup.heading(row['feature']).lower()}" if by else "")
    place = f"{who}, {_correction(row)}"
    return f"{place}: {ends}, {_change(row, unit)}{named}{fallen}"


def _judged(row: dict[str, Any]) -> str:
    return f"judged on {counted_faces(row['n_judge'])}"


def _axis(metric: str) -> dict[str, Any]:
    label, unit = label_unit(metric)
    words = label + (", years" if unit == "years" else "")
    axis: dict[str, Any] = {"title": {"text": words}, "nticks": 6}
    return axis | ({"tickformat": ".2~%"} if unit == "share" else {"tickformat": "~g"})


def _title(records: list[dict[str, Any]], metric: str) -> str:
    """The correction that mends the metric most, of those established to; or that none does."""
    label, unit = label_unit(metric)
    years = " years" if unit == "years" else ""
    changed = [r for r in records if pd.notna(r["change"])]
    if not changed:
        ends = [in_unit(end(r["after"] for r in records), unit) for end in (min, max)]
        return f"{label} with the intervals proposed: {ends[0]} to {ends[1]}{years}"
    judged = [r for r in changed if pd.notna(r["low"])] or changed
    mended = [r for r in judged if _mends(r, metric)]
    if not mended and metric in TRADED:
        mended = changed  # more of it is not better: it is told what becomes of it
    if not mended:
        tested = "established" if pd.notna(judged[0]["low"]) else "seen"
        return f"{label}: no correction is {tested} to mend it"
    largest = max(mended, key=lambda r: abs(r["change"]))
    who = "" if largest["group"] == lookup.OVERALL else f"{group_words(largest['group'])}, "
    signed = metric in METRICS and METRICS[metric].better == "zero"
    ends = [in_unit(largest[end], unit, signed=signed) for end in ("before", "after")]
    return f"{label}: {who}{_correction(largest)}, {ends[0]} → {ends[1]}{years}"


def _mends(row: dict[str, Any], metric: str) -> bool:
    """Whether the change, and its interval where it has one, lies on the better side of none."""
    if row["low"] <= 0 <= row["high"]:
        return False
    better = METRICS[metric].better if metric in METRICS else "zero"
    if better == "zero":
        return bool(abs(row["after"]) < abs(row["before"]))
    return bool((row["change"] < 0) == (better == "lower"))
