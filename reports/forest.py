"""Forest plots: one dot per group with its 95 % interval, the whole as a thin line, n at the right.

Twice: as a plotly figure, and as a few lines of SVG that stand beside a finding's sentence before
any script has run.
"""

from typing import Any

import pandas as pd
from markupsafe import Markup

from audit.metrics import METRICS
from audit.result import AuditResult
from audit.words import count, counted_faces
from reports import lookup
from reports.names import isolated, width
from reports.plot import Figure, Trace, scatter
from reports.theme import LIGHT, SIZE, Drawn, Span, axis_of, note, styled, text, told_apart

ROW = 26  # px per group
SMALL_ROW = 20
SMALL_MOST = 9
_EDGE = 64  # px at the right, for the number of faces
_NAME = 15  # characters that fit beside the dots of a small one
WHOLE = {"color": LIGHT["ink"], "width": 1, "dash": "dot"}  # the line of all faces
MOST = 24  # groups of one figure; a crossing may have more, the table has them all
# the metric, which the title names, stands last
COLUMNS = ["group", "value", "low", "high", "n", "n_subjects", "shrunken", "status", "metric"]


def forest(result: AuditResult, *, feature: str, metric: str) -> Drawn:
    """The groups of a feature by one metric. Sorted by value unless the feature has an order.

    Of more than MOST groups, the compared ones on the bad side are drawn; the table has them all.
    """
    rows = lookup.subgroup_rows(result, feature, metric)
    shown = _sorted(rows, keep=lookup.is_ordered(result, feature), metric=metric)
    if len(shown) > MOST:
        shown = shown[shown.status == "ok"].head(MOST)
    worst = lookup.worst_group(result, feature, metric)
    figure = _figure(shown, metric=metric, worst=worst, overall=lookup.overall_row(result, metric))
    return Drawn(
        key=f"forest-{feature}-{metric}",
        heading=lookup.heading(feature),
        title=_title(result, feature, metric, rows, worst),
        alt=alt_words(rows, metric),
        table=rows[COLUMNS],
        figure=figure,
        span=span_of(list(shown.group)),
        min_width=least_width(list(shown.group), right=_EDGE),
    )


def _sorted(rows: pd.DataFrame, *, keep: bool, metric: str) -> pd.DataFrame:
    """In the feature's own order, or by value with the bad side first, groups of few after all.

    Raw values of small groups are never ranked: the smallest cell would win by chance.
    """
    if keep:
        return rows
    ascending = METRICS[metric].better == "higher"
    compared = rows.status == "ok"
    ranked = rows[compared].sort_values("value", ascending=ascending, kind="stable")
    return pd.concat([ranked, rows[~compared]])


def _title(
    result: AuditResult, feature: str, metric: str, rows: pd.DataFrame, worst: str | None
) -> str:
    """The finding, from the disparity record; the plain name where nothing could be compared."""
    label = METRICS[metric].label
    record = lookup.disparity_row(result, feature, metric)
    if record is None or not isinstance(record["highest_group"], str):
        return f"{label} {lookup.by_words(feature)}: no two groups large enough to compare"
    named = rows.set_index("group")
    if worst in named.index:
        return f"{label}: {worst} {lookup.figure_words(named.loc[worst])}"
    high, low = record["highest_group"], record["lowest_group"]
    if not {high, low} <= set(named.index):
        return f"{label} {lookup.by_words(feature)}"
    return f"{label}: {high} highest, {lookup.figure_words(named.loc[high])}"


def alt_words(rows: pd.DataFrame, metric: str) -> str:
    """Every group with its number, interval and n, in one sentence."""
    parts = []
    for row in lookup.records(rows):
        if pd.isna(row["value"]):
            parts.append(f"{row['group']} too few to show, {counted_faces(row['n'])}")
        else:
            parts.append(f"{row['group']} {lookup.figure_words(row, n=True)}")
    return f"{METRICS[metric].label}. " + "; ".join(parts) + "."


def _figure(
    rows: pd.DataFrame, *, metric: str, worst: str | None, overall: dict[str, Any] | None
) -> Figure:
    names = [str(g) for g in rows.group]
    place = dict(zip(names, range(len(names), 0, -1), strict=True))
    figure = Figure()
    for part, looks in _looks(rows, worst):
        if len(part):
            figure.add_trace(_dots(part, place, metric, **looks))
    left = name_width(names)
    styled(figure, height=ROW * len(names) + 84, margin=(left, _EDGE, 28, 56))
    figure.update_xaxes(**axis_of(metric), nticks=6)
    figure.update_yaxes(
        showgrid=False,
        range=[0.4, len(names) + 0.6],
        tickvals=list(place.values()),
        ticktext=[text(name) for name in names],
        tickfont={"color": LIGHT["ink"], "size": SIZE},
        ticks="",
    )
    above: dict[str, Any] = {"y": 1, "yref": "paper", "yshift": 14}
    at_edge: dict[str, Any] = {"xref": "paper", "x": 1, "xshift": 60, "xanchor": "right"}
    notes = [
        note(count(n), y=place[str(g)], **at_edge) for g, n in zip(rows.group, rows.n, strict=True)
    ]
    notes.append(note("faces", **above, **at_edge))
    if overall is not None:
        notes.append(note("all faces", x=overall["value"], **above))
        figure.add_vline(x=overall["value"], line=WHOLE, layer="below")
    return figure.update_layout(annotations=notes)


def name_width(names: list[str]) -> int:
    """Margin in px for the names of groups at the left."""
    longest = max(map(width, names), default=1)
    return 24 + int(7.3 * min(longest, 40))


def span_of(names: list[str]) -> Span:
    """How much of the page a figure takes with these names at its left."""
    return "half" if max(map(width, names)) <= 18 else "full"


def least_width(names: list[str], *, right: int) -> int:
    """Px below which nothing is left to draw on, beside the names and the margin at the right."""
    return name_width(names) + right + 120


def _looks(rows: pd.DataFrame, worst: str | None) -> list[tuple[pd.DataFrame, dict[str, Any]]]:
    """Compared groups filled, the worst of them a diamond in the second colour, few hollow."""
    ok, few = rows[rows.status == "ok"], rows[rows.status == "few"]
    return [
        (ok[ok.group != worst], {"color": LIGHT["accent"], "symbol": "circle"}),
        (ok[ok.group == worst], {"color": LIGHT["group"], "symbol": "diamond"}),
        (few, {"color": LIGHT["quiet"], "symbol": "circle-open"}),
    ]


def _dots(
    rows: pd.DataFrame, place: dict[str, int], metric: str, *, color: str, symbol: str
) -> Trace:
    records = lookup.records(rows)
    hover = [f"{text(str(r['group']))}: {lookup.figure_words(r, n=True)}" for r in records]
    return scatter(
        x=rows.value.tolist(),
        y=[place[str(g)] for g in rows.group],
        customdata=[str(g) for g in rows.group],
        mode="markers",
        marker={
            "color": color,
            "symbol": symbol,
            "size": 9,
            "line": {"width": 1.5, "color": color},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (rows.high - rows.value).tolist(),
            "arrayminus": (rows.value - rows.low).tolist(),
            "color": color,
            "thickness": 1.5,
            "width": 0,
        },
        hovertext=hover,
        hoverinfo="text",
        name=METRICS[metric].label,
    )


def small_forest(result: AuditResult, *, feature: str, metric: str, group: str | None) -> Markup:
    """A finding's groups as inline SVG, at most SMALL_MOST: names, dots with intervals, n.

    Colours are the page's tokens, so it follows light and dark; without a script it stands.
    """
    rows = _around(
        _sorted(
            lookup.subgroup_rows(result, feature, metric),
            keep=lookup.is_ordered(result, feature),
            metric=metric,
        ),
        group,
    )
    drawn = rows[rows.value.notna()]
    if drawn.empty:
        return Markup("")
    overall = lookup.overall_row(result, metric)
    ends = pd.concat([drawn.low, drawn.high, drawn.value]).dropna()
    low, high = ends.min(), ends.max()
    if overall:
        low, high = min(low, overall["value"]), max(high, overall["value"])
    scale = 150 / (high - low or 1)
    parts = []
    if overall:
        x = 124 + (overall["value"] - low) * scale
        line = Markup('<path class="whole" d="M{x:.1f} 0V{y}"/>')
        parts.append(line.format(x=x, y=len(rows) * SMALL_ROW))
    names = told_apart([str(name) for name in rows.group], _NAME)
    for i, (name, row) in enumerate(zip(names, lookup.records(rows), strict=True)):
        y = i * SMALL_ROW + SMALL_ROW // 2
        parts.append(_small_row(row, name, y=y, low=low, scale=scale, chosen=group))
    return Markup(
        '<svg class="forest" viewBox="0 0 332 {height}" width="332" height="{height}" role="img" '
        'aria-label="{alt}">{parts}</svg>'
    ).format(
        height=len(rows) * SMALL_ROW, alt=alt_words(rows, metric), parts=Markup("").join(parts)
    )


def part_words(result: AuditResult, *, feature: str, metric: str) -> str:
    """`9 of 18 groups`, where a small forest does not show them all."""
    groups = len(lookup.subgroup_rows(result, feature, metric))
    return f"{SMALL_MOST} of {groups} groups" if groups > SMALL_MOST else ""


def _around(rows: pd.DataFrame, group: str | None) -> pd.DataFrame:
    """SMALL_MOST groups: the first ones, or those about the chosen one."""
    most = SMALL_MOST
    if len(rows) <= most or group not in set(rows.group):
        return rows.head(most)
    place = rows.group.tolist().index(str(group))
    start = max(0, min(place - most // 2, len(rows) - most))
    return rows.iloc[start : start + most]


def _small_row(
    row: dict[str, Any], name: str, *, y: int, low: float, scale: float, chosen: str | None
) -> Markup:
    is_chosen = row["group"] == chosen
    kind = "chosen" if is_chosen else "few" if row["status"] == "few" else "one"
    parts = [
        Markup('<text x="112" y="{y}" class="{kind} name">{name}</text>').format(
            y=y + 4, kind=kind, name=isolated(name)
        ),
        Markup('<text x="332" y="{y}" class="n">{n}</text>').format(y=y + 4, n=count(row["n"])),
    ]
    if pd.notna(row["value"]):
        x, a, b = (124 + (row[end] - low) * scale for end in ("value", "low", "high"))
        if pd.notna(row["low"]):
            bar = Markup('<path class="{kind}" d="M{a:.1f} {y}H{b:.1f}"/>')
            parts.append(bar.format(kind=kind, a=a, b=b, y=y))
        if is_chosen:
            dot = Markup('<path class="dot chosen" d="M{x:.1f} {top}l5 5l-5 5l-5-5z"/>')
        else:
            dot = Markup('<circle class="{kind}" cx="{x:.1f}" cy="{y}" r="3.5"/>')
        parts.append(dot.format(kind=kind, x=x, y=y, top=y - 5))
    return Markup("").join(parts)
