"""At an age limit: who is read as of age and is not, who is of age and read as under it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from audit.result import AuditResult
from audit.words import count, interval, percent
from reports import lookup
from reports.forest import least_width, name_width, span_of
from reports.marks import band, dots, figure, group_words, line, looks_of, row_axis, spread
from reports.marks import target as marked
from reports.plot import Trace
from reports.theme import Drawn, text
from reports.thresholds import LEAST, records_at

MOST_ROWS = 12  # groups of a figure, each with three dots; the table behind has them all
LIMITS = (18, 21, 25)  # years, in the report; the dashboard takes any
_SIDES = (
    ("accepted", "below_n", "under the limit, read as of it or older", "too young"),
    ("rejected", "above_n", "of the limit or older, read as under it", "old enough"),
)
_SIDE_WORDS = {
    "accepted": "Under {0} and read as {0} or older",
    "rejected": "{0} or older and read as under {0}",
}


def read_at(result: AuditResult, *, feature: str, limit: int) -> pd.DataFrame:
    """The records at an age limit of all faces and a feature's groups, with counts of faces."""
    rows = records_at(result.age_thresholds, feature, limit).copy()
    rows["accepted_n"] = (rows.accepted * rows.below_n).round()
    rows["rejected_n"] = (rows.rejected * rows.above_n).round()
    return rows


def age_limits(result: AuditResult, *, feature: str) -> list[Drawn]:
    """False acceptance and false rejection by group, at each of LIMITS."""
    rows = result.age_thresholds
    rows = rows[rows.feature.isin([lookup.OVERALL, feature]) & rows.threshold.isin(LIMITS)]
    if not (rows.feature == feature).any():
        return []
    return [d for side in _SIDES if (d := _limit_rows(rows, feature, side)) is not None]


def _limit_rows(rows: pd.DataFrame, feature: str, side: tuple[str, str, str, str]) -> Drawn | None:
    """One of _SIDES as a row per group, with a dot at each limit; None where no rate is known."""
    rate, n, axis, _ = side
    rows = rows[rows[rate].notna()]
    if rows.empty:
        return None
    every, told = rows, next(x for x in LIMITS if (rows.threshold == x).any())
    first = rows[rows.threshold == told].assign(n=lambda t: t[n])
    kept = set(lookup.foremost(first, first[rate], most=MOST_ROWS).group)
    rows = rows[rows.group.isin(kept)]
    groups = list(dict.fromkeys(rows.group))
    names = [group_words(g) for g in groups]
    looks = looks_of([str(t) for t in LIMITS])
    traces = []
    for i, limit in enumerate(LIMITS):
        own = rows[rows.threshold == limit]
        shift = 0.24 * ((len(LIMITS) - 1) / 2 - i)
        y = [len(groups) - groups.index(g) + shift for g in own.group]
        value, low, high = (own[c].tolist() for c in (rate, f"{rate}_low", f"{rate}_high"))
        hover = [_limit_words(r, side) for r in lookup.records(own)]
        trace = dots(value, y, hover=hover, looks=looks[str(limit)])
        trace["error_x"] = spread(value, low, high, color=looks[str(limit)]["color"])
        traces.append(trace | {"name": f"at {limit}", "customdata": own.group.tolist()})
    worst = rows[(rows.feature == feature) & (rows.threshold == told) & (rows[n] >= LEAST)]
    title = _SIDE_WORDS[rate].format(told)
    if len(worst):
        most = worst.iloc[int(worst[rate].argmax())]
        ends = interval(most[f"{rate}_low"], most[f"{rate}_high"], "share")
        title += f": {most.group} most often, {percent(most[rate])} {ends}"
    return Drawn(
        key=f"{rate}-{feature}",
        heading=lookup.heading(feature),
        title=title,
        alt=f"Share of people {axis}. "
        + "; ".join(_limit_words(r, side) for r in lookup.records(rows))
        + ".",
        table=every[["group", "threshold", rate, f"{rate}_low", f"{rate}_high", n]],
        figure=figure(
            traces,
            height=38 * len(groups) + 88,
            margin=(name_width(names), 12, 28, 44),
            legend=True,
            xaxis={
                "title": {"text": axis},
                "tickformat": ".0%",
                "rangemode": "tozero",
                "nticks": 6,
            },
            yaxis=row_axis(names),
        ),
        span=span_of(names),
        min_width=least_width(names, right=12),
    )


def _limit_words(row: dict[str, Any], side: tuple[str, str, str, str]) -> str:
    rate, n, _, who = side
    ends = interval(row[f"{rate}_low"], row[f"{rate}_high"], "share")
    return (
        f"{text(group_words(row['group']))} at {row['threshold']:.0f}: {percent(row[rate])} {ends} "
        f"of {count(row[n])} {who}"
    )


def age_sweep(
    result: AuditResult, *, feature: str, groups: Sequence[str], limit: int
) -> list[Drawn]:
    """False acceptance and false rejection over every age limit; the chosen one is marked."""
    rows = result.age_thresholds
    names = [lookup.OVERALL, *groups]
    rows = rows[rows.feature.isin([lookup.OVERALL, feature]) & rows.group.isin(names)]
    held = [g for g in names if g in set(rows.group)]
    looks = looks_of(held)
    drawn = []
    for rate, n, axis, who in _SIDES:
        traces: list[Trace] = []
        for group in held:
            own = rows[(rows.group == group) & rows[rate].notna()]
            if own.empty:
                continue
            x, y = own.threshold.astype(int).tolist(), own[rate].round(4).tolist()
            low, high = own[f"{rate}_low"].tolist(), own[f"{rate}_high"].tolist()
            name, color = text(group_words(group)), looks[group]["color"]
            if group != lookup.OVERALL:
                traces.append(band(x, low, high, color=color, opacity=0.16))
            hover = [_limit_words(r, (rate, n, axis, who)) for r in lookup.records(own)]
            traces.append(
                line(x, y, looks=looks[group], name=name, hovertext=hover, hoverinfo="text")
            )
        at = rows[rows.threshold == limit]
        words = [
            _limit_words(r, (rate, n, axis, who)) for r in lookup.records(at) if pd.notna(r[rate])
        ]
        drawn.append(
            Drawn(
                key=f"{rate}-over-{feature}",
                title=_SIDE_WORDS[rate].format(limit),
                alt=f"Share {axis}. {'; '.join(words)}.",
                table=at[["group", "threshold", rate, f"{rate}_low", f"{rate}_high", n]],
                data=rows,
                figure=figure(
                    traces,
                    height=320,
                    margin=(44, 8, 32, 44),
                    legend=True,
                    xaxis={"title": {"text": "age limit, years"}, "showgrid": False},
                    yaxis={"tickformat": ".0%", "rangemode": "tozero", "nticks": 6},
                    shapes=[marked(limit)],
                ),
                span="half",
            )
        )
    return drawn
