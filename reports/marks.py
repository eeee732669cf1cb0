"""The marks that figures of calibration share: lines in bands, dots with intervals, a row a group.

The names in the dictionaries are plotly's own (see `reports.plot`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from audit.groups import FEW_BELOW
from reports import lookup
from reports.plot import Figure, Trace
from reports.theme import LEGEND, LIGHT, LOOKS, SIZE, text

ROW = 26  # px per group
SIGN = "\u00a0%"  # after a number, as everywhere else: plotly's own percent leaves no space
# Told apart without colour too: line style and marker repeat what colour says.
LINES = (
    {"color": LIGHT["accent"], "dash": "solid", "symbol": "circle"},
    {"color": LIGHT["group"], "dash": "dash", "symbol": "diamond"},
    {"color": LIGHT["third"], "dash": "dot", "symbol": "square"},
    {"color": LIGHT["fourth"], "dash": "dashdot", "symbol": "triangle-up"},
    {"color": LIGHT["quiet"], "dash": "longdash", "symbol": "cross"},
)
WHOLE_LINE = {"color": LIGHT["ink"], "dash": "dot", "symbol": "circle-open"}


def figure(
    traces: Sequence[Trace],
    *,
    height: int,
    margin: tuple[int, int, int, int],
    legend: bool = False,
    **layout: Any,
) -> Figure:
    """A figure in the house's looks. margin: left, right, top, bottom in px."""
    left, right, top, bottom = margin
    layout |= {
        "template": LOOKS,
        "height": height,
        "margin": {"l": left, "r": right, "t": top, "b": bottom, "pad": 0},
    }
    if legend:
        layout |= {"showlegend": True, "legend": dict(LEGEND)}
    return Figure(traces, layout)


def line(x: Sequence[float], y: Sequence[float], *, looks: Mapping[str, str], **more: Any) -> Trace:
    """A line in a group's colour and dash."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": list(y),
        "line": {"color": looks["color"], "dash": looks["dash"], "width": 2},
        **more,
    }


def band(
    x: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    color: str = LIGHT["band"],
    opacity: float = 1.0,
    **more: Any,
) -> Trace:
    """The area between two lines."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*x, *reversed(x)],
        "y": [*high, *reversed(low)],
        "fill": "toself",
        "fillcolor": color,
        "line": {"width": 0},
        "opacity": opacity,
        "hoverinfo": "skip",
        "showlegend": False,
        **more,
    }


def dots(
    x: Sequence[float], y: Sequence[float], *, hover: Sequence[str], looks: Mapping[str, str]
) -> Trace:
    """Dots that say `hover`; `spread` gives them intervals."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "marker": {
            "color": looks["color"],
            "symbol": looks["symbol"],
            "size": 8,
            "line": {"width": 1.5, "color": looks["color"]},
        },
        "hovertext": list(hover),
        "hoverinfo": "text",
    }


def filled(n: Iterable[float], symbol: str) -> str | list[str]:
    """The symbol of every dot: hollow for groups of few, which nothing ranks."""
    each = [symbol if faces >= FEW_BELOW else f"{symbol}-open" for faces in n]
    return symbol if len(set(each)) == 1 and each[0] == symbol else each


def spread(
    value: Sequence[float], low: Sequence[float], high: Sequence[float], *, color: str
) -> dict[str, Any]:
    """An interval as plotly's error bar: a missing end gives no bar."""
    ends = [(h - v, v - lo) for v, lo, h in zip(value, low, high, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if math.isnan(a) else max(a, 0.0) for a, _ in ends],
        "arrayminus": [0 if math.isnan(b) else max(b, 0.0) for _, b in ends],
        "color": color,
        "thickness": 1.5,
        "width": 0,
    }


def group_words(group: str) -> str:
    """A group as figures name it."""
    return "all faces" if group == lookup.OVERALL else str(group)


def looks_of(groups: Sequence[str]) -> dict[str, dict[str, str]]:
    """Each group's colour, dash and symbol; all faces dotted in ink."""
    own = [g for g in groups if g != lookup.OVERALL]
    found = {g: LINES[i % len(LINES)] for i, g in enumerate(own)}
    return {g: found.get(g, WHOLE_LINE) for g in groups}


def row_axis(names: Sequence[str]) -> dict[str, Any]:
    """The vertical axis of a figure with a row per group: the first on top, at len(names)."""
    return {
        "showgrid": False,
        "range": [0.4, len(names) + 0.6],
        "tickvals": list(range(len(names), 0, -1)),
        "ticktext": [text(name) for name in names],
        "tickfont": {"color": LIGHT["ink"], "size": SIZE},
        "ticks": "",
    }


def target(x: float) -> dict[str, Any]:
    """A dotted line from top to bottom at what was stated or wished."""
    return {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "line": {"color": LIGHT["ink"], "width": 1, "dash": "dot"},
    }
