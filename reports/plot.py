"""A plotly figure as the plain dictionaries that plotly.js reads, made without plotly.

plotly's own classes look up and check every property when it is set: half of a report's time went
there. The dictionaries are theirs (plotly.com/javascript/reference) and so are the names here, so
that a figure function reads as it would with `plotly.graph_objects`; `Figure.checked` hands a
figure to plotly once, whole, where its own class is wanted, and the tests do that for every figure.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

Trace = dict[str, Any]

# Properties with a `_` of their own; in any other it stands between a part and its property.
_OWN = ("error_x", "error_y", "paper_bgcolor", "plot_bgcolor")


def scatter(**properties: Any) -> Trace:
    """Points, lines or words."""
    return trace("scatter", **properties)


def bar(**properties: Any) -> Trace:
    """Bars."""
    return trace("bar", **properties)


def heatmap(**properties: Any) -> Trace:
    """Coloured cells."""
    return trace("heatmap", **properties)


def trace(kind: str, /, **properties: Any) -> Trace:
    """A trace of plotly's type `kind`; `line_color=c` is `line={"color": c}`. None is left out."""
    made: Trace = {}
    _merge(made, {**properties, "type": kind})
    return made


class Figure:
    """Traces and layout, filled step by step; `figure.data` and `.layout` read as plotly's do."""

    def __init__(self, data: Sequence[Trace] | Trace = (), layout: Mapping[str, Any] | None = None):
        self._data: list[Trace] = []
        self._layout: dict[str, Any] = {}
        for one in [data] if isinstance(data, dict) else data:
            self.add_trace(one)
        self.update_layout(layout)

    def add_trace(self, trace: Trace) -> "Figure":
        """Draw one more trace, above the others."""
        self._data.append(trace)
        return self._changed()

    def update_layout(self, layout: Mapping[str, Any] | None = None, /, **more: Any) -> "Figure":
        """Set properties of the layout: parts are merged, lists replaced."""
        _merge(self._layout, {**(layout or {}), **more})
        return self._changed()

    def update_xaxes(self, axis: Mapping[str, Any] | None = None, /, **more: Any) -> "Figure":
        """Set properties of every x axis there is."""
        return self._update_axes("xaxis", {**(axis or {}), **more})

    def update_yaxes(self, axis: Mapping[str, Any] | None = None, /, **more: Any) -> "Figure":
        """Set properties of every y axis there is."""
        return self._update_axes("yaxis", {**(axis or {}), **more})

    def add_vline(self, x: float, **looks: Any) -> "Figure":
        """A vertical line over the whole height."""
        line = {"type": "line", "x0": x, "x1": x, "xref": "x", "y0": 0, "y1": 1, "yref": "y domain"}
        self._layout.setdefault("shapes", []).append(line | looks)
        return self._changed()

    def to_dict(self) -> dict[str, Any]:
        """`data` and `layout`, to be read and not to be changed."""
        return {"data": list(self._data), "layout": dict(self._layout)}

    @cached_property
    def checked(self) -> Any:
        """The figure as plotly's class. Raises ValueError for what plotly does not know."""
        from plotly.graph_objects import Figure as Checked  # noqa: PLC0415  (a report needs none)

        return Checked(self.to_dict())

    @property
    def data(self) -> Any:
        """The traces, as plotly's classes."""
        return self.checked.data

    @property
    def layout(self) -> Any:
        """The layout, as plotly's class."""
        return self.checked.layout

    def _update_axes(self, stem: str, properties: Mapping[str, Any]) -> "Figure":
        more = [name for name in self._layout if name.startswith(stem) and name != stem]
        for name in (stem, *more):
            _merge(self._layout.setdefault(name, {}), properties)
        return self._changed()

    def _changed(self) -> "Figure":
        self.__dict__.pop("checked", None)
        return self


def _merge(into: dict[str, Any], properties: Mapping[str, Any]) -> None:
    for name, value in properties.items():
        if value is None:
            continue
        part, _, rest = ("", "", name) if name in _OWN else name.partition("_")
        if part and rest:
            _merge(into.setdefault(part, {}), {rest: value})
        elif isinstance(value, Mapping) and name != "template":
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = value
