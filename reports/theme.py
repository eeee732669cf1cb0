"""How every figure looks: colours in light and dark, type, axes. No figure sets its own.

Figures are made in the light colours; `dark` turns one over, and the report's page does the same
in the browser when the reader's system is dark. The colours are those of `base.html`.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from audit.metrics import METRICS
from reports.names import isolated, shortened, width
from reports.plot import Figure

# Name: (light, dark). The four hues are told apart by every common kind of colour vision and
# stand 3:1 or better against the paper (Okabe-Ito's blue, vermilion, green, purple).
PALETTE: Mapping[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#14171a"),
    "surface": ("#f5f6f7", "#1d2125"),
    "line": ("#d9dce0", "#343a41"),
    "rule": ("#8a9099", "#7d858f"),
    "ink": ("#16191d", "#eceef0"),
    "quiet": ("#575e68", "#a9b0b9"),
    "accent": ("#0072b2", "#56b4e9"),
    "group": ("#d55e00", "#f28c45"),
    "third": ("#009e73", "#2fc49a"),
    "fourth": ("#cc79a7", "#e39cc4"),
    "band": ("#dfe2e6", "#2b3036"),
    "tint": ("#8ec3e6", "#1d6a9c"),
    "tint-group": ("#f5b78a", "#9a4d17"),
}
LIGHT: Mapping[str, str] = {name: pair[0] for name, pair in PALETTE.items()}
DARKENED: Mapping[str, str] = dict(PALETTE.values())

FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", '
    '"Liberation Sans", Arial, sans-serif'
)
SIZE = 13  # px
CONFIG: Mapping[str, Any] = {"displayModeBar": False, "responsive": True}

WIDTH_STEP = 80  # px between the least widths that a page of the dashboard knows
Span = Literal["full", "half", "third"]
ACROSS: Mapping[Span, int] = {"full": 1, "half": 2, "third": 3}  # figures side by side


@dataclass(frozen=True)
class Drawn:
    """A figure with its words and the table behind it.

    title: says the finding. alt: the same numbers for those who do not see the figure.
    table: columns of the result (`reports.tables.in_words` turns them into words).
    figure: None where the table says it best; then the table stands open.
    span: the width the figure is made for: the text's (720 px), a half or a third of it.
    min_width: px below which the figure is scrolled rather than squeezed.
    heading: what its neighbours and it compare (a feature); they stand together under it.
    why: a sentence that this figure alone needs. data: the whole table, where `table` is thinned.
    """

    key: str
    title: str
    alt: str
    table: pd.DataFrame
    figure: Figure | None = None
    span: Span = "full"
    min_width: int = 0
    heading: str = ""
    why: str = ""
    data: pd.DataFrame | None = None

    @property
    def height(self) -> int:
        """Height of the figure in px, known before it is drawn; 0 without one."""
        return 0 if self.figure is None else int(self.figure.to_dict()["layout"]["height"])


_AXIS = {
    "showgrid": True,
    "gridcolor": LIGHT["line"],
    "gridwidth": 1,
    "zeroline": False,
    "zerolinecolor": LIGHT["rule"],
    "zerolinewidth": 1,
    "showline": True,
    "linecolor": LIGHT["rule"],
    "ticks": "outside",
    "tickcolor": LIGHT["rule"],
    "tickfont": {"color": LIGHT["quiet"], "size": SIZE - 1},
    "title": {"font": {"color": LIGHT["quiet"], "size": SIZE - 1}, "standoff": 8},
    "fixedrange": True,  # a finger that scrolls the page must not zoom a figure
}
LOOKS: Mapping[str, Any] = {
    "layout": {
        "font": {"family": FONT, "size": SIZE, "color": LIGHT["ink"]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": LIGHT["surface"],
            "bordercolor": LIGHT["rule"],
            "font": {"family": FONT, "size": SIZE, "color": LIGHT["ink"]},
            "align": "left",
        },
        "separators": ".\u202f",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
}
LEGEND: Mapping[str, Any] = {  # one line above the figure
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1,
    "yanchor": "bottom",
    "font": {"size": SIZE, "color": LIGHT["ink"]},
    "bgcolor": "rgba(0,0,0,0)",
    "itemclick": False,
    "itemdoubleclick": False,
}


def styled(figure: Figure, *, height: int, margin: tuple[int, int, int, int]) -> Figure:
    """Give a figure the house's looks. margin: left, right, top, bottom in px."""
    left, right, top, bottom = margin
    return figure.update_layout(
        template=LOOKS,
        height=height,
        margin={"l": left, "r": right, "t": top, "b": bottom, "pad": 0},
    )


def legend_above(figure: Figure) -> Figure:
    """Show the legend as one line above the figure."""
    return figure.update_layout(showlegend=True, legend=dict(LEGEND))


def dark(figure: Figure) -> Figure:
    """The same figure in the dark colours."""
    return Figure(**_turned(figure.to_dict()))


def plain(figure: Figure) -> dict[str, Any]:
    """A figure as compact JSON values, without LOOKS (said once a page), to five digits."""
    whole = figure.to_dict()
    layout = {name: value for name, value in whole["layout"].items() if name != "template"}
    return {"data": _short(whole["data"]), "layout": _short(layout)}


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _turned(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_turned(v) for v in value]
    return DARKENED.get(value, value) if isinstance(value, str) else value


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_short(v) for v in value]
    if isinstance(value, float):
        short = float(f"{value:.5g}")
        return int(short) if short.is_integer() and abs(short) < 1e6 else short
    return value


def note(words: str, *, x: float, y: float, **looks: Any) -> dict[str, Any]:
    """A small word on a figure, in context grey; `annotations` takes a list of them at once."""
    font = {"color": LIGHT["quiet"], "size": SIZE - 1} | looks.pop("font", {})
    return {"text": words, "x": x, "y": y, "showarrow": False, "font": font, **looks}


def text(words: str, *, longest: int = 40) -> str:
    """A name from the data as plotly shows it: markup stays text, long names lose their middle."""
    return html.escape(isolated(shortened(" ".join(words.split()), longest)), quote=False)


def told_apart(names: Sequence[str], longest: int) -> list[str]:
    """Names at most `longest` letters wide: of long ones, the words that differ."""
    words = [name.split(" ") for name in names if width(name) > longest]
    first = last = 0
    if len(words) > 1:
        least = min(map(len, words)) - 1  # a word of each is left
        first = next((i for i in range(least) if len({w[i] for w in words}) > 1), least)
        least -= first
        last = next((i for i in range(least) if len({w[-1 - i] for w in words}) > 1), least)

    def own(name: str) -> str:
        kept = name.split(" ")
        kept = kept[first : len(kept) - last]
        return "…" * (first > 0) + " ".join(kept) + "…" * (last > 0)

    return [n if width(n) <= longest else shortened(own(n), longest) for n in names]


# plotly writes a zero with its sign, too
SIGNED_AXIS: dict[str, Any] = {"tickformat": "+", "labelalias": {"+0": "0"}, "zeroline": True}


def axis_of(metric: str) -> dict[str, Any]:
    """Axis settings of a metric: its words and unit, the meaning of a signed one's two ends."""
    found = METRICS[metric]
    if found.unit == "share":
        return {"title": {"text": found.label}, "tickformat": ".2~%", "hoverformat": ".1%"}
    if found.better == "zero":
        words = "← too young · years · too old →"
        return {"title": {"text": words}, **SIGNED_AXIS}
    unit = ", years" if found.unit == "years" else ""
    return {"title": {"text": found.label + unit}}
