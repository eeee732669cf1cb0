"""Figures without plotly: the same dictionaries as plotly's own class makes."""

import subprocess
import sys

import plotly.graph_objects as go
import pytest
from example_result import example_result

from reports import plot
from reports.figures import SECTIONS
from reports.theme import dark

RESULT = example_result()
WITH_FIGURE = [d for s in SECTIONS for d in s.figures(RESULT) if d.figure is not None]


def steps(figure, scatter, bar, heatmap):
    """What figure functions do, with plotly's classes or with ours."""
    figure.add_trace(scatter(x=[0, 1], y=[1.5, None], line_width=2, error_x={"array": [1, 2]}))
    figure.add_trace(bar(x=[1], y=[2], name=None, marker={"color": "#123456"}, yaxis="y2"))
    figure.add_trace(heatmap(z=[[1, None]], colorscale=[[0, "#ffffff"], [1, "#000000"]]))
    figure.update_layout(paper_bgcolor="#fff", margin={"l": 1}, yaxis2={"domain": [0, 0.2]})
    figure.update_layout({"margin": {"r": 2}}, legend={"font": {"size": 9}}, bargap=0.1)
    figure.update_xaxes(title_text="years", title={"standoff": 8}, range=[0, 1])
    figure.update_xaxes({"title": {"font": {"size": 7}}}, nticks=4)
    figure.update_yaxes(tickvals=[1, 2], ticktext=["a", "b"])
    figure.add_vline(x=0.5, line={"dash": "dot"}, layer="below")
    figure.add_vline(x=0.7, line={"width": 2})
    figure.update_layout(annotations=[{"text": "a", "x": 1}], height=300)
    figure.update_layout(annotations=[{"text": "b", "x": 2}])
    return figure.to_dict()


def test_every_step_gives_what_plotly_gives():
    theirs = steps(go.Figure(layout={"template": "none"}), go.Scatter, go.Bar, go.Heatmap)
    ours = steps(plot.Figure(), plot.scatter, plot.bar, plot.heatmap)
    theirs["layout"].pop("template")
    assert ours == theirs


@pytest.mark.parametrize("drawn", WITH_FIGURE, ids=[d.key for d in WITH_FIGURE])
def test_plotly_accepts_every_figure_and_finds_nothing_to_change(drawn):
    for figure in (drawn.figure, dark(drawn.figure)):
        checked, made = figure.checked.to_dict(), figure.to_dict()
        template = made["layout"].pop("template"), checked["layout"].pop("template")
        assert template[0]["layout"].items() <= template[1]["layout"].items()
        assert checked == made


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": plot.scatter(x=[1], colour="#000000")},
        {"data": plot.scatter(x=[1], marker_colour="#000000")},
        {"layout": {"xaxis": {"titel": {"text": "years"}}}},
    ],
)
def test_a_property_that_plotly_does_not_know_is_refused_when_checked(wrong):
    with pytest.raises(ValueError, match="Invalid property"):
        plot.Figure(**wrong).checked  # noqa: B018


def test_a_figure_changed_after_it_was_looked_at_is_seen_as_it_is_now():
    figure = plot.Figure(plot.scatter(x=[1]))
    assert figure.layout.height is None
    assert figure.update_layout(height=50).layout.height == 50
    assert len(figure.add_trace(plot.bar(x=[1])).data) == 2


def test_drawing_every_figure_loads_no_class_of_plotly():
    code = (
        "import sys; sys.path.insert(0, 'tests'); from example_result import example_result; "
        "from reports.html import render_report; render_report(example_result()); "
        "print(*sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "reports.html" in out.stdout.split()
    assert not {"plotly.graph_objects", "plotly.basedatatypes"} & set(out.stdout.split())
