"""Is P(female) what is observed? Reliability per group, and the errors beside what chance shows."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from audit.result import AuditResult
from audit.words import counted_faces, interval, p_value, percent, score
from reports import lookup
from reports.forest import name_width
from reports.marks import ROW, SIGN, band, dots, figure, group_words, line, row_axis, spread
from reports.plot import Trace
from reports.theme import LIGHT, Drawn, note, text

LEAST = 100  # faces: below, a curve says nothing; the table of scores has the group still
MOST_ROWS = 24  # of a figure with a row per group
MOST = 9  # groups of a feature that are drawn, the furthest off first; the tables have them all
BINS = ["predicted", "observed", "low", "high", "n"]
# Errors of calibration: column, its null 95 % point, what it is called above its panel.
ERRORS = (
    ("miscalibration", "miscalibration_null", "Miscalibration"),
    ("ece", "ece_null", "ECE"),
    ("smooth_ece", "smooth_ece_null", "Smooth ECE"),
    ("l2", "l2_null", "Signed L2²"),
)
TESTS = ["miscalibration_p", "l2_p", "spiegelhalter_z", "spiegelhalter_p"]
PARTS = [
    *("group", "n", "brier", "mcb", "discrimination", "uncertainty"),
    *("mean_score", "observed", "mean_p_adjusted"),
]


def furthest_off(result: AuditResult, feature: str, *, most: int = MOST) -> list[str]:
    """Groups of a feature by the signed debiased L2², the one error that compares across sizes.

    The first `most` of LEAST faces or more, in the feature's own order.
    """
    rows = result.scores
    rows = rows[(rows.feature == feature) & (rows.n >= LEAST) & rows.brier.notna()]
    kept = set(rows.sort_values("l2", ascending=False, kind="stable").group.head(most))
    return [str(g) for g in rows.group if g in kept]


def reliability(
    result: AuditResult, *, feature: str, groups: Sequence[str] | None = None
) -> list[Drawn]:
    """Small multiples: the isotonic share of females over what was stated, scores beneath."""
    rows = result.reliability
    rows = rows[rows.feature == feature]
    held = set(rows.group)
    chosen = furthest_off(result, feature) if groups is None else groups
    return [_one(result, feature, g, rows[rows.group == g]) for g in chosen if g in held]


def _one(result: AuditResult, feature: str, group: str, curve: pd.DataFrame) -> Drawn:
    bins = result.calibration
    bins = bins[(bins["head"] == "gender") & (bins.feature == feature) & (bins.group == group)]
    counts = result.histograms
    counts = counts[(counts.kind == "gender_score") & (counts.feature == feature)]
    counts = counts[counts.group == group]
    x = curve.predicted.tolist()
    stated, observed = curve.predicted.map(percent), curve.fitted.map(percent)
    traces = [
        band(x, curve.band_low.round(3).tolist(), curve.band_high.round(3).tolist()),
        _diagonal(),
        _bins(bins),
        line(
            x,
            curve.fitted.round(3).tolist(),
            looks={"color": LIGHT["accent"], "dash": "solid"},
            customdata=_beside(curve),
            hovertemplate=f"stated %{{customdata[0]}}{SIGN}: %{{customdata[1]:.1f}}{SIGN} are "
            f"female<br>a calibrated score: %{{customdata[2]:.1f}}{SIGN} to "
            f"%{{customdata[3]:.1f}}{SIGN}<br>%{{customdata[4]}} in this hundredth<extra></extra>",
        ),
        _histogram(counts),
    ]
    traces[3]["line"] |= {"shape": "hvh", "width": 1.75}
    # plotly takes no click on a line alone: a marker that is not seen, drawn once
    traces[3] |= {"mode": "lines+markers", "marker": {"opacity": 0, "maxdisplayed": 1}}
    at = curve[(curve.predicted * 20).round(6) % 4 == 2]  # .1, .3, .5, .7, .9
    words = [
        f"stated {p}, observed {o} {interval(r.band_low, r.band_high, 'share')}"
        for p, o, r in zip(stated[at.index], observed[at.index], lookup.each(at), strict=True)
    ]
    n = counted_faces(_faces(result, feature, group, bins))
    name = group_words(group).capitalize() if group == lookup.OVERALL else group
    return Drawn(
        key=f"reliability-{feature}-{group}",
        heading=lookup.heading(feature),
        title=f"{name}, {n}{_error_words(result, feature, group)}",
        alt=f"{name}, {n}: share of females where P(female) was stated, and in brackets "
        f"where a calibrated score would lie. {'; '.join(words)}.",
        table=bins[BINS] if len(bins) else at[["predicted", "fitted", "band_low", "band_high"]],
        data=curve,
        figure=figure(traces, height=280, margin=(44, 16, 8, 44), **_axes()),
        span="third",
    )


def _axes() -> dict[str, Any]:
    """The same axes for every group: the curve above, the histogram of scores beneath."""
    return {
        "xaxis": {
            "anchor": "y2",
            "title": {"text": "stated P(female)"},
            "range": [-0.02, 1.02],
            "tickformat": ".0%",
            "tickvals": [0, 0.5, 1],
            "showgrid": False,
        },
        "yaxis": {"domain": [0.24, 1], "tickformat": ".0%", "range": [-0.03, 1.03], "nticks": 6},
        "yaxis2": {
            "domain": [0, 0.17],
            "showticklabels": False,
            "showgrid": False,
            "ticks": "",
            "rangemode": "tozero",
        },
        "bargap": 0.08,
    }


def _beside(curve: pd.DataFrame) -> list[list[float | str]]:
    """Per point: what was stated and observed, the band's ends, in percent, and the faces."""
    return [
        [
            round(100 * r.predicted),
            *(round(100 * share, 1) for share in (r.fitted, r.band_low, r.band_high)),
            counted_faces(r.n),
        ]
        for r in lookup.each(curve)
    ]


def _diagonal() -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": LIGHT["rule"], "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _bins(bins: pd.DataFrame) -> Trace:
    """Fifteen bins of equal mass as light dots with their intervals."""
    hover = [
        f"stated {percent(r.predicted)}<br>observed {percent(r.observed)} "
        f"{interval(r.low, r.high, 'share')}<br>{counted_faces(r.n)}"
        for r in lookup.each(bins)
    ]
    looks = {"color": LIGHT["rule"], "symbol": "circle"}
    trace = dots(
        bins.predicted.round(3).tolist(), bins.observed.round(3).tolist(), hover=hover, looks=looks
    )
    ends = (bins[c].round(3).tolist() for c in ("observed", "low", "high"))
    trace["marker"] = {"color": LIGHT["rule"], "size": 4}
    trace["error_y"] = spread(*ends, color=LIGHT["rule"]) | {"thickness": 1}
    return trace


def _histogram(counts: pd.DataFrame) -> Trace:
    return {
        "type": "bar",
        "x": ((counts.low + counts.high) / 2).round(4).tolist(),
        "y": counts.n.tolist(),
        "width": (counts.high - counts.low).round(4).tolist(),
        "marker": {"color": LIGHT["rule"], "line": {"width": 0}},
        "yaxis": "y2",
        "customdata": [
            [round(50 * (r.low + r.high), 1), counted_faces(r.n)] for r in lookup.each(counts)
        ],
        "hovertemplate": f"%{{customdata[0]:.1f}}{SIGN} ± 2.5 points: %{{customdata[1]}}"
        "<extra></extra>",
    }


def _faces(result: AuditResult, feature: str, group: str, bins: pd.DataFrame) -> float:
    """Faces with a score: those of the table of scores, or of the bins where it lacks the group."""
    record = _score(result, feature, group)
    return float(bins.n.sum() if record is None else record["n"])


def _score(result: AuditResult, feature: str, group: str) -> dict[str, Any] | None:
    rows = result.scores
    rows = rows[(rows.feature == feature) & (rows.group == group) & rows.brier.notna()]
    return None if rows.empty else dict(rows.iloc[0])


def _error_words(result: AuditResult, feature: str, group: str) -> str:
    """`: MCB .004 (chance .003), p = .002; ECE .032 (chance .021)`."""
    record = _score(result, feature, group)
    if record is None:
        return ""
    parts = [
        f"{short}\u00a0{score(record[column])}" + _chance(record[null])
        for column, null, short in (
            ("miscalibration", "miscalibration_null", "MCB"),
            ("ece", "ece_null", "ECE"),
        )
        if pd.notna(record[column])
    ]
    if parts and pd.notna(record["miscalibration_p"]):
        p = p_value(record["miscalibration_p"]).replace(" ", "\u00a0")
        parts[0] += f", {p}"
    return ": " + "; ".join(parts) if parts else ""


def _chance(null: float) -> str:
    return "" if pd.isna(null) else f" (chance\u00a0{score(null)})"


def score_figures(
    result: AuditResult, *, feature: str, groups: Sequence[str] | None = None
) -> list[Drawn]:
    """Every error of calibration beside its null point, then the parts of the Brier score."""
    rows = result.scores
    rows = rows[rows.feature.isin([lookup.OVERALL, feature]) & rows.brier.notna()]
    if groups is not None:
        rows = rows[rows.group.isin([lookup.OVERALL, *groups])]
    if rows.empty:
        return []
    shown = lookup.foremost(rows, rows.l2, most=MOST_ROWS)
    errors = _errors(shown, feature)
    errors = replace(errors, table=rows[errors.table.columns])
    return [errors, _parts(rows, feature)]


def _errors(rows: pd.DataFrame, feature: str) -> Drawn:
    """One panel per error: a grey bar for what chance alone shows, a dot for what was found."""
    names = [group_words(g) for g in rows.group]
    place = list(range(len(rows), 0, -1))
    shown = [e for e in ERRORS if rows[e[0]].notna().any()]
    traces: list[Trace] = []
    layout: dict[str, Any] = {"barmode": "overlay", "bargap": 0.45, "annotations": []}
    for i, (column, null, title) in enumerate(shown):
        axis = "" if i == 0 else str(i + 1)
        left = i / len(shown)
        traces += _panel(rows, names, place, (column, null), axis=axis)
        layout[f"xaxis{axis}"] = {
            "domain": [left + (0.03 if i else 0), left + 1 / len(shown)],
            "nticks": 4,
            "tickformat": "~g",
            "rangemode": "tozero" if column != "l2" else "normal",
            "zeroline": True,
        }
        layout["annotations"].append(
            note(title, x=left + (0.03 if i else 0), y=1, xref="paper", yref="paper")
            | {"xanchor": "left", "yshift": 14}
        )
    beyond = [str(r.group) for r in lookup.each(rows) if r.miscalibration > r.miscalibration_null]
    alt = "; ".join(
        f"{name} "
        + ", ".join(f"{t} {score(r[c])}{_chance(r[null])}" for c, null, t in shown)
        + f", {p_value(r['miscalibration_p'])}"
        for name, r in zip(names, lookup.records(rows), strict=True)
    )
    columns = [c for pair in ERRORS for c in pair[:2]]
    return Drawn(
        key=f"errors-{feature}",
        heading=lookup.heading(feature),
        title=_errors_title(beyond, len(rows)),
        alt=f"Errors of calibration, in brackets what chance alone shows. {alt}.",
        table=rows[["group", "n", *columns, *TESTS]],
        figure=figure(
            traces,
            height=ROW * len(rows) + 64,
            margin=(name_width(names), 8, 28, 36),
            yaxis=row_axis(names),
            **layout,
        ),
        min_width=max(560, name_width(names) + 320),  # four columns
    )


def _errors_title(beyond: list[str], groups: int) -> str:
    words = ", ".join("all faces" if g == lookup.OVERALL else g for g in beyond[:4])
    if not beyond:
        rows = f"each of {groups} rows" if groups > 1 else "the one row"
        return f"Miscalibration (MCB) is within chance in {rows}"
    more = f" and {len(beyond) - 4} more" if len(beyond) > 4 else ""
    return f"Miscalibration (MCB) beyond what chance shows: {words}{more}"


def _panel(
    rows: pd.DataFrame, names: list[str], place: list[int], error: tuple[str, str], *, axis: str
) -> list[Trace]:
    (column, null), on = error, {"xaxis": f"x{axis}"}
    chance = rows[null].fillna(0)
    filled = [
        LIGHT["accent"] if v > c else LIGHT["paper"]
        for v, c in zip(rows[column], chance, strict=True)
    ]
    hover = [
        f"{text(name)}: {score(r[column])}{_chance(r[null])}, {counted_faces(r['n'])}"
        for name, r in zip(names, lookup.records(rows), strict=True)
    ]
    bar = {
        "type": "bar",
        "orientation": "h",
        "x": chance.round(6).tolist(),
        "y": place,
        "marker": {"color": LIGHT["band"], "line": {"width": 0}},
        "hoverinfo": "skip",
    }
    mark = dots(
        rows[column].fillna(0).round(6).tolist(),
        place,
        hover=hover,
        looks={"color": LIGHT["accent"], "symbol": "circle"},
    )
    mark["marker"]["color"] = filled
    return [bar | on, mark | on]


def _parts(rows: pd.DataFrame, feature: str) -> Drawn:
    """Brier = MCB - DSC + UNC and the tests, as an open table."""
    words = [
        f"{group_words(r.group)} {score(r.brier)} = {score(r.miscalibration)} - "
        f"{score(r.discrimination)} + {score(r.uncertainty)}"
        for r in lookup.each(rows)
    ]
    wrong = rows[(rows.feature == feature) & (rows.mean_p_adjusted < 0.05)]
    named = ", ".join(
        f"{'low' if r.mean_z > 0 else 'high'} for {r.group}" for r in lookup.each(wrong)
    )
    title = "Brier score = miscalibration (MCB) − discrimination (DSC) + uncertainty (UNC)"
    return Drawn(
        key=f"scores-{feature}",
        heading=lookup.heading(feature),
        title=f"{title}. Mean P(female) too {named}" if named else title,
        alt="Brier score = miscalibration - discrimination + uncertainty. " + "; ".join(words),
        table=rows.rename(columns={"miscalibration": "mcb"})[PARTS],
        data=rows,
    )
