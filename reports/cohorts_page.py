"""The dashboard's Cohorts page: two cohorts side by side, and the list of those that are named."""

from collections.abc import Sequence
from functools import partial
from html import escape

import streamlit as st

from audit.cohorts import Compared, compare
from audit.errors import InputError
from audit.rows import EVERYONE, Cohort, FaceRows, count_rows, faces_of, rest_of
from audit.where import Asked
from audit.words import counted_faces
from reports import cohort_names
from reports.asking import label_of
from reports.charts import download
from reports.cohort_names import FILE, FILTER, FIRST, REST, Named
from reports.cohort_table import notes, table_html, title
from reports.downloads import as_csv, file_name
from reports.faces_page import empty, note
from reports.filters import ask_for, asked_of, keep_in_url, show, where_words
from reports.view import View, stamp_of

PAGE = "cohorts"
SECOND = "second cohort"
_HOW = (
    "A cohort is a filter with a name. Choose levels in the bar above, then “Name it”; two cohorts "
    "are laid side by side."
)


def cohorts_page(view: View) -> None:
    """Choose two cohorts, read their figures and how far they lie apart, list their faces."""
    st.html("<h1>Cohorts</h1>")
    if view.rows is None:
        empty("There are no faces to compare.", view.why_no_rows)
        return
    found = cohort_names.named(view.folder, view.filters)
    for fault in found.faults:
        note(escape(fault))
    first, second = cohort_names.choices(found, filtered=bool(view.where))
    if not first:
        empty("No cohort has been named yet.", _HOW)
        return
    st.html(f'<p class="how">{_HOW}</p>')
    _take_over(first, second)
    cohorts = _choose(view, found, first, second)
    # the usual is left out: an address written on arrival is one that Back stops at in vain
    usual = {"first": first[0], "second": second[0]}
    chosen = {"first": cohorts[0].name, "second": cohorts[1].name}
    keep_in_url(PAGE, {k: [name] for k, name in chosen.items() if name != usual[k]})
    _side_by_side(view, view.rows, *cohorts)
    _list(view, view.rows, found)


# What is chosen ------------------------------------------------------------------------------


def _take_over(first: Sequence[str], second: Sequence[str]) -> None:
    """Set the two choices to what the URL asks for; what is not there gives way, and is told."""
    asked = asked_of(PAGE) or {}
    for key, param, names in ((FIRST, "first", first), (SECOND, "second", second)):
        if param in asked:
            st.session_state[key] = wanted = asked[param][-1]
            if wanted not in names:
                note(
                    f"There is no {param} cohort “{escape(wanted)}” here: it was forgotten, or "
                    "named in another audit. Another is shown."
                )
        if st.session_state.get(key) not in names:
            st.session_state[key] = names[0]


def _choose(
    view: View, found: Named, first: Sequence[str], second: Sequence[str]
) -> tuple[Cohort, Cohort]:
    chosen: list[Cohort] = []
    with st.container(key="cohort_choice"):
        columns = st.columns(2, gap="large")
        for column, label, key, names in zip(
            columns,
            ("First cohort", "Second cohort"),
            (FIRST, SECOND),
            (first, second),
            strict=True,
        ):
            with column:
                st.selectbox(label, names, key=key, persist_state="session")
                name = str(st.session_state[key])
                chosen.append(_cohort(view, found, name, chosen))
                _about(view, chosen[-1], key)
    return chosen[0], chosen[1]


def _cohort(view: View, found: Named, name: str, before: list[Cohort]) -> Cohort:
    if name == REST:
        return rest_of(before[0])
    if name == EVERYONE.name:
        return EVERYONE
    return Cohort(FILTER, view.where) if name == FILTER else found.cohorts[name]


def _about(view: View, cohort: Cohort, side: str) -> None:
    """What a cohort holds, and the ways to its faces."""
    assert view.rows is not None
    words = where_words(view.filters, cohort.where) or "all faces of the audit"
    if cohort.inverted:
        words = f"all faces but these: {words}"
    st.html(f'<p class="how">{words}</p>')
    with st.container(horizontal=True, gap="medium"):
        if not cohort.inverted:
            st.button(
                "See the faces",
                key=f"see {side}",
                type="tertiary",
                on_click=_show,
                args=(view, cohort, "errors"),
            )
        st.download_button(
            "List the faces (CSV)",
            data=partial(_csv, view.rows, cohort),
            file_name=f"faces-{file_name(cohort.name)}.csv",
            mime="text/csv",
            type="tertiary",
            key=f"faces {side}",
            on_click="ignore",
        )


def _csv(rows: FaceRows, cohort: Cohort) -> bytes:
    return as_csv(faces_of(rows, cohort))


def _show(view: View, cohort: Cohort, page: str) -> None:
    """Set the filter to the cohort, and go where it can be seen; for a callback."""
    show(view.filters, cohort.where, source=f"cohort {cohort.name}")
    ask_for(page)


# Side by side --------------------------------------------------------------------------------


def _side_by_side(view: View, rows: FaceRows, first: Cohort, second: Cohort) -> None:
    try:
        stamps = view.stamp, stamp_of(rows.path)
        found = _compared(str(rows.path), stamps, _plain(first), _plain(second), _view=view)
    except InputError as error:
        note(escape(str(error)))
        return
    st.html(f'<p class="figure-title">{escape(title(found))}</p>')
    st.html(table_html(found, first.name, second.name))
    for words in notes(found, [label_of(column) for column in found.chosen_by]):
        st.html(f'<p class="how">{escape(words)}</p>')
    download(found.table, name=f"cohorts {first.name} and {second.name}")


Plain = tuple[str, tuple[tuple[str, Asked], ...], bool]


def _plain(cohort: Cohort) -> Plain:
    return cohort.name, tuple(sorted(cohort.where.items())), cohort.inverted


@st.cache_resource(max_entries=64, show_spinner=False)
def _compared(path: str, stamps: object, first: Plain, second: Plain, *, _view: View) -> Compared:
    """The comparison, once for all viewers."""
    del path, stamps
    assert _view.rows is not None
    one, other = (Cohort(name, dict(where), inverted) for name, where, inverted in (first, second))
    return compare(_view.rows, one, other, info=_view.result.info)


# Those that are named ------------------------------------------------------------------------


def _list(view: View, rows: FaceRows, found: Named) -> None:
    if not found.cohorts:
        return
    st.html("<h2>Named cohorts</h2>")
    if found.here:
        note(escape(cohort_names.where_kept()))
    for place, cohort in enumerate(found.cohorts.values()):
        with st.container(key=f"cohort_{place}", horizontal=True, vertical_alignment="center"):
            st.html(
                f'<p class="finding">{escape(cohort.name)}</p>'
                f'<p class="how">{where_words(view.filters, cohort.where)}; '
                f"{counted_faces(count_rows(rows, where=cohort.where))}</p>"
            )
            st.button(
                "Set as filter", key=f"show {place}", type="tertiary", on_click=_show,
                args=(view, cohort, PAGE),
            )  # fmt: skip
            st.button(
                "Forget", key=f"forget {place}", type="tertiary",
                on_click=cohort_names.keep, args=(view.folder, cohort.name, None),
            )  # fmt: skip
    if not found.here:
        st.html(f'<p class="how">Kept in user/{FILE} beside the audit.</p>')
