"""Do the stated age intervals hold what they state, for everyone, and where do they miss?"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from audit.config import NOMINAL
from audit.groups import FEW_BELOW
from audit.result import AuditResult
from audit.words import counted_faces, interval, percent, years
from reports import lookup
from reports.curves import READ, TRUE
from reports.forest import least_width, name_width, span_of
from reports.marks import (
    LINES,
    ROW,
    dots,
    figure,
    filled,
    group_words,
    row_axis,
    spread,
    target,
)
from reports.plot import Trace
from reports.theme import LIGHT, Drawn, note, text

WHY_TWO_LINES = (
    "By true age an interval cannot hold equally often, for it is made from the picture, which "
    "does not show the true age: the very young and the very old are the ones it misses. Only by "
    "predicted age can what was stated be checked."
)
MOST = 24  # rows of a figure; the table behind has them all
COVERAGE = ["group", "level", "coverage", "low", "high", "width", "n"]


def coverage_figures(
    result: AuditResult, *, feature: str, groups: Sequence[str] | None = None
) -> list[Drawn]:
    """Coverage, where the misses lie, the interval score and the squared z, a row per group."""
    rows = _covered(result, feature, groups)
    if not (rows.feature == feature).any():
        return []
    rows = lookup.foremost(rows, -rows.coverage, most=MOST)
    drawn = [interval_coverage(result, feature=feature, groups=groups)]
    if rows.below.notna().any():
        drawn.append(_misses(rows, feature))
    if rows.winkler.notna().any():
        drawn.append(_winkler(rows, feature))
    if rows.z2.notna().any():
        drawn.append(_squared_z(rows, feature))
    return [d for d in drawn if d is not None]


def interval_coverage(
    result: AuditResult, *, feature: str, groups: Sequence[str] | None = None
) -> Drawn | None:
    """Share of true ages inside the stated interval, per group, against what was stated."""
    every = _covered(result, feature, groups)
    rows = lookup.foremost(every, -every.coverage, most=MOST)
    own = rows[rows.feature == feature]
    if own.empty:
        return None
    stated = float(rows.level.iloc[0])
    words = [
        f"{percent(r.coverage)} {interval(r.low, r.high, 'share')}, ± {years(r.width / 2)} years, "
        f"{counted_faces(r.n)}"
        for r in lookup.each(rows)
    ]
    title = f"Coverage: {_NONE}"
    if len(compared := _compared(own)):
        least = compared.iloc[int(compared.coverage.argmin())]
        ends = interval(least.low, least.high, "share")
        name = group_words(least.group)
        title = f"{lookup.heading(feature)}: {name} least, {percent(least.coverage)} {ends}"
        if len(compared) > 1 and least.coverage == compared.coverage.max():
            title = f"{lookup.heading(feature)}: {percent(least.coverage)} in every compared group"
    return _forest(
        rows,
        key=f"coverage-{feature}",
        title=title,
        alt=f"Interval coverage, stated {percent(stated)}",
        columns=("coverage", "low", "high"),
        words=words,
        at=(stated, f"stated {_plain_percent(stated)}"),
        edge=("± years", ["" if pd.isna(w) else years(w / 2) for w in rows.width]),
        axis={"title": {"text": "ages inside their interval"}, "tickformat": ".2~%", "nticks": 6},
        table=every[COVERAGE].assign(metric="interval_coverage"),
        data=every,
    )


def _covered(result: AuditResult, feature: str, groups: Sequence[str] | None) -> pd.DataFrame:
    """Rows of the table `coverage` that know theirs: all faces, and the groups (all, if None)."""
    rows = result.coverage
    rows = rows[rows.feature.isin([lookup.OVERALL, feature]) & rows.coverage.notna()]
    return rows if groups is None else rows[rows.group.isin([lookup.OVERALL, *groups])]


def _compared(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of enough faces to be named in a title."""
    enough: pd.DataFrame = rows[rows.n >= FEW_BELOW]
    return enough


_NONE = f"no group of {FEW_BELOW} faces or more"


def _plain_percent(share: float) -> str:
    """`90 %`: a share that somebody stated."""
    return percent(share).replace(".0", "")


def _misses(rows: pd.DataFrame, feature: str) -> Drawn:
    """Shares of true ages under and over their interval, left and right of zero."""
    stated = float(rows.level.iloc[0])
    half = (1 - stated) / 2
    names = [group_words(g) for g in rows.group]
    place = list(range(len(rows), 0, -1))
    traces: list[Trace] = []
    sides = (("below", -1, "younger than the interval"), ("above", 1, "older than the interval"))
    for (column, sign, words), looks in zip(sides, LINES, strict=False):
        x = [sign * v for v in rows[column]]
        hover = [
            f"{text(name)}: {percent(r[column])} are {words}, {counted_faces(r['n'])}"
            for name, r in zip(names, lookup.records(rows), strict=True)
        ]
        for at, y in zip(x, place, strict=True):
            stem = {"color": LIGHT["rule"], "width": 1}
            traces.append(
                {"type": "scatter", "mode": "lines", "x": [0, at], "y": [y, y], "line": stem}
                | {"hoverinfo": "skip"}
            )
        trace = dots(x, place, hover=hover, looks=looks)
        trace["marker"]["symbol"] = filled(rows.n, looks["symbol"])
        trace["customdata"] = rows.group.tolist()
        traces.append(trace)
    title, way = _one_sided(_compared(rows[rows.feature == feature]))
    reach = 1.15 * max(rows.below.max(), rows.above.max(), half)
    ticks = [-half, 0, half]
    return Drawn(
        key=f"misses-{feature}",
        heading=lookup.heading(feature),
        title=title,
        alt=f"Misses on each side, {percent(half)} stated.{way} "
        + "; ".join(
            f"{name} {percent(r.below)} younger, {percent(r.above)} older"
            for name, r in zip(names, lookup.each(rows), strict=True)
        )
        + ".",
        table=rows[["group", "below", "above", "n"]],
        figure=figure(
            traces,
            height=ROW * len(rows) + 84,
            margin=(name_width(names), 12, 28, 56),
            xaxis={
                "title": {"text": "← younger · true ages missed · older →"},
                "range": [-reach, reach],
                "tickvals": ticks,
                "ticktext": [f"{abs(t):.0%}" for t in ticks],
            },
            yaxis=row_axis(names),
            shapes=[target(-half), target(half)],
        ),
        span=span_of(names),
        min_width=least_width(names, right=64),
    )


def _one_sided(own: pd.DataFrame) -> tuple[str, str]:
    """Which group's misses lie most on one side: a title, and a sentence for who cannot see it."""
    if not len(own):
        return f"Misses on either side: {_NONE}", ""
    if not (own.below.any() or own.above.any()):
        return "No true age lies outside its interval", ""
    most = own.iloc[int((own.below - own.above).abs().argmax())]
    side = "younger" if most.below > most.above else "older"
    title = (
        f"{group_words(most.group)} most one-sided: {percent(most.below)} younger, "
        f"{percent(most.above)} older than their interval"
    )
    return title, f" The most one-sided group misses more who are {side}."


def _winkler(rows: pd.DataFrame, feature: str) -> Drawn:
    title = f"Winkler score: {_NONE}"
    if len(own := _compared(rows[rows.feature == feature])):
        worst = own.iloc[int(own.winkler.argmax())]
        ends = interval(worst.winkler_low, worst.winkler_high, "years")
        name = group_words(worst.group)
        title = f"Winkler score: {name} highest, {years(worst.winkler)} years {ends}"
        if len(own) > 1 and worst.winkler == own.winkler.min():
            title = f"Winkler score: {years(worst.winkler)} years in every compared group"
    words = [
        f"{years(r.winkler)} years {interval(r.winkler_low, r.winkler_high, 'years')}, "
        f"{counted_faces(r.n)}"
        for r in lookup.each(rows)
    ]
    return _forest(
        rows,
        key=f"winkler-{feature}",
        title=title,
        alt="Winkler score, width of the interval plus twenty times each miss",
        columns=("winkler", "winkler_low", "winkler_high"),
        words=words,
        axis={"title": {"text": "Winkler score, years; lower is better"}, "nticks": 6},
        table=rows[["group", "winkler", "winkler_low", "winkler_high", "width", "n"]],
    )


def _squared_z(rows: pd.DataFrame, feature: str) -> Drawn:
    """Mean squared (true - read) / stated deviation, and the CRPS at the right."""
    rows = rows[rows.z2.notna()]
    rows = rows.assign(n=rows.std_n)  # the faces of this figure
    title = f"Stated deviation: {_NONE}"
    if len(own := _compared(rows[rows.feature == feature])):
        far = own.iloc[int((own.z2 - 1).abs().argmax())]
        way = "too narrow" if far.z2 > 1 else "too wide"
        title = (
            f"Stated deviation: {group_words(far.group)} furthest from 1, {way}: "
            f"{far.z2:.2f} [{far.z2_low:.2f}, {far.z2_high:.2f}]"
        )
    words = [
        f"{r.z2:.2f} [{r.z2_low:.2f}, {r.z2_high:.2f}], CRPS {years(r.crps)} years, "
        f"{counted_faces(r.std_n)}"
        for r in lookup.each(rows)
    ]
    return _forest(
        rows,
        key=f"z2-{feature}",
        title=title,
        alt="Mean squared z, 1 where the stated deviation is right",
        columns=("z2", "z2_low", "z2_high"),
        words=words,
        at=(1.0, "as stated"),
        edge=("CRPS", [years(c) for c in rows.crps]),
        axis={"title": {"text": "mean squared z"}, "nticks": 6},
        table=rows[["group", "z2", "z2_low", "z2_high", "crps", "std_n"]],
    )


def _forest(
    rows: pd.DataFrame,
    *,
    key: str,
    title: str,
    alt: str,
    columns: tuple[str, str, str],
    words: list[str],
    axis: dict[str, Any],
    table: pd.DataFrame,
    at: tuple[float, str] | None = None,
    edge: tuple[str, list[str]] | None = None,
    data: pd.DataFrame | None = None,
) -> Drawn:
    """A dot with its interval per group; `at`: a dotted line; `edge`: words at the right."""
    names = [group_words(g) for g in rows.group]
    place = list(range(len(rows), 0, -1))
    value, low, high = (rows[c].tolist() for c in columns)
    hover = [f"{text(name)}: {w}" for name, w in zip(names, words, strict=True)]
    trace = dots(value, place, hover=hover, looks=LINES[0])
    trace["error_x"] = spread(value, low, high, color=LINES[0]["color"])
    trace["customdata"] = rows.group.tolist()
    trace["marker"]["symbol"] = filled(rows.n, LINES[0]["symbol"])
    above: dict[str, Any] = {"y": 1, "yref": "paper", "yshift": 14}
    notes = [] if at is None else [note(at[1], x=at[0], xanchor="center", **above)]
    if edge is not None:
        side: dict[str, Any] = {"xref": "paper", "x": 1, "xshift": 60, "xanchor": "right"}
        notes.append(note(edge[0], **above, **side))
        notes += [note(w, y=y, **side) for y, w in zip(place, edge[1], strict=True)]
    feature = key.partition("-")[2]
    return Drawn(
        key=key,
        heading=lookup.heading(feature),
        title=title,
        alt=f"{alt}. " + "; ".join(f"{n} {w}" for n, w in zip(names, words, strict=True)) + ".",
        table=table,
        data=data,
        figure=figure(
            [trace],
            height=ROW * len(rows) + 84,
            margin=(name_width(names), 12 if edge is None else 64, 28, 56),
            xaxis=axis,
            yaxis=row_axis(names),
            shapes=None if at is None else [target(at[0])],
            annotations=notes or None,
        ),
        span=span_of(names),
        min_width=least_width(names, right=64),
    )


def coverage_by_age(result: AuditResult) -> Drawn | None:
    """Coverage over true and over predicted age groups, on one scale, and why they differ."""
    table = _by_age(result)
    if table.empty:
        return None
    order = [str(x) for x in result.info.get("age_groups") or ()]
    order += [x for x in dict.fromkeys(table.group) if x not in order]
    stated = float(result.coverage.level.iloc[0]) if len(result.coverage) else NOMINAL
    traces = _age_lines(table, order)
    return Drawn(
        key="age-interval_coverage",
        heading="By age",
        title=_age_title(table, stated),
        alt="Interval coverage "
        + "; ".join(
            f"{by}: "
            + ", ".join(
                f"{r.group} {percent(r.coverage)} {interval(r.low, r.high, 'share')}"
                for r in lookup.each(rows)
            )
            for by, rows in table.groupby("by", sort=False)
        )
        + ".",
        table=table,
        figure=figure(
            traces,
            height=300,
            margin=(64, 8, 32, 56),
            legend=True,
            xaxis={
                "title": {"text": "age group, years"},
                "tickvals": list(range(len(order))),
                "ticktext": [text(g) for g in order],
                "range": [-0.4, len(order) - 0.6],
                "showgrid": False,
            },
            yaxis={"tickformat": ".2~%", "nticks": 6, "title": {"text": "ages inside"}},
            shapes=[
                target(stated)
                | {"xref": "paper", "yref": "y", "x0": 0, "x1": 1, "y0": stated, "y1": stated}
            ],
            meta={"narrow": {"xaxis": {"tickangle": -50, "title": {"text": ""}}}},
        ),
        why=WHY_TWO_LINES if len(traces) > 1 else "",
    )


def _age_lines(table: pd.DataFrame, order: list[str]) -> list[Trace]:
    """A line by true and one by predicted age, set apart by a hair so that neither hides the other.

    order: names of the age groups, youngest first, as they stand on the axis.
    """
    traces: list[Trace] = []
    for looks, shift, (by, rows) in zip(
        LINES, (-0.08, 0.08), table.groupby("by", sort=False), strict=False
    ):
        value, low, high = (rows[c].tolist() for c in ("coverage", "low", "high"))
        hover = [
            f"{by} {text(str(r.group))}: {percent(r.coverage)} "
            f"{interval(r.low, r.high, 'share')}, ± {years(r.width / 2)} years, "
            f"{counted_faces(r.n)}"
            for r in lookup.each(rows)
        ]
        x = [order.index(str(g)) + shift for g in rows.group]
        trace = dots(x, value, hover=hover, looks=looks) | {"mode": "lines+markers", "name": by}
        trace["line"] = {"color": looks["color"], "width": 2, "dash": looks["dash"]}
        trace["error_y"] = spread(value, low, high, color=looks["color"])
        trace["customdata"] = [str(g) for g in rows.group]
        trace["marker"]["symbol"] = filled(rows.n, looks["symbol"])
        traces.append(trace)
    return traces


def _age_title(table: pd.DataFrame, stated: float) -> str:
    last = _compared(table[table.by == table.by.iloc[-1]])
    if not len(last):
        return f"Intervals by age: {_NONE}"
    least = last.iloc[int(last.coverage.argmin())]
    if len(last) > 1 and least.coverage == last.coverage.max():
        return f"Intervals hold {percent(least.coverage)} in every compared age group"
    words = "Read as" if least.by == READ else "Aged"
    return (
        f"{words} {least.group}, intervals hold least often: {percent(least.coverage)} "
        f"{interval(least.low, least.high, 'share')}, stated {_plain_percent(stated)}"
    )


def _by_age(result: AuditResult) -> pd.DataFrame:
    """Both lines as one table: by, group, coverage, low, high, width, n."""
    columns = ["by", "group", "coverage", "low", "high", "width", "n"]
    true = result.coverage[result.coverage.feature == "age_group"].assign(by=TRUE)
    bins = result.calibration
    bins = bins[(bins["head"] == "age") & (bins.feature == lookup.OVERALL)]
    read = bins.drop(columns=["low", "high", "group"]).rename(
        columns={"coverage_low": "low", "coverage_high": "high", "bin": "group"}
    )
    read = read.assign(by=READ, group=read.group.astype(str))
    parts = [part[columns] for part in (true, read) if part.coverage.notna().any()]
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts, ignore_index=True)
    return table[table.coverage.notna()]
