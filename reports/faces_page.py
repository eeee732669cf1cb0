"""The Errors page: a gallery of faces in an order, and one face in full."""

import math
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

import streamlit as st

from audit.rows import SORTS, FacePlace, count_rows, find_row, page_of_rows, sorts_of
from audit.words import MINUS, count, counted_faces, percent, score, years
from reports.asking import column_label
from reports.face_map import face_map
from reports.filters import ask_for, clear, first_page, narrow
from reports.gallery import age_words, error_words, gallery, gender_words, opened, spoken
from reports.marking import mark_face
from reports.markup import with_code
from reports.second_look import nearest_faces, second_look
from reports.thumbnails import LARGE_SIDE, thumbnails
from reports.view import View

PAGE_SIZE = 24
_GALLERY = "errors_gallery"
_ALMOST = 0.999
_FACTS = {  # columns with words of their own; the rest of a row stands under its own names
    "sample_id": "Sample",
    "subject_id": "Person",
    "image": "Picture",
    "split": "Split",
}
_LEFT = "face left"  # the card that the keyboard goes back to, once
_FIGURES = {"age_true", "age_pred", "age_low", "age_high", "error", "gender_score"}

_keyboard = st.components.v2.component(
    "faceaudit.face", js=files("reports").joinpath("face.js").read_text(encoding="utf-8")
)


def errors_page(view: View) -> None:
    """Faces sorted by how wrong the model is on them; one opened face fills the page."""
    if view.rows is None:
        st.html("<h1>Errors</h1>")
        empty("There are no faces to show.", view.why_no_rows)
        return
    face = str(st.session_state.get("face", ""))
    place = find_row(view.rows, face, where=view.where, sort=_sort(view)) if face else None
    if place is not None:
        _one_face(view, place)
        return
    st.html("<h1>Errors</h1>")
    if face:
        note(f"No face in this audit has the id “{escape(face)}”. Here are all that fit.")
    if named := view.lost_images:
        note(
            f"The pictures are not shown: their folder, {escape(named)}, is not there (one that "
            "holds your home, or lies on another machine, is not searched). "
            "<code>faceaudit dashboard DIR --images FOLDER</code> says where they are."
        )
    _breadcrumb(view)
    face_map(view)
    _faces(view)


def _shown(value: object) -> str:
    """A value of a column of any kind; whole numbers whole, of others four digits or a tenth."""
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    if value == math.floor(value):
        return str(int(value)).replace("-", MINUS)
    small = 1e-4 < abs(value) < 1000
    return (f"{value:.4g}" if small else f"{value:.1f}").replace("-", MINUS)


def _sort(view: View) -> str:
    """The order in force; an order the columns do not allow falls back to the first that is."""
    allowed = sorts_of(view.rows) if view.rows else ["id"]
    sort = str(st.session_state.get("sort", allowed[0]))
    return sort if sort in allowed else allowed[0]


def _breadcrumb(view: View) -> None:
    source = str(st.session_state.get("from", ""))
    if source and view.where:
        st.html(f'<p class="crumb">From {escape(source)}</p>')


def _faces(view: View) -> None:
    assert view.rows is not None
    with st.container(key="pager_top", horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Order",
            sorts_of(view.rows),
            key="sort",
            format_func=lambda key: SORTS[key].label,
            on_change=first_page,
            persist_state="session",
            width=264,
        )
        sort = _sort(view)
        total = count_rows(view.rows, where=view.where, sort=sort)
        pages = max(1, -(-total // PAGE_SIZE))
        page = min(int(st.session_state.get("page", 1)), pages)
        st.session_state["page"] = page
        if total:
            _pager(page, pages, total, where="top")
    if not total:
        _nothing(view, sort)
        return
    shown = page_of_rows(view.rows, where=view.where, sort=sort, page=page, size=PAGE_SIZE)
    draw_faces(view, shown.to_dict("records"), key=_GALLERY)
    if pages > 1:
        with st.container(key="pager_bottom", horizontal=True, vertical_alignment="bottom"):
            _pager(page, pages, total, where="bottom")


def draw_faces(
    view: View, rows: list[dict[Any, Any]], *, key: str, elsewhere: bool = False
) -> None:
    """The gallery of `rows`, with pictures unless they are hidden; a click opens the face.

    `elsewhere`: the gallery stands on another page than Errors, where an opened face is shown.
    """

    def show() -> None:
        if elsewhere:
            clear(view.filters)
            ask_for("errors")
        _open(opened(key))

    names = [_name(row.get("image")) for row in rows]
    images = None if view.hide_pictures else view.images
    gallery(
        rows,
        pictures=thumbnails(images, names, cache=view.cache),
        features=[f.column for f in view.filters if f.group and _is_group(f.column)],
        missing=view.missing,
        key=key,
        on_open=show,
        focus="" if elsewhere else str(st.session_state.pop(_LEFT, "")),
    )


def _is_group(column: str) -> bool:
    return column not in ("age_group", "age_group_pred", "gender_true")  # said on the card already


def _open(sample_id: str | None) -> None:
    if sample_id is not None:
        st.session_state["face"] = sample_id


def _back(sample_id: str) -> None:
    st.session_state["face"], st.session_state[_LEFT] = "", sample_id


def _turn(to: int) -> None:
    st.session_state["page"] = to


def _pager(page: int, pages: int, total: int, *, where: str) -> None:
    first, last = (page - 1) * PAGE_SIZE + 1, min(page * PAGE_SIZE, total)
    st.html(f'<p class="place">{count(first)}–{count(last)} of {count(total)}</p>', width="content")
    st.button(
        "Previous", key=f"previous_{where}", disabled=page <= 1, on_click=_turn, args=(page - 1,)
    )
    st.button("Next", key=f"next_{where}", disabled=page >= pages, on_click=_turn, args=(page + 1,))


def _nothing(view: View, sort: str) -> None:
    if view.remaining:
        empty(
            "No face has a place in this order.",
            f"The filter leaves {counted_faces(view.remaining)}, none under "
            f"“{SORTS[sort].label.lower()}”. Choose another order.",
        )
        return
    empty("No face fits this filter.", "Take a level out of the bar above, or start again.")
    st.button("Show all faces", on_click=clear, args=(view.filters,), type="primary")


# One face ------------------------------------------------------------------------------------


def _one_face(view: View, place: FacePlace) -> None:
    row = place.row
    with st.container(key="face_pager", horizontal=True, vertical_alignment="center"):
        st.button(
            "Back to the faces",
            on_click=_back,
            args=(str(row["sample_id"]),),
            key="face_back",
            shortcut="Esc",
        )
        st.button(
            "Previous",
            on_click=_open,
            args=(place.previous,),
            disabled=place.previous is None,
            key="face_previous",
            shortcut="Left",
        )
        st.button(
            "Next",
            on_click=_open,
            args=(place.following,),
            disabled=place.following is None,
            key="face_next",
            shortcut="Right",
        )
        st.html(f'<p class="place">{_place_words(view, place)}</p>', width="content")
    images = None if view.hide_pictures else view.images
    name = _name(row.get("image"))
    picture = thumbnails(images, [name], cache=None, side=LARGE_SIDE)[0]
    left, right = st.columns([2, 3], gap="large")
    with left:
        if picture:
            st.html(f'<div class="large"><img src="{picture}" alt="The face"></div>')
        else:
            st.html(f'<div class="large none">{escape(view.missing)}</div>')
    with right:
        st.html(_face_words(row, place))
        _keyboard(data=str(row["sample_id"]), key="face_keyboard", height=1)
        group = {
            f.column: str(row[f.column])
            for f in view.filters
            if f.group and row.get(f.column) is not None
        }
        st.button(
            "Show all faces of this group",
            on_click=narrow,
            args=(view.filters, group),
            kwargs={"source": f"face {row['sample_id']}"},
            key="face_group",
            disabled=not group,
        )
        mark_face(view, row)
    if near := nearest_faces(view, row):
        draw_faces(view, near, key="neighbour_gallery")
    second_look(view, row)


def _place_words(view: View, place: FacePlace) -> str:
    assert view.rows is not None
    sort = _sort(view)
    order = escape(SORTS[sort].label)
    if place.place is None:
        return f"Outside the filter and the order “{order}”"
    total = count_rows(view.rows, where=view.where, sort=sort)
    return f"{count(place.place)} of {count(total)} · {order}"


def _face_words(row: Mapping[str, Any], place: FacePlace) -> str:
    """The face's figures as a heading and a table, as HTML: every word escaped."""
    facts: list[tuple[str, str]] = []
    if row.get("age_low") is not None and row.get("age_high") is not None:
        low, high, truth = row["age_low"], row["age_high"], row.get("age_true")
        holds = truth is not None and low <= truth <= high
        words = (
            f"{years(low)} to {years(high)} years, {'holds' if holds else 'misses'} the true age"
        )
        facts.append(("Age interval", words))
    if not math.isnan(place.larger_than):
        share = percent(place.larger_than)
        if place.larger_than > _ALMOST:  # of all, it would be larger than itself
            share = f"more than {percent(_ALMOST)}"
        facts.append(("Error", f"larger than that of {share} of all faces"))
    if row.get("gender_true") is not None:
        facts.append(("Gender on the label", str(row["gender_true"])))
    if row.get("gender_pred") is not None:
        _, wrong = gender_words(row)
        facts.append(("Called", f"{row['gender_pred']}{', wrongly' if wrong else ''}"))
    if row.get("gender_score") is not None:
        facts.append(("Score, P(female)", score(row["gender_score"])))
    said = {"gender_true", "gender_pred", *_FIGURES}
    said |= {c for c in ("subject_id", "image") if row.get(c) == row["sample_id"]}
    facts += [
        (_FACTS.get(column) or f"{label[:1].upper()}{label[1:]}", _shown(value))
        for column, value in row.items()
        if column not in said and value is not None and (label := column_label(column))
    ]
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
    error = error_words(row)
    heading = f"{age_words(row)} ({error})" if error else str(row["sample_id"])
    return (
        f'<h1 class="reading" aria-label="{escape(spoken(row))}">{escape(heading)}</h1>'
        '<p class="how">True age, age read, and the difference in years: above zero is read too '
        f'old.</p><dl class="facts">{rows}</dl>'
    )


# Words that a page needs now and then ----------------------------------------------------------


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def note(html: str) -> None:
    """A remark beside the matter, as HTML."""
    st.html(f'<p class="note">{html}</p>')


def empty(what: str, then: str) -> None:
    """An empty state: what is not there, and what to do next."""
    st.html(f'<div class="empty"><h2>{escape(what)}</h2><p>{with_code(then)}</p></div>')
