"""Marks on faces: set on a face, listed, taken back; kept beside the audit (`audit.marked`)."""

import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from audit.errors import InputError
from audit.marked import KINDS, LONGEST, TAKEN_BACK, Mark, mark_of, new_mark, standing, table_of
from audit.words import count
from reports import kept
from reports.charts import download
from reports.filters import ask_for, clear
from reports.view import View

FILE = "marks.jsonl"
_KIND, _WHY = "kind of mark", "reason of mark"
SHOWN = 50  # marks listed; the file and the CSV have them all


def marks_of(view: View) -> tuple[dict[str, Mark], list[str]]:
    """The marks in force, and sentences about lines that could not be read."""
    found: list[Mark] = []
    faults = []
    for line in kept.lines(view.folder, FILE):
        try:
            found.append(mark_of(line))
        except InputError as error:
            faults.append(f"Line {line.number} of {FILE} is passed over: it {error}.")
    return standing(found), faults


def mark_face(view: View, row: Mapping[str, Any]) -> None:
    """On a face's own page: its mark with a way to take it back, or a way to mark it."""
    sample_id = str(row["sample_id"])
    mark = marks_of(view)[0].get(sample_id)
    if mark is not None:
        with st.container(key="marked", horizontal=True, vertical_alignment="center"):
            why = f": {escape(mark.reason)}" if mark.reason else ""
            st.html(f'<p class="note" role="status">Marked <b>{mark.kind}</b>{why}</p>')
            _take_back(view, mark, key="unmark")
        _not_kept()
        return
    with (
        st.popover("Mark this face", key="mark"),
        st.form(f"mark {sample_id}", border=False, clear_on_submit=True),
    ):
        st.radio("It is", KINDS, key=f"{_KIND} {sample_id}")
        st.text_input(
            "Why",
            key=f"{_WHY} {sample_id}",
            max_chars=LONGEST,
            placeholder="what you see, in words",
        )
        st.form_submit_button("Mark", on_click=_mark, args=(view, sample_id), type="primary")


def _mark(view: View, sample_id: str) -> None:
    kind, why = (str(st.session_state[f"{name} {sample_id}"]) for name in (_KIND, _WHY))
    kept.keep(view.folder, FILE, new_mark(sample_id, kind, why).record())


def _take_back(view: View, mark: Mark, *, key: str) -> None:
    def take() -> None:
        kept.keep(view.folder, FILE, new_mark(mark.sample_id, TAKEN_BACK).record())

    st.button("Take back", key=key, type="tertiary", on_click=take)


def _not_kept() -> None:
    if why := kept.why_not(FILE):
        st.html(
            f'<p class="note" role="alert">The audit\'s folder cannot be written ({escape(why)}): '
            "marks are kept in this session only. Download them before you close the page.</p>"
        )


def marks_section(view: View) -> None:
    """All marks in force, the last first, with ways to the face, back, and out as a table."""
    marks, faults = marks_of(view)
    st.html("<h2>Marked faces</h2>")
    for fault in faults:
        st.html(f'<p class="note">{escape(fault)}</p>')
    if not marks:
        st.html(
            '<p class="how">None. A face that is opened on Errors can be marked mislabelled or out '
            "of scope.</p>"
        )
        return
    file = escape(shlex.quote(str(kept.file_of(view.folder, FILE))))
    source = view.result.info["run"].get("paths", {}).get("source")
    source = escape(shlex.quote(str(source))) if source else "PREDICTIONS"
    st.html(
        f'<p class="how wide">{count(len(marks))} marked. '
        f"<code>faceaudit audit {source} --without-marked {file}</code> audits again without "
        "them: they still count here.</p>"
    )
    _not_kept()
    latest = list(reversed(marks.values()))
    for place, mark in enumerate(latest[:SHOWN]):
        with st.container(key=f"mark_{place}", horizontal=True, vertical_alignment="center"):
            why = f" · {escape(mark.reason)}" if mark.reason else ""
            st.html(
                f'<p class="finding">{escape(mark.sample_id)}</p>'
                f'<p class="how">{mark.kind}{why} · {escape(mark.time[:10])}</p>'
            )
            st.button(
                "See the face",
                key=f"see mark {place}",
                type="tertiary",
                on_click=_see,
                args=(view, mark.sample_id),
            )
            _take_back(view, mark, key=f"take back {place}")
    if len(latest) > SHOWN:
        st.html(f'<p class="how">And {count(len(latest) - SHOWN)} more, in the table.</p>')
    download(pd.DataFrame(table_of(marks)), name="marked faces")


def _see(view: View, sample_id: str) -> None:
    clear(view.filters)
    ask_for("errors")
    st.session_state["face"] = sample_id
