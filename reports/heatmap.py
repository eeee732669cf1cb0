"""Heat maps: crossings of two features, and confusion of true with predicted."""

from typing import Any

import pandas as pd

from audit.findings import DISPARITY
from audit.metrics import METRICS
from audit.result import AuditResult
from audit.words import CROSS, count, counted_faces, in_unit, percent
from reports import lookup
from reports.forest import COLUMNS, name_width
from reports.names import width
from reports.plot import Figure, Trace, bar, heatmap, scatter
from reports.theme import LIGHT, SIZE, Drawn, styled, text

ROW = 32  # px
HALF = 348  # px that a figure of half the width has in the report
SEQUENTIAL = [[0, LIGHT["paper"]], [1, LIGHT["tint"]]]
SIGNED = [[0, LIGHT["tint-group"]], [0.5, LIGHT["paper"]], [1, LIGHT["tint"]]]


def crossing(result: AuditResult, *, feature: str, metric: str) -> Drawn:
    """A crossing of two features: the value in its cell, hatched where there are too few people.

    The feature of more levels stands in the rows, so that the figure fits a narrow page.
    """
    rows = lookup.subgroup_rows(result, feature, metric)
    pairs = [tuple(str(g).split(CROSS, 1)) for g in rows.group]
    names = feature.split(CROSS)
    sides = [
        lookup.levels(result, name, occupied=[p[i] for p in pairs]) for i, name in enumerate(names)
    ]
    down, across = (0, 1) if len(sides[0]) > len(sides[1]) else (1, 0)
    cells = [
        dict(record, x=sides[across].index(pair[across]), y=sides[down].index(pair[down]))
        for record, pair in zip(lookup.records(rows), pairs, strict=True)
    ]
    figure = grid(sides[across], sides[down])
    _colour(figure, cells, sides[across], sides[down], metric)
    _hatch(figure, [c for c in cells if c["status"] != "ok"])
    dots = established(result, feature, metric)
    for cell in cells:
        mark = " •" if cell["group"] in dots else ""
        cell["words"] = _value(cell, metric) + mark
        cell["hover"] = _hover(cell)
    write_cells(figure, cells, quiet=[c["status"] != "ok" for c in cells])
    least = name_width(sides[down]) + 52 * len(sides[across])
    return Drawn(
        key=f"crossing-{feature}-{metric}",
        heading=lookup.heading(feature),
        title=_title(result, feature, metric, rows),
        alt=_alt(rows, metric),
        table=rows[COLUMNS],
        figure=figure,
        span="half" if len(sides[across]) <= 3 and least <= HALF else "full",
        min_width=least,
    )


def established(result: AuditResult, feature: str, metric: str) -> set[str]:
    """Groups whose difference from the rest is established: confirmed slices, disparities.

    Of a disparity it is the group furthest off, where its own interval does not hold 0.
    """
    slices, tested = result.slices, result.disparities
    same = slices[(slices.feature == feature) & (slices.metric == metric)]
    confirmed = set(same.group[same.confirmed == True])  # noqa: E712  (a column of objects)
    found = tested[(tested.feature == feature) & (tested.metric == metric) & tested.control.isna()]
    sure = (found.outlying_low > 0) | (found.outlying_high < 0)
    return confirmed | set(found.outlying_group[(found.verdict == DISPARITY) & sure].dropna())


def confusion(result: AuditResult, *, head: str) -> Drawn | None:
    """Faces by true and predicted level; the shade is the share of the true level's row."""
    rows = result.confusion
    rows = rows[(rows["head"] == head) & (rows.feature == lookup.OVERALL)]
    if rows.empty:
        return None
    true = list(dict.fromkeys(rows["true"].astype(str)))
    read = [x for x in true if x in set(rows.predicted)]
    read += [x for x in dict.fromkeys(rows.predicted.astype(str)) if x not in set(true)]
    totals = rows.groupby("true").n.sum()
    figure = grid(read, true, axis="called" if head == "gender" else "age group read")
    cells = []
    for record in lookup.records(rows):
        share = record["n"] / totals[record["true"]] if totals[record["true"]] else 0.0
        x, y = read.index(str(record["predicted"])), true.index(str(record["true"]))
        group = f"{record['true']}{CROSS}{record['predicted']}"
        cells.append(record | {"value": share, "x": x, "y": y, "group": group})
    z = matrix(cells, len(read), len(true))
    figure.add_trace(heat(z, SEQUENTIAL, low=0, high=1))
    for cell in cells:
        cell["words"] = count(cell["n"])
        cell["hover"] = text(
            f"{cell['true']} read as {cell['predicted']}: {counted_faces(cell['n'])}"
        )
    write_cells(figure, cells, quiet=[c["n"] == 0 for c in cells])
    what = "Gender, labelled against called" if head == "gender" else "Age group, true against read"
    words = [f"{r['true']} read as {r['predicted']}: {count(r['n'])}" for r in cells if r["n"]]
    return Drawn(
        key=f"confusion-{head}",
        title=_confusion_title(result, head, what, rows),
        alt=f"{what}. " + "; ".join(words) + ".",
        table=rows[["true", "predicted", "n"]],
        figure=figure,
        span="half" if len(read) <= 3 else "full",
        min_width=name_width(true) + 44 * len(read),
    )


def _confusion_title(result: AuditResult, head: str, what: str, rows: pd.DataFrame) -> str:
    """The share called rightly, as the audit has it; for ages the most frequent mistake."""
    accuracy = lookup.overall_row(result, "gender_accuracy") if head == "gender" else None
    if accuracy is not None:
        return f"{what}: {percent(accuracy['value'])} called as labelled"
    off = rows[rows["true"] != rows.predicted]
    if head == "gender" or off.empty or not off.n.max():
        return what
    most = off.iloc[int(off.n.argmax())]
    return f"{what}: most often {most['true']} read as {most.predicted}, {counted_faces(most.n)}"


def grid(across: list[str], down: list[str], *, axis: str = "") -> Figure:
    """Empty axes of a grid: columns named above, rows at the left, first row on top."""
    figure = Figure()
    top = 32 if max(map(width, across), default=0) <= 9 else 72
    top += 20 if axis else 0
    styled(figure, height=ROW * len(down) + top + 8, margin=(name_width(down), 0, top, 8))
    common = {
        "showgrid": False,
        "showline": False,
        "tickfont": {"color": LIGHT["ink"], "size": SIZE},
        "ticks": "",
    }
    figure.update_xaxes(
        side="top",
        range=[-0.5, len(across) - 0.5],
        tickvals=list(range(len(across))),
        ticktext=[text(x, longest=16) for x in across],
        tickangle=0 if top < 72 else -35,
        title_text=axis,
        **common,
    )
    figure.update_yaxes(
        range=[len(down) - 0.5, -0.5],
        tickvals=list(range(len(down))),
        ticktext=[text(x, longest=32) for x in down],
        **common,
    )
    return figure


def matrix(cells: list[dict[str, Any]], across: int, down: int) -> list[list[float | None]]:
    """Values of the cells by row and column, None where there is none."""
    z: list[list[float | None]] = [[None] * across for _ in range(down)]
    for cell in cells:
        z[cell["y"]][cell["x"]] = None if pd.isna(cell["value"]) else cell["value"]
    return z


def heat(z: list[list[float | None]], scale: Any, *, low: float, high: float) -> Trace:
    """The colours of a grid's cells, from `low` to `high`."""
    return heatmap(
        z=z,
        colorscale=scale,
        zmin=low,
        zmax=high,
        showscale=False,
        xgap=2,
        ygap=2,
        hoverinfo="skip",
        hoverongaps=False,
    )


def _colour(
    figure: Figure,
    cells: list[dict[str, Any]],
    across: list[str],
    down: list[str],
    metric: str,
) -> None:
    """Darker is worse; a signed metric runs both ways from zero; neither-good-nor-bad upwards."""
    compared = [c["value"] for c in cells if c["status"] == "ok" and pd.notna(c["value"])]
    if not compared:
        return
    better = METRICS[metric].better
    coloured = [c for c in cells if c["status"] == "ok"]
    z = matrix(coloured, len(across), len(down))
    low, high = min(compared), max(compared)
    scale: Any = SEQUENTIAL
    if better == "zero":
        high = max(abs(low), abs(high))
        low, scale = -high, SIGNED
    elif better == "higher":
        scale = [[0, LIGHT["tint"]], [1, LIGHT["paper"]]]
    figure.add_trace(heat(z, scale, low=low, high=high if high > low else low + 1))


def _hatch(figure: Figure, cells: list[dict[str, Any]]) -> None:
    if cells:
        figure.add_trace(
            bar(
                x=[c["x"] for c in cells],
                base=[c["y"] - 0.47 for c in cells],
                y=[0.94] * len(cells),
                width=0.96,
                marker={
                    "color": "rgba(0,0,0,0)",
                    "line": {"width": 0},
                    "pattern": {
                        "shape": "/",
                        "fgcolor": LIGHT["line"],
                        "bgcolor": "rgba(0,0,0,0)",
                        "size": 7,
                        "solidity": 0.25,
                        "fillmode": "replace",
                    },
                },
                hoverinfo="skip",
            )
        )


def write_cells(figure: Figure, cells: list[dict[str, Any]], *, quiet: list[bool]) -> None:
    """The words of every cell, and what a pointer on it shows."""
    figure.add_trace(
        scatter(
            x=[c["x"] for c in cells],
            y=[c["y"] for c in cells],
            text=[c["words"] for c in cells],
            mode="text",
            textfont={
                "color": [LIGHT["quiet"] if q else LIGHT["ink"] for q in quiet],
                "size": SIZE,
            },
            customdata=[c["group"] for c in cells],
            hovertext=[c["hover"] for c in cells],
            hoverinfo="text",
            cliponaxis=False,
        )
    )


def _value(cell: dict[str, Any], metric: str) -> str:
    found = METRICS[metric]
    if pd.isna(cell["value"]):
        return ""
    words = in_unit(cell["value"], found.unit, signed=found.better == "zero")
    return words.removesuffix("\u00a0%")  # the unit is in the figure's title


def _hover(cell: dict[str, Any]) -> str:
    if pd.isna(cell["value"]):
        return f"{text(cell['group'])}: too few to show, {counted_faces(cell['n'])}"
    return f"{text(cell['group'])}: {lookup.figure_words(cell, n=True)}"


def _title(result: AuditResult, feature: str, metric: str, rows: pd.DataFrame) -> str:
    found = METRICS[metric]
    unit = {"years": ", years", "share": ", %", "score": ""}[found.unit]
    worst = lookup.worst_group(result, feature, metric)
    named = rows.set_index("group")
    if worst in named.index:
        return f"{found.label}{unit}: furthest off {worst}, {lookup.figure_words(named.loc[worst])}"
    return f"{found.label}{unit}, {lookup.by_words(feature)}"


def _alt(rows: pd.DataFrame, metric: str) -> str:
    shown = rows[rows.value.notna()]
    words = [f"{r['group']} {lookup.figure_words(r, n=True)}" for r in lookup.records(shown)]
    rest = len(rows) - len(shown)
    more = f" {rest} groups have too few people to show." if rest else ""
    return f"{METRICS[metric].label}. " + "; ".join(words) + "." + more
