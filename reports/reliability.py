"""Is what the model states what is observed? P(female) per group, and the age intervals."""

from typing import Any

import pandas as pd

from audit.result import AuditResult
from audit.words import count, interval, percent, score, years
from reports import lookup
from reports.forest import ROW, WHOLE, name_width
from reports.plot import Figure, Trace, bar, scatter
from reports.theme import LIGHT, SIZE, Drawn, note, styled, text

COLUMNS = ["group", "bin", "predicted", "observed", "low", "high", "band_low", "band_high", "n"]
LEAST = 100  # faces: below, fifteen bins say nothing; the table of scores has the group still


def reliability(result: AuditResult, *, feature: str) -> list[Drawn]:
    """Small multiples: observed against stated share of females, histogram of scores beneath."""
    bins = result.calibration
    bins = bins[(bins["head"] == "gender") & (bins.feature == feature)]
    counts = result.histograms
    counts = counts[(counts.kind == "gender_score") & (counts.feature == feature)]
    return [
        _one(result, feature, str(group), part, counts[counts.group == group])
        for group, part in bins.groupby("group", sort=False)
        if part.n.sum() >= LEAST
    ]


def _one(
    result: AuditResult, feature: str, group: str, bins: pd.DataFrame, counts: pd.DataFrame
) -> Drawn:
    figure = Figure()
    figure.add_trace(_diagonal())
    figure.add_trace(_band(bins))
    figure.add_trace(_observed(bins))
    if len(counts):
        figure.add_trace(_histogram(counts))
    styled(figure, height=280, margin=(44, 4, 8, 44))
    figure.update_xaxes(
        title_text="stated P(female)", range=[-0.02, 1.02], tickformat=".0%", nticks=5
    )
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03], nticks=6)
    figure.update_layout(
        yaxis={"domain": [0.24, 1]},
        yaxis2={
            "domain": [0, 0.17],
            "showticklabels": False,
            "showgrid": False,
            "ticks": "",
            "rangemode": "tozero",
        },
        xaxis={"anchor": "y2"},
        bargap=0.08,
    )
    n = count(bins.n.sum())
    words = [
        f"stated {percent(r.predicted)}, observed {percent(r.observed)} "
        f"{interval(r.low, r.high, 'share')}"
        for r in lookup.each(bins)
    ]
    return Drawn(
        key=f"reliability-{feature}-{group}",
        heading=lookup.heading(feature),
        title=f"{'All' if group == lookup.OVERALL else group}, {n} faces"
        + _error_words(result, feature, group),
        alt=f"{group}, {n} faces: stated against observed share of females. "
        + "; ".join(words)
        + ".",
        table=bins[COLUMNS],
        figure=figure,
        span="third",
    )


def _error_words(result: AuditResult, feature: str, group: str) -> str:
    """The calibration error beside what a calibrated score would show: `; ECE .032 (null .021)`."""
    rows = result.scores
    rows = rows[(rows.feature == feature) & (rows.group == group)]
    if rows.empty or pd.isna(rows.ece.iloc[0]):
        return ""
    null = rows.ece_null.iloc[0]
    beside = "" if pd.isna(null) else f" (chance {score(null)})"
    return f": ECE {score(rows.ece.iloc[0])}{beside}"


def score_table(result: AuditResult, *, feature: str) -> Drawn | None:
    """Brier score and its parts, and the calibration error beside what chance shows, per group."""
    rows = result.scores[result.scores.feature.isin([lookup.OVERALL, feature])]
    rows = rows[rows.brier.notna()]
    if rows.empty:
        return None
    columns = ["group", "n", "brier", "miscalibration", "discrimination", "uncertainty"]
    words = [
        f"{r.group} {score(r.brier)} = {score(r.miscalibration)} - {score(r.discrimination)} + "
        f"{score(r.uncertainty)}"
        for r in lookup.each(rows)
    ]
    return Drawn(
        key=f"scores-{feature}",
        heading=lookup.heading(feature),
        title="Brier score = miscalibration − discrimination + uncertainty",
        alt="Brier score = miscalibration - discrimination + uncertainty. " + "; ".join(words),
        table=rows[[*columns, "ece", "ece_null"]],
    )


def _diagonal() -> Trace:
    return scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": LIGHT["line"], "width": 1},
        hoverinfo="skip",
    )


def _band(bins: pd.DataFrame) -> Trace:
    """Where the observed shares of a calibrated score would lie, 95 times in 100."""
    known = bins[bins.band_low.notna() & bins.band_high.notna()]
    x = known.predicted.tolist()
    return scatter(
        x=[*x, *reversed(x)],
        y=[*known.band_high.tolist(), *reversed(known.band_low.tolist())],
        fill="toself",
        fillcolor=LIGHT["band"],
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
    )


def _observed(bins: pd.DataFrame) -> Trace:
    """Observed share per bin with its interval, joined by a thin line."""
    hover = [
        f"stated {percent(r.predicted)}<br>observed {percent(r.observed)} "
        f"{interval(r.low, r.high, 'share')}<br>{count(r.n)} faces"
        for r in lookup.each(bins)
    ]
    return scatter(
        x=bins.predicted.tolist(),
        y=bins.observed.tolist(),
        mode="lines+markers",
        line={"color": LIGHT["accent"], "width": 1.25},
        marker={"color": LIGHT["accent"], "size": 6},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": (bins.high - bins.observed).tolist(),
            "arrayminus": (bins.observed - bins.low).tolist(),
            "color": LIGHT["accent"],
            "thickness": 1,
            "width": 0,
        },
        hovertext=hover,
        hoverinfo="text",
    )


def _histogram(counts: pd.DataFrame) -> Trace:
    return bar(
        x=((counts.low + counts.high) / 2).tolist(),
        y=counts.n.tolist(),
        width=(counts.high - counts.low).tolist(),
        marker={"color": LIGHT["rule"], "line": {"width": 0}},
        yaxis="y2",
        hovertext=[
            f"{percent(r.low)} to {percent(r.high)}: {count(r.n)} faces"
            for r in lookup.each(counts)
        ],
        hoverinfo="text",
    )


def interval_coverage(result: AuditResult, *, feature: str) -> Drawn | None:
    """Share of true ages inside the stated interval, per group, against what was stated."""
    rows = result.coverage
    rows = rows[rows.feature.isin([lookup.OVERALL, feature]) & rows.coverage.notna()]
    if not (rows.feature == feature).any():
        return None
    names = ["all faces" if g == lookup.OVERALL else str(g) for g in rows.group]
    place = list(range(len(rows), 0, -1))
    figure = Figure(_coverage_dots(rows, names, place))
    styled(figure, height=ROW * len(rows) + 84, margin=(name_width(names), 72, 28, 56))
    stated = float(rows.level.iloc[0])
    figure.add_vline(x=stated, line=WHOLE)
    above: dict[str, Any] = {"y": 1, "yref": "paper", "yshift": 14}
    at_edge: dict[str, Any] = {"xref": "paper", "x": 1, "xshift": 68, "xanchor": "right"}
    notes = [note(f"stated {stated:.0%}", x=stated, **above), note("± years", **above, **at_edge)]
    notes += [
        note("" if pd.isna(width) else years(width / 2), y=y, **at_edge)
        for y, width in zip(place, rows.width, strict=True)
    ]
    figure.update_layout(annotations=notes)
    figure.update_xaxes(title_text="ages inside their interval", tickformat=".0%", nticks=6)
    figure.update_yaxes(
        showgrid=False,
        range=[0.4, len(rows) + 0.6],
        tickvals=place,
        ticktext=[text(name) for name in names],
        tickfont={"color": LIGHT["ink"], "size": SIZE},
        ticks="",
    )
    own = rows[rows.feature == feature]
    least = own.iloc[int(own.coverage.argmin())]
    ends = interval(least.low, least.high, "share")
    return Drawn(
        key=f"coverage-{feature}",
        title=f"{lookup.heading(feature)}: {least.group} least, {percent(least.coverage)} {ends}",
        alt=f"Interval coverage, stated {stated:.0%}. "
        + "; ".join(
            f"{name} {percent(r.coverage)} {interval(r.low, r.high, 'share')}, mean width "
            f"{years(r.width)} years, {count(r.n)} faces"
            for name, r in zip(names, lookup.each(rows), strict=True)
        )
        + ".",
        table=rows[["group", "level", "coverage", "low", "high", "width", "n"]].assign(
            metric="interval_coverage"
        ),
        figure=figure,
        span="half" if max(map(len, names)) <= 18 else "full",
    )


def _coverage_dots(rows: pd.DataFrame, names: list[str], place: list[int]) -> Trace:
    return scatter(
        x=rows.coverage.tolist(),
        y=place,
        mode="markers",
        marker={"color": LIGHT["accent"], "size": 9},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (rows.high - rows.coverage).tolist(),
            "arrayminus": (rows.coverage - rows.low).tolist(),
            "color": LIGHT["accent"],
            "thickness": 1.5,
            "width": 0,
        },
        customdata=rows.group.tolist(),
        hovertext=[
            f"{text(name)}: {percent(r.coverage)} {interval(r.low, r.high, 'share')}, "
            f"± {years(r.width / 2)} years, {count(r.n)} faces"
            for name, r in zip(names, lookup.each(rows), strict=True)
        ],
        hoverinfo="text",
    )
