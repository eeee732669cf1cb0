"""The dashboard's root: read an audit folder, draw the frame, hand over to the page.

`faceaudit dashboard DIR` starts it with the settings that keep it on this machine.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import Page as StreamlitPage

from audit.errors import InputError
from audit.result import AuditResult
from audit.rows import FaceRows, open_rows
from reports import frame, pages
from reports.asking import filters_of
from reports.filters import (
    HIDE,
    chosen,
    filter_bar,
    hand_over,
    pop_wanted,
    read_url,
    write_url,
)
from reports.view import View, images_folder, stamp_of

PAGES: Mapping[str, tuple[str, Callable[[View], None]]] = {
    "overview": ("Overview", pages.overview_page),
    "subgroups": ("Subgroups", pages.subgroups_page),
    "calibration": ("Calibration", pages.calibration_page),
    "errors": ("Errors", pages.errors_page),
    "slices": ("Slices", pages.slices_page),
    "data": ("Data", pages.data_page),
}


@st.cache_resource(max_entries=2, show_spinner=False)
def load_result(folder: Path, stamp: tuple[int, int]) -> AuditResult:
    """Read `result.json` once for all viewers; a file written again is a new entry."""
    del stamp
    return AuditResult.load(folder)


@st.cache_resource(max_entries=2, show_spinner=False)
def load_rows(folder: Path, stamp: tuple[int, int]) -> FaceRows:
    """Look at `predictions.parquet` once for all viewers."""
    del stamp
    return open_rows(folder)


def main(folder: Path) -> None:
    """One run of the script: one look of one viewer."""
    frame.set_up(folder)
    try:
        written = stamp_of(folder / "result.json")
        result = load_result(folder, written)
        rows, why = _rows(folder)
        filters = filters_of(result, rows) if rows else ()
        look: dict[str, View] = {}  # filled below: Streamlit wants its pages before the bar
        shown = {key: _page(key, look) for key in PAGES if key != "slices" or len(result.slices)}
        page = st.navigation(list(shown.values()))
        at = page.url_path or "overview"
        frame.say_if_changed(written)
        read_url(filters, rows, page=at)
        if (wanted := pop_wanted()) and wanted != at:
            st.switch_page(shown[wanted], query_params=hand_over(filters, page=wanted))
        remaining = filter_bar(filters, rows) if rows else 0
        look["view"] = View(
            folder=folder,
            stamp=written,
            result=result,
            rows=rows,
            why_no_rows=why,
            filters=filters,
            where=chosen(filters),
            remaining=remaining,
            images=images_folder(result, folder),
            hide_pictures=bool(st.session_state.get(HIDE)),
        )
        frame.sidebar(look["view"])
        page.run()
        write_url(filters, page=at)
    except (InputError, OSError) as error:
        frame.lost(folder, error)


def _rows(folder: Path) -> tuple[FaceRows | None, str]:
    """The faces of the audit, or why there are none: its figures can be read without them."""
    try:
        return load_rows(folder, stamp_of(folder / "predictions.parquet")), ""
    except InputError as error:
        return None, str(error)


def _page(key: str, look: Mapping[str, View]) -> StreamlitPage:
    title, draw = PAGES[key]
    return st.Page(lambda: draw(look["view"]), title=title, url_path=key, default=key == "overview")


main(Path(sys.argv[1] if len(sys.argv) > 1 else "faceaudit-out"))
