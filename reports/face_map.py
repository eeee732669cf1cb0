"""Faces as dots over two numbers: an outline or box narrows to those within, a dot opens one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from audit.rows import draw_points
from audit.where import AREA, Area, Span, Where
from audit.words import count
from reports.charts import chart, in_theme
from reports.filters import add
from reports.plot import Figure, scatter
from reports.ranges import area_of
from reports.theme import CONFIG, LIGHT, Drawn, styled
from reports.view import View

DOTS = 2000  # drawn at once, by lot where there are more: as many as SVG moves smoothly
_TOOLS: Mapping[str, Any] = {
    **CONFIG,
    "displayModeBar": True,
    "displaylogo": False,
    "modeBarButtons": [["lasso2d", "select2d"]],
}


@dataclass(frozen=True)
class Map:
    """Two columns of numbers to lay faces out by; `even` ends the line on which nothing is off."""

    label: str
    x: str
    y: str
    x_title: str
    y_title: str
    even: tuple[tuple[float, float], tuple[float, float]]


MAPS: Mapping[str, Map] = {
    "ages": Map(
        "True age and age read",
        *("age_true", "age_pred", "true age, years", "age read, years"),
        even=((0, 0), (100, 100)),
    ),
    "scores": Map(
        "P(female) and age error",
        *(
            "gender_score",
            "error",
            "stated P(female)",
            "\u2190 too young \u00b7 years \u00b7 too old \u2192",
        ),
        even=((0, 0), (1, 0)),
    ),
}


def face_map(view: View) -> None:
    """A fold with the faces that fit the filter as dots; what is drawn around joins the filter."""
    assert view.rows is not None
    numbers = view.rows.numbers
    named = [key for key, one in MAPS.items() if {one.x, one.y} <= set(numbers)]
    if not named:
        return
    fold = st.expander(
        "Choose faces in a scatter", type="compact", key="face map", on_change="rerun"
    )
    if not fold.open:
        return
    with fold:
        if len(named) > 1:
            st.segmented_control(
                "Axes",
                named,
                key="map axes",
                default=named[0],
                format_func=lambda key: MAPS[key].label,
                required=True,
                label_visibility="collapsed",
            )
        axes = str(st.session_state.get("map axes", named[0]))
        _draw(view, MAPS[axes if axes in named else named[0]])


def _draw(view: View, axes: Map) -> None:
    assert view.rows is not None
    own = (axes.x, axes.y, AREA)  # what is drawn around stays in sight, and so does the rest
    where = {column: asked for column, asked in view.where.items() if column not in own}
    points = draw_points(view.rows, axes.x, axes.y, where=where, most=DOTS)
    if points.empty:
        st.html('<p class="how">No face that fits the filter has both numbers.</p>')
        return
    (drawn,) = in_theme([scatter_of(points, axes, view.where)])
    lot = f" Drawn by lot: {count(len(points))} faces; an outline takes in all." * (
        len(points) == DOTS
    )
    st.html(
        '<p class="how">Each dot is a face; the dotted line is where nothing is off. Draw an '
        "outline or a box around some to see only those below; a click on a dot opens its face."
        f"{lot}</p>"
    )
    # A chart of another key forgets what plotly itself drew: the filter is what holds.
    key = f"map {axes.x} {[str(view.where.get(column)) for column in own]}"
    chart(
        drawn,
        key=key,
        config=_TOOLS,
        selection_mode=("points", "box", "lasso"),
        on_select=lambda: _chosen(view, axes, key),
    )


def scatter_of(points: pd.DataFrame, axes: Map, where: Where) -> Drawn:
    """The figure: dots (columns x, y, sample_id), the line of no error, what is asked for."""
    figure = Figure()
    figure.add_trace(
        scatter(
            x=points.x.round(4).tolist(),
            y=points.y.round(3).tolist(),
            mode="markers",
            marker={"color": LIGHT["accent"], "size": 6, "opacity": 0.4, "line": {"width": 0}},
            customdata=points.sample_id.astype(str).tolist(),
            hovertemplate="%{x:.3~f}, %{y:.1f}<extra></extra>",
        )
    )
    (x0, y0), (x1, y1) = axes.even
    figure.add_trace(
        scatter(
            x=[x0, x1],
            y=[y0, y1],
            mode="lines",
            line={"color": LIGHT["rule"], "width": 1, "dash": "dot"},
            hoverinfo="skip",
        )
    )
    styled(figure, height=400, margin=(48, 8, 32, 44))
    figure.update_xaxes(title_text=axes.x_title, zeroline=False)
    figure.update_yaxes(title_text=axes.y_title, zeroline=False)
    look = {"line": {"color": LIGHT["group"], "width": 1.5}, "fillcolor": "rgba(0,0,0,0)"}
    figure.update_layout(
        dragmode="lasso",
        showlegend=False,
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": LIGHT["rule"], "activecolor": LIGHT["ink"]},
        shapes=[s | look for s in _asked(axes, where)],
    )
    return Drawn(
        key=f"map-{axes.x}-{axes.y}",
        title=axes.label,
        alt=f"{count(len(points))} faces by {axes.x_title} and {axes.y_title}; the filters above "
        "narrow by the same numbers.",
        table=points,
        figure=figure,
    )


def _asked(axes: Map, where: Where) -> list[dict[str, Any]]:
    """The outline and the spans in force, as plotly's shapes."""
    shapes: list[dict[str, Any]] = []
    area = where.get(AREA)
    if isinstance(area, Area) and (area.x, area.y) == (axes.x, axes.y):
        path = " L ".join(f"{x:g},{y:g}" for x, y in area.corners)
        shapes.append({"type": "path", "path": f"M {path} Z"})
    across, along = where.get(axes.x), where.get(axes.y)
    if isinstance(across, Span) or isinstance(along, Span):
        box: dict[str, Any] = {"type": "rect"}
        for name, span in (("x", across), ("y", along)):
            if isinstance(span, Span):
                box |= {f"{name}0": span.low, f"{name}1": span.high, f"{name}ref": name}
            else:
                box |= {f"{name}0": 0, f"{name}1": 1, f"{name}ref": f"{name} domain"}
        shapes.append(box)
    return shapes


def selected(axes: Map, selection: Any) -> dict[str, str | Span | Area]:
    """What a plotly selection asks for: an outline, or a box as two spans; empty for neither."""
    for lasso in selection.get("lasso") or ():
        area = area_of(axes.x, axes.y, lasso["x"], lasso["y"])
        return {} if area is None else {AREA: area}
    for box in selection.get("box") or ():
        spans = (Span(*sorted(round(float(end), 4) for end in box[side])) for side in "xy")
        return dict(zip((axes.x, axes.y), spans, strict=True))
    return {}


def _chosen(view: View, axes: Map, key: str) -> None:
    selection = st.session_state[key].selection
    if asked := selected(axes, selection):
        add(view.filters, asked, source=f"{axes.label[0].lower()}{axes.label[1:]}")
    elif points := selection.get("points"):
        named = points[0].get("customdata")
        named = named[0] if isinstance(named, (list, tuple)) else named
        if isinstance(named, str):
            st.session_state["face"] = named
