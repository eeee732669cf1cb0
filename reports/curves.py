"""Curves: error over age, share read within k years, training over epochs."""

import pandas as pd

from audit.groups import FEW_BELOW
from audit.metrics import METRICS
from audit.result import AuditResult
from audit.words import count, counted, in_unit, interval, percent, years
from reports import lookup
from reports.marks import LINES, filled
from reports.plot import Figure, Trace, scatter
from reports.theme import LIGHT, SIGNED_AXIS, Drawn, axis_of, legend_above, styled, text

FOLLOWED = ("loss", "age_mae", "gender_accuracy")
TRUE, READ = "by true age", "by predicted age"
WHY_TWO_LINES = (
    "The lines differ because even the best possible reader leans towards common ages: among those "
    "truly old it reads too young, among those read as old it need not. Calibration is the line by "
    "predicted age."
)


def error_by_age(result: AuditResult, *, metric: str) -> Drawn | None:
    """`age_mae` or `age_me` over true and over predicted age groups, on one scale."""
    table = _by_age_table(result, metric)
    if table.empty:
        return None
    order = [str(x) for x in result.info["age_groups"]]
    order += [x for x in dict.fromkeys(table.group) if x not in order]
    figure = Figure()
    for looks, shift, (by, rows) in zip(
        LINES, (-0.08, 0.08), table.groupby("by", sort=False), strict=False
    ):
        figure.add_trace(_age_line(rows, order, shift=shift, name=str(by), looks=looks))
    styled(figure, height=300, margin=(48, 8, 32, 56))
    figure.update_xaxes(
        title_text="age group, years",
        tickvals=list(range(len(order))),
        ticktext=[text(g) for g in order],
        range=[-0.4, len(order) - 0.6],
        showgrid=False,
    )
    figure.update_layout(meta={"narrow": {"xaxis": {"tickangle": -50, "title": {"text": ""}}}})
    found = METRICS[metric]
    if found.better == "zero":
        figure.update_yaxes(title_text="← too young · years · too old →", **SIGNED_AXIS)
    else:
        figure.update_yaxes(title_text="years", rangemode="tozero")
    return Drawn(
        key=f"age-{metric}",
        title=_by_age_title(table, metric),
        alt=_by_age_alt(table, metric),
        table=table,
        figure=legend_above(figure),
        why=WHY_TWO_LINES if table.by.iloc[0] != table.by.iloc[-1] else "",
    )


def _by_age_table(result: AuditResult, metric: str) -> pd.DataFrame:
    """Both lines as one table: by, group, value, low, high, n, metric."""
    columns = ["by", "group", "value", "low", "high", "n", "metric"]
    true = lookup.subgroup_rows(result, "age_group", metric).assign(by=TRUE)
    bins = result.calibration
    bins = bins[(bins["head"] == "age") & (bins.feature == lookup.OVERALL)]
    stem = "mae" if metric == "age_mae" else "error"
    read = pd.DataFrame(
        {
            "by": READ,
            "group": bins.bin.astype(str),
            "metric": metric,
            "value": bins[stem],
            "low": bins[f"{stem}_low"],
            "high": bins[f"{stem}_high"],
            "n": bins.n,
        }
    )
    parts = [part[columns] for part in (true, read) if part["value"].notna().any()]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)


def _age_line(
    rows: pd.DataFrame, order: list[str], *, shift: float, name: str, looks: dict[str, str]
) -> Trace:
    rows = rows[rows.value.notna()]
    hover = [
        f"{name} {text(str(r['group']))}: {lookup.figure_words(r, n=True)}"
        for r in lookup.records(rows)
    ]
    return scatter(
        x=[order.index(str(g)) + shift for g in rows.group],
        y=rows.value.tolist(),
        customdata=[str(g) for g in rows.group],
        mode="lines+markers",
        name=name,
        line={"color": looks["color"], "width": 2, "dash": looks["dash"]},
        marker={"color": looks["color"], "symbol": filled(rows.n, looks["symbol"]), "size": 8},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": (rows.high - rows.value).fillna(0).tolist(),
            "arrayminus": (rows.value - rows.low).fillna(0).tolist(),
            "color": looks["color"],
            "thickness": 1.25,
            "width": 0,
        },
        hovertext=hover,
        hoverinfo="text",
    )


def _by_age_title(table: pd.DataFrame, metric: str) -> str:
    """The true age group furthest off (the predicted one, where true ages are not split)."""
    first = table[table.by == table.by.iloc[0]]
    first = first[first.value.notna() & (first.n >= FEW_BELOW)]
    if first.empty:
        return f"{METRICS[metric].label} by age: no group of {FEW_BELOW} faces or more"
    worst = first.iloc[int(first.value.abs().argmax())]
    words = lookup.figure_words(worst)
    if metric == "age_me":
        way = "old" if worst.value > 0 else "young"
        return f"Ages {worst.group} are read furthest too {way}: {words}"
    return f"Largest mean absolute error at ages {worst.group}: {words}"


def _by_age_alt(table: pd.DataFrame, metric: str) -> str:
    parts = []
    for by, rows in table[table.value.notna()].groupby("by", sort=False):
        words = [f"{r['group']} {lookup.figure_words(r)}" for r in lookup.records(rows)]
        parts.append(f"{by}: {', '.join(words)}")
    return f"{METRICS[metric].label} " + "; ".join(parts) + "."


def within_years(result: AuditResult, *, feature: str) -> list[Drawn]:
    """CS@k: share of faces read at most k years off, each group against all faces."""
    rows = result.histograms[result.histograms["kind"] == "age_cs"]
    rows = rows[rows["value"].notna()]
    whole = rows[rows.feature == lookup.OVERALL]
    parts = rows[rows.feature == feature].groupby("group", sort=False)
    return [_within(str(group), part, whole, feature=feature) for group, part in parts]


def _within(group: str, part: pd.DataFrame, whole: pd.DataFrame, *, feature: str) -> Drawn:
    figure = Figure()
    k = part.high.tolist()
    figure.add_trace(_band(k, part.value_low.tolist(), part.value_high.tolist()))
    lines = [(whole, "all faces", {"color": LIGHT["quiet"], "dash": "dot", "width": 1.5})]
    if feature != lookup.OVERALL:
        lines.append((part, group, {"color": LIGHT["accent"], "dash": "solid", "width": 2}))
    for rows, name, looks in lines:
        hover = [
            f"{text(name)}, within {counted(r.high, 'year', 'years')}: {percent(r.value)} "
            f"{interval(r.value_low, r.value_high, 'share')}"
            for r in lookup.each(rows)
        ]
        figure.add_trace(
            scatter(
                x=rows.high.tolist(),
                y=rows.value.tolist(),
                mode="lines",
                line=looks,
                name=text(name),
                hovertext=hover,
                hoverinfo="text",
            )
        )
    styled(figure, height=190, margin=(44, 4, 8, 44))
    figure.update_xaxes(title_text="k, years", range=[0, 20], nticks=5, showgrid=False)
    figure.update_yaxes(tickformat=".0%", range=[0, 1], nticks=5)
    at = part[part.high == 5]
    five = f": {percent(at.value.iloc[0])} within 5 years" if len(at) else ""
    whole_table = part.assign(
        metric="age_cs5", k=part.high, low=part.value_low, high=part.value_high
    )[["group", "k", "metric", "value", "low", "high", "n"]]
    shown = whole_table[whole_table.k.isin([0, 1, 2, 3, 5, 7, 10, 15, 20, 30])]
    words = [f"{count(r.k)} years {percent(r.value)}" for r in lookup.each(shown[shown.k % 5 == 0])]
    return Drawn(
        key=f"within-{feature}-{group}",
        heading=lookup.heading(feature),
        title=f"{group}{five}",
        alt=f"{group}: share of faces read at most k years off. " + ", ".join(words) + ".",
        table=shown.drop(columns=["group", "metric"]).rename(
            columns={"value": "within", "low": "within_low", "high": "within_high"}
        ),
        data=whole_table,
        figure=figure,
        span="third",
    )


def _band(x: list[float], low: list[float], high: list[float]) -> Trace:
    """A grey band between two lines."""
    return scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=LIGHT["band"],
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )


def learning_curves(history: pd.DataFrame) -> list[Drawn]:
    """One figure per quantity that the trainer followed on training and validation faces."""
    return [_learning(history, stem, columns) for stem, columns in followed(history).items()]


def followed(history: pd.DataFrame) -> dict[str, list[str]]:
    """Quantities of a training's history that are drawn, with their columns.

    Loss, age error and gender accuracy, each `_train` and `_valid`; others are left to the table.
    """
    found: dict[str, list[str]] = {}
    for stem in FOLLOWED:
        columns = [c for c in (f"{stem}_train", f"{stem}_valid") if c in history.columns]
        if columns and len(history) > 0 and "epoch" in history:
            found[stem] = columns
    return found


def _learning(history: pd.DataFrame, stem: str, columns: list[str]) -> Drawn:
    figure = Figure()
    for looks, column in zip(LINES, columns, strict=False):
        name = "training" if column.endswith("train") else "validation"
        figure.add_trace(
            scatter(
                x=history.epoch.tolist(),
                y=history[column].tolist(),
                mode="lines",
                name=name,
                line={"color": looks["color"], "dash": looks["dash"], "width": 2},
                hovertext=[
                    f"{name}, epoch {count(epoch)}: {_number(value, stem)}"
                    for epoch, value in zip(history.epoch, history[column], strict=True)
                ],
                hoverinfo="text",
            )
        )
    styled(figure, height=200, margin=(48, 8, 8, 44))
    figure.update_xaxes(title_text="epoch", nticks=6, showgrid=False)
    if stem in METRICS:
        figure.update_yaxes(axis_of(stem))
    figure.update_yaxes(title_text="", nticks=6)
    title = _learning_title(history, stem, columns)
    return Drawn(
        key=f"learning-{stem}",
        title=title,
        alt=f"{title}, over {count(len(history))} epochs. " + _ends(history, columns),
        table=history[["epoch", *columns]],
        figure=figure,
        span="third",
    )


def _learning_title(history: pd.DataFrame, stem: str, columns: list[str]) -> str:
    label = METRICS[stem].label if stem in METRICS else stem.capitalize()
    valid = [c for c in columns if c.endswith("valid")]
    if not valid or history[valid[0]].isna().all():
        return label
    values = history[valid[0]]
    best = int(values.argmax() if stem == "gender_accuracy" else values.argmin())
    figure = _number(float(values.iloc[best]), stem)
    return f"{label}: best {figure} at epoch {count(history.epoch.iloc[best])}"


def _ends(history: pd.DataFrame, columns: list[str]) -> str:
    first, last = history.iloc[0], history.iloc[-1]
    return " ".join(
        f"{c.replace('_', ' ')}: from {first[c]:.3g} to {last[c]:.3g}." for c in columns
    )


def _number(value: float, stem: str) -> str:
    if stem not in METRICS:
        return f"{value:.2f}"
    unit = METRICS[stem].unit
    return f"{years(value)} years" if unit == "years" else in_unit(value, unit)
