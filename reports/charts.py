"""The report's figures on a dashboard page: a title that says the finding, the table a click away.

A figure is a question one can point at: a click on a group's dot or cell opens its faces.
"""

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import streamlit as st

from audit.errors import InputError
from audit.metrics import METRICS
from audit.result import AuditResult
from audit.rows import count_rows, quantiles, sorts_of
from audit.where import Area, Span
from audit.words import counted_faces
from reports import lookup
from reports.asking import label_of
from reports.downloads import as_csv, file_name
from reports.figures import SECTIONS, Section
from reports.filters import ask_for, narrow
from reports.forest import alt_words, part_words, small_forest
from reports.markup import unbroken
from reports.narrowed import foremost, only
from reports.opening import Finding
from reports.pointing import Pointed, can_open, levels_of, pointed_at
from reports.ranges import span_words
from reports.tables import as_grid, metric_words
from reports.theme import ACROSS, CONFIG, PALETTE, WIDTH_STEP, Drawn, dark
from reports.view import View

_OPEN_ROWS, _OPEN_HEIGHT = 16, 480  # rows of a table shown whole; px of one that scrolls
BY_FEATURE = ("subgroups", "crossings", "spread")  # sections of the page of one feature
_ORDER_OF_HEAD = {"age": "error", "interval": "wide", "gender": "gender", "score": "gender"}


def section(key: str) -> Section:
    """The section of SECTIONS named `key`."""
    return next(s for s in SECTIONS if s.key == key)


def figures(view: View, key: str, feature: str = "") -> list[Drawn]:
    """A section's figures in the colours of the theme in force; drawn once for all viewers.

    feature: of this feature or crossing alone.
    """
    place = str(view.folder.resolve()), view.stamp, key, feature
    return _figures(*place, in_dark=is_dark(), _result=view.result)


@st.cache_resource(max_entries=512, show_spinner=False)
def _figures(
    folder: str,
    stamp: tuple[int, int],
    key: str,
    feature: str,
    *,
    in_dark: bool,
    _result: AuditResult,
) -> list[Drawn]:
    if not in_dark:
        return section(key).figures(only(_result, [feature]) if feature else _result)
    drawn = _figures(folder, stamp, key, feature, in_dark=False, _result=_result)
    return in_theme(drawn)


def draw_ahead(folder: Path, stamp: tuple[int, int], result: AuditResult) -> None:
    """Draw what pages show before anyone asks, so that none waits for plotly."""
    wanted = [(one.key, "") for one in SECTIONS if not one.by_feature]
    wanted += [(key, name) for name in foremost(result) for key in BY_FEATURE]
    with suppress(Exception):  # the page that needs the figure meets the same fault, and says so
        for key, feature in wanted:
            place = str(folder.resolve()), stamp, key, feature
            for each in _figures(*place, in_dark=False, _result=result):
                _ = each.figure and each.figure.checked


def whole_audit(result: AuditResult, remaining: int) -> None:
    """Say that figures do not follow the filter, which leaves `remaining` faces."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(
            '<p class="note">Figures show the whole audit, '
            f"{counted_faces(result.info['rows_audited'])}. The filter holds for the faces on "
            "Errors.</p>"
        )
        st.button(f"See {counted_faces(remaining)}", on_click=ask_for, args=("errors",), key="see")


def is_dark() -> bool:
    """Whether this viewer's theme is dark."""
    return st.context.theme.type == "dark"


def in_theme(drawn: Sequence[Drawn]) -> list[Drawn]:
    """Figures in the colours of the theme in force."""
    if not is_dark():
        return list(drawn)
    return [replace(d, figure=None if d.figure is None else dark(d.figure)) for d in drawn]


def draw_section(
    view: View,
    key: str,
    drawn: Sequence[Drawn] | None = None,
    *,
    headed: bool = True,
    title: str = "",
) -> None:
    """Heading, how to read it, and the figures (all of the section's, or those given).

    title: what stands above them here; the section's own by default.
    """
    drawn = figures(view, key) if drawn is None else drawn
    if not drawn:
        return
    found = section(key)
    if headed:
        st.html(f'<h2>{escape(title or found.title)}</h2><p class="how">{escape(found.how)}</p>')
    said = lookup.in_place(view.result)
    for span, run in groupby(drawn, key=lambda d: d.span):
        for row in _rows(list(run), ACROSS[span]):
            for column, one in zip(st.columns(ACROSS[span], gap="medium"), row, strict=False):
                with column:
                    _figure(view, one, said(one.title))


def _rows(drawn: list[Drawn], size: int) -> Iterator[list[Drawn]]:
    for start in range(0, len(drawn), size):
        yield drawn[start : start + size]


def _figure(view: View, drawn: Drawn, title: str) -> None:
    st.html(f'<p class="figure-title">{unbroken(title)}</p>')
    if drawn.figure is None:
        if len(drawn.table):
            _table(drawn, height="content" if len(drawn.table) <= _OPEN_ROWS else _OPEN_HEIGHT)
        return
    if drawn.why:
        st.html(f'<p class="how">{escape(drawn.why)}</p>')
    clicks = can_open(drawn) and view.rows is not None
    key = f"figure {drawn.key}"
    chart(
        drawn,
        key=key,
        selection_mode="points",
        on_select=(lambda: _open(view, drawn, key)) if clicks else "ignore",
    )
    behind = st.expander(
        "The numbers", type="compact", key=f"numbers {drawn.key}", on_change="rerun"
    )
    if behind.open:  # a grid costs the browser more than the figure: none until it is asked for
        with behind:
            _table(drawn, height="content" if len(drawn.table) <= _OPEN_ROWS else _OPEN_HEIGHT)


def chart(drawn: Drawn, *, key: str, config: Mapping[str, Any] = CONFIG, **selecting: Any) -> None:
    """Draw a figure in its own colours, with its alt text; `selecting`: what a click does."""
    assert drawn.figure is not None
    # as in the report: where the screen is narrower than that, it is scrolled, not squeezed
    least = math.ceil(drawn.min_width / WIDTH_STEP) * WIDTH_STEP
    with st.container(key=f"least_{least}_{key}" if least else None):
        st.plotly_chart(
            drawn.figure.checked,
            theme=None,
            config=dict(config),
            alt=drawn.alt,
            height=drawn.height,
            key=key,
            **selecting,
        )


def _table(drawn: Drawn, *, height: int | Literal["content"]) -> None:
    grid(_grid(drawn.key, drawn.table), height=height, alt=drawn.alt)
    download(drawn.table if drawn.data is None else drawn.data, name=drawn.key)


def grid(table: pd.DataFrame, *, height: int | Literal["content"], alt: str | None = None) -> None:
    """What `as_grid` made, as a grid: sorted by its numbers, which stand there in words."""
    shown = table.style.format(str)
    st.dataframe(shown, hide_index=True, height=height, placeholder="", alt=alt)


def download(table: pd.DataFrame, *, name: str) -> None:
    """A button that gives the whole table as CSV; the file is made when it is asked for."""
    st.download_button(
        "Download CSV",
        data=partial(as_csv, table),
        file_name=f"{file_name(name)}.csv",
        mime="text/csv",
        type="tertiary",
        key=f"csv {name}",
        on_click="ignore",
    )


@st.cache_resource(max_entries=256, show_spinner=False)
def _grid(key: str, table: pd.DataFrame) -> pd.DataFrame:
    del key
    return as_grid(table)


_FOREST_STYLE = """
svg { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
text { fill: INK; } text.name, text.n { text-anchor: end; } text.n { fill: QUIET; }
text.chosen { font-weight: 600; }
path { fill: none; stroke-width: 1.5; }
path.whole { stroke: RULE; stroke-width: 1; stroke-dasharray: 1 3; }
path.one { stroke: ACCENT; } circle.one { fill: ACCENT; }
path.few { stroke: QUIET; } circle.few { fill: PAPER; stroke: QUIET; stroke-width: 1.5; }
path.chosen { stroke: GROUP; } path.dot { fill: GROUP; stroke: none; }
"""


def finding_forest(view: View, finding: Finding) -> str:
    """A finding's small forest plot as an image, and how many groups it leaves out; or nothing.

    As an image, because Streamlit takes SVG out of HTML.
    """
    feature, metric = finding.feature, finding.metric
    if not feature or not metric or feature == lookup.OVERALL or metric not in METRICS:
        return ""
    svg = str(small_forest(view.result, feature=feature, metric=metric, group=finding.group))
    if not svg:
        return ""
    style = _FOREST_STYLE
    for name in ("ink", "quiet", "rule", "accent", "group", "paper"):
        style = style.replace(name.upper(), PALETTE[name][is_dark()])
    head, _, rest = svg.partition(">")
    svg = f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}'
    source = base64.b64encode(svg.encode()).decode("ascii")
    words = alt_words(lookup.subgroup_rows(view.result, feature, metric), metric)
    part = part_words(view.result, feature=feature, metric=metric)
    below = f'<p class="how">{part}</p>' if part else ""
    picture = f'<img class="forest" src="data:image/svg+xml;base64,{source}" alt="{escape(words)}">'
    return picture + below


# Clicks --------------------------------------------------------------------------------------


def _open(view: View, drawn: Drawn, key: str) -> None:
    """A click's callback: narrow to the group pointed at, in the order its metric suggests."""
    points = st.session_state[key].selection.points
    found = pointed_at(drawn, points[0]) if points else None
    if found is not None:
        open_faces(view, found)


def open_faces(view: View, found: Pointed) -> None:
    """Go to the faces pointed at on the Errors page; to be called in a callback."""
    levels = levels_of(view.result, found.feature, found.group)
    if levels is None:
        return
    try:
        _narrow_to(view, found, levels)
    except (InputError, OSError):
        return  # the audit has gone: the page, drawn anew now, says so
    ask_for("errors")


def _narrow_to(view: View, found: Pointed, levels: Mapping[str, str]) -> None:
    asked: dict[str, str | Span | Area] = dict(levels)
    if scores := found.score or _scores_between(view, found, levels):
        narrow(view.filters, asked | {"gender_score": scores}, source=_score_words(found, scores))
        st.session_state["sort"] = "error"  # the order by wrong calls would leave out the right
    else:
        what = found.what or (metric_words(found.metric) if found.metric else "group")
        source = f"{what} by {label_of(found.feature)}: {found.group}"
        narrow(view.filters, _labelled(found.metric) | asked, source=source)
        _suggest_order(view, found.metric, levels)


def _labelled(metric: str | None) -> dict[str, str | Span | Area]:
    """The labelled gender that a rate is of: its figure counts no other faces."""
    genders = {"female_n": "female", "male_n": "male"}
    counted = METRICS[metric].bottom if metric and metric in METRICS else ""
    return {"gender_true": genders[counted]} if counted in genders else {}


def _suggest_order(view: View, metric: str | None, levels: Mapping[str, str]) -> None:
    """The order that a metric suggests, unless none of the faces has a place in it."""
    if metric is None or metric not in METRICS or view.rows is None:
        return
    order = _ORDER_OF_HEAD[METRICS[metric].head]
    where = {column: (level,) for column, level in levels.items()}
    fits = order in sorts_of(view.rows) and count_rows(view.rows, where=where, sort=order)
    st.session_state["sort"] = order if fits else "error"


def _score_words(found: Pointed, scores: Span) -> str:
    group = "all faces" if found.feature == lookup.OVERALL else found.group
    return f"reliability of P(female): {group}, {span_words(scores)}"


def _scores_between(view: View, found: Pointed, levels: Mapping[str, str]) -> Span | None:
    """The scores of a bin that holds a share of the group's faces, in the order of their scores."""
    if found.ranks is None or view.rows is None:
        return None
    where = {column: (level,) for column, level in levels.items()}
    ends = quantiles(view.rows, "gender_score", found.ranks, where=where)
    return None if ends is None else Span(*ends)
