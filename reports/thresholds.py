"""Who is called female at which threshold: rates by group over all of them, and ROC."""

import math
from collections.abc import Sequence

import pandas as pd

from audit.result import AuditResult
from audit.words import count, interval, percent
from reports import lookup
from reports.marks import SIGN, band, dots, figure, group_words, line, looks_of, spread
from reports.marks import target as marked
from reports.plot import Trace
from reports.theme import Drawn, text, told_apart

LEAST = 30  # faces in a rate's own denominator, for a group to be drawn without being asked for
MOST = 4  # groups beside all faces that one figure can tell apart
_LEGEND_NAME = 24  # letters that fit beside a line's sign in a third of the report's width
TICKS = (0.001, 0.1, 0.5, 0.9, 0.999)
SHOWN = (0.1, 0.5, 0.9)  # rows of the table behind, of over a hundred
_RATES = ["threshold", "tpr", "tpr_low", "tpr_high", "fpr", "fpr_low", "fpr_high"]
_SELECTION = ["selection", "selection_low", "selection_high"]


def called_at(result: AuditResult, *, feature: str, threshold: float) -> pd.DataFrame:
    """The records at `threshold` (the nearest stored one) of all faces and a feature's groups.

    tp, fn, fp, tn: faces, counted back from the stored rates.
    """
    rows = records_at(result.thresholds, feature, threshold).copy()
    rows["tp"] = (rows.tpr * rows.female_n).round()
    rows["fn"] = rows.female_n - rows.tp
    rows["fp"] = (rows.fpr * rows.male_n).round()
    rows["tn"] = rows.male_n - rows.fp
    return rows


def records_at(rows: pd.DataFrame, feature: str, wanted: float) -> pd.DataFrame:
    """Records of all faces and a feature's groups at the stored threshold nearest to `wanted`."""
    rows = rows[rows.feature.isin([lookup.OVERALL, feature])]
    off = (rows.threshold - wanted).abs()
    nearest: pd.DataFrame = rows[off == off.min()]
    return nearest


def outermost(rows: pd.DataFrame, *, rate: str, n: str) -> list[str]:
    """The MOST groups furthest from all faces in `rate`, in the order of `rows`."""
    whole = rows[rows.feature == lookup.OVERALL][rate]
    own = rows[(rows.feature != lookup.OVERALL) & (rows[n] >= LEAST) & rows[rate].notna()]
    middle = own[rate].mean() if whole.empty else whole.iloc[0]
    far = (own[rate] - middle).abs().sort_values(ascending=False, kind="stable").index[:MOST]
    return [str(own.group[i]) for i in own.index if i in set(far)]


# The gender score -----------------------------------------------------------------------------


def sweeps(
    result: AuditResult,
    *,
    feature: str,
    groups: Sequence[str] | None = None,
    threshold: float | None = None,
) -> list[Drawn]:
    """Rates of calls over every threshold, and ROC, by group; the threshold in force is marked."""
    at = float(result.info["settings"].get("threshold", 0.5)) if threshold is None else threshold
    now = records_at(result.thresholds, feature, at)
    if now.empty:
        return []
    if groups is None:
        groups = outermost(now, rate="tpr", n="female_n")
    else:
        now = now[now.group.isin([lookup.OVERALL, *groups])]
    names = [lookup.OVERALL, *(g for g in groups if g in set(now.group))]
    rows = result.thresholds
    rows = rows[rows.feature.isin([lookup.OVERALL, feature]) & rows.group.isin(names)]
    curves = {g: rows[rows.group == g] for g in names}
    return [
        _rates(curves, now, feature, at),
        _selected(curves, now, feature, at),
        _roc(result, curves, now, feature, at),
    ]


def _rates(curves: dict[str, pd.DataFrame], now: pd.DataFrame, feature: str, at: float) -> Drawn:
    """True positive rates above, false positive rates below, on one axis."""
    traces: list[Trace] = []
    for rate, n, word in (("tpr", "female_n", "females"), ("fpr", "male_n", "males")):
        traces += _curves(curves, rate, n, f"{word} called female", legend=rate == "tpr")
    title = f"Called female at {at:.2f}: "
    title += (
        _ends(now, feature, "tpr", "of females") + "; " + _ends(now, feature, "fpr", "of males")
    )
    return _sweep(
        traces,
        curves,
        now,
        feature,
        at,
        key="rates",
        title=title,
        columns=_RATES,
    )


def _selected(curves: dict[str, pd.DataFrame], now: pd.DataFrame, feature: str, at: float) -> Drawn:
    """Share of all faces called female, whatever their label."""
    traces = _curves(curves, "selection", "n", "faces called female", legend=True)
    title = f"Called female at {at:.2f}: {_ends(now, feature, 'selection', 'of faces')}"
    return _sweep(
        traces,
        curves,
        now,
        feature,
        at,
        key="selection",
        title=title,
        columns=["threshold", *_SELECTION],
    )


def _sweep(
    traces: list[Trace],
    curves: dict[str, pd.DataFrame],
    now: pd.DataFrame,
    feature: str,
    at: float,
    *,
    key: str,
    title: str,
    columns: list[str],
) -> Drawn:
    every = pd.concat(curves.values())
    rates = [c for c in columns if c in ("tpr", "fpr", "selection")]
    table = every[every.threshold.isin(SHOWN)][["group", *columns]]
    return Drawn(
        key=f"{key}-{feature}",
        heading=lookup.heading(feature),
        title=title,
        alt=f"{title}. " + _alt(now[now.group.isin(curves)], rates),
        table=table,
        data=every,
        figure=figure(
            traces,
            height=320,
            margin=(44, 16, _legend_height(curves), 44),
            legend=True,
            xaxis={
                "title": {"text": "threshold on P(female)"},
                "range": [_logit(0.0005), _logit(0.9995)],
                "tickvals": [_logit(t) for t in TICKS],
                "ticktext": [f"{t:g}".lstrip("0") for t in TICKS],
                "showgrid": False,
            },
            yaxis={"tickformat": ".0%", "range": [-0.02, 1.02], "nticks": 6},
            shapes=[marked(_logit(at))],
        ),
        span="third",
    )


def _legend_height(curves: dict[str, pd.DataFrame]) -> int:
    """Room above a narrow figure for the names of its lines, two to a row."""
    longest = max(len(group_words(g)) for g in curves)
    across = 3 if longest <= 6 else 2 if longest <= 12 else 1
    return 8 + 19 * -(-len(curves) // across)


def _in_legend(curves: dict[str, pd.DataFrame]) -> dict[str, str]:
    """The lines' names as short as a third of the text's width takes them, still told apart."""
    names = told_apart([group_words(g) for g in curves], _LEGEND_NAME)
    return dict(zip(curves, map(text, names), strict=True))


def _curves(
    curves: dict[str, pd.DataFrame], rate: str, n: str, words: str, *, legend: bool
) -> list[Trace]:
    """A line and its band per group, over the threshold on the scale of the logit."""
    looks, called = looks_of(list(curves)), _in_legend(curves)
    traces: list[Trace] = []
    for group, whole in curves.items():
        rows = _thinned(whole[whole[rate].notna()])
        if rows.empty:
            continue
        x = [round(_logit(t), 3) for t in rows.threshold]
        low, y, high = (rows[c].round(3).tolist() for c in (f"{rate}_low", rate, f"{rate}_high"))
        name, color = text(group_words(group)), looks[group]["color"]
        if group != lookup.OVERALL:
            traces.append(band(x, low, high, color=color, opacity=0.16))
        traces.append(
            line(
                x,
                y,
                looks=looks[group],
                name=called[group],
                showlegend=legend,
                text=[f"{t:g}".lstrip("0") for t in rows.threshold],
                customdata=[
                    [round(100 * share, 1) for share in three]
                    for three in zip(y, low, high, strict=True)
                ],
                hovertemplate=f"{name} at %{{text}}: %{{customdata[0]:.1f}}{SIGN} "
                f"[%{{customdata[1]:.1f}}{SIGN}, %{{customdata[2]:.1f}}{SIGN}]<br>"
                f"of {count(rows[n].iloc[0])} {words}<extra></extra>",
            )
        )
    return traces


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Every fourth hundredth and the tails: what a line of some 200 px can show."""
    hundredth = (rows.threshold * 100).round(6)
    tails = (hundredth < 6) | (hundredth > 94)
    return rows[tails | (hundredth % 5 == 0)]


def _roc(
    result: AuditResult,
    curves: dict[str, pd.DataFrame],
    now: pd.DataFrame,
    feature: str,
    at: float,
) -> Drawn:
    """True against false positive rate; a dot where the threshold in force puts the group."""
    corner = bool((now.tpr.dropna() > 0.75).all() and (now.fpr.dropna() < 0.25).all())
    reach = 0.4 if corner else 1.0
    table = lookup.subgroup_rows(result, feature, "gender_auc")
    whole = lookup.subgroup_rows(result, lookup.OVERALL, "gender_auc")
    aucs = pd.concat([whole, table])[["group", "value", "low", "high", "n", "metric"]]
    if aucs.empty:
        aucs = now[["group", *_RATES]]
    return Drawn(
        key=f"roc-{feature}",
        heading=lookup.heading(feature),
        title=_auc_title(result, feature),
        alt=f"True against false positive rate at {at:.2f}. "
        + _alt(now[now.group.isin(curves)], ["tpr", "fpr"]),
        table=aucs,
        data=pd.concat(curves.values()),
        figure=figure(
            _roc_lines(curves, now, at),
            height=320,
            margin=(60, 16, _legend_height(curves), 44),
            legend=True,
            xaxis={
                "title": {"text": "false positive rate"},
                "tickformat": ".0%",
                "range": [-0.01, reach],
                "nticks": 5,
            },
            yaxis={
                "title": {"text": "true positive rate"},
                "tickformat": ".0%",
                "range": [1 - reach, 1.01],
                "nticks": 6,
            },
        ),
        span="third",
    )


def _roc_lines(curves: dict[str, pd.DataFrame], now: pd.DataFrame, at: float) -> list[Trace]:
    """A curve for each group, and its dot at the threshold `at`, whose rates `now` holds."""
    looks, called = looks_of(list(curves)), _in_legend(curves)
    traces: list[Trace] = []
    for group, whole in curves.items():
        rows = _thinned(whole[whole.tpr.notna() & whole.fpr.notna()])
        here = now[(now.group == group) & now.tpr.notna() & now.fpr.notna()]
        if rows.empty or here.empty:
            continue
        name, mine = text(group_words(group)), here.iloc[0]
        traces.append(
            line(
                [1, *rows.fpr.round(3), 0],
                [1, *rows.tpr.round(3), 0],
                looks=looks[group],
                name=called[group],
                hoverinfo="skip",
            )
        )
        hover = (
            f"{name} at {at:.2f}: {percent(mine.tpr)} "
            f"{interval(mine.tpr_low, mine.tpr_high, 'share')} of {count(mine.female_n)} females, "
            f"{percent(mine.fpr)} {interval(mine.fpr_low, mine.fpr_high, 'share')} of "
            f"{count(mine.male_n)} males called female"
        )
        dot = dots([mine.fpr], [mine.tpr], hover=[hover], looks=looks[group])
        dot["error_x"] = spread(
            [mine.fpr], [mine.fpr_low], [mine.fpr_high], color=looks[group]["color"]
        )
        dot["error_y"] = spread(
            [mine.tpr], [mine.tpr_low], [mine.tpr_high], color=looks[group]["color"]
        )
        traces.append(dot | {"showlegend": False})
    return traces


def _auc_title(result: AuditResult, feature: str) -> str:
    rows = lookup.subgroup_rows(result, feature, "gender_auc")
    rows = rows[rows.status == "ok"]
    if rows.empty:
        return "ROC by group: the dot is the threshold in force"
    least = rows.iloc[int(rows.value.argmin())]
    return f"Area under the ROC curve: {least.group} lowest, {lookup.figure_words(least)}"


def _ends(now: pd.DataFrame, feature: str, rate: str, words: str) -> str:
    """`82.1 % (Asian) to 94.0 % (White) of females`."""
    n = {"tpr": "female_n", "fpr": "male_n", "selection": "n"}[rate]
    rows = now[(now.feature == feature) & (now[n] >= LEAST) & now[rate].notna()]
    if len(rows) < 2:
        rows = now[now[rate].notna()].head(1)
        return f"{percent(rows[rate].iloc[0])} {words}" if len(rows) else "nobody"
    low, high = (rows.iloc[int(i)] for i in (rows[rate].argmin(), rows[rate].argmax()))
    return f"{percent(low[rate])} ({low.group}) to {percent(high[rate])} ({high.group}) {words}"


def _alt(rows: pd.DataFrame, rates: Sequence[str]) -> str:
    words = {"tpr": "females", "fpr": "males", "selection": "faces"}
    return (
        "; ".join(
            f"{group_words(r['group'])} "
            + ", ".join(
                f"{percent(r[c])} {interval(r[f'{c}_low'], r[f'{c}_high'], 'share')} of {words[c]}"
                for c in rates
                if pd.notna(r[c])
            )
            for r in lookup.records(rows)
        )
        + "."
    )


def _logit(p: float) -> float:
    kept = min(max(p, 1e-6), 1 - 1e-6)  # a threshold of 1 lies beyond the axis
    return math.log(kept / (1 - kept))
