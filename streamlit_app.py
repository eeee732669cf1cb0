"""The dashboard's root: read an audit folder, draw the frame, hand over to the page.

`faceaudit dashboard DIR` starts it with the settings that keep it on this machine.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import streamlit as st
from streamlit.navigation.page import Page as StreamlitPage

from audit.clusters import Cluster
from audit.embeddings import Embeddings
from audit.errors import InputError
from audit.face_look import FaceLook
from audit.result import AuditResult
from audit.rows import FaceRows, open_rows
from reports import beside, cohort_names, frame, pages
from reports.asking import Filter, filters_of
from reports.charts import whole_audit
from reports.cluster_page import COLUMN, cluster_filter, clusters_of
from reports.filters import (
    HIDE,
    chosen,
    filter_bar,
    hand_over,
    is_wanted,
    pop_unknown,
    pop_wanted,
    read_url,
    say_unknown,
    write_url,
)
from reports.opening import site_notes
from reports.thumbnails import images_folder
from reports.view import View, stamp_of

if TYPE_CHECKING:
    from model.ready import Ready

FOLLOW = ("errors", "cohorts")  # the pages that show what the filter leaves
PAGES: Mapping[str, tuple[str, Callable[[View], None]]] = {
    "overview": ("Overview", pages.overview_page),
    "subgroups": ("Subgroups", pages.subgroups_page),
    "calibration": ("Calibration", pages.calibration_page),
    "errors": ("Errors", pages.errors_page),
    "slices": ("Slices", pages.slices_page),
    "cohorts": ("Cohorts", pages.cohorts_page),
    "data": ("Data", pages.data_page),
}


@st.cache_resource(max_entries=2, show_spinner=False)
def load_result(folder: Path, stamp: tuple[int, int]) -> AuditResult:
    """Read `result.json` once for all viewers; a file written again is a new entry."""
    del stamp
    return AuditResult.load(folder)


@st.cache_resource(max_entries=2, show_spinner=False)
def load_rows(folder: Path, stamp: tuple[int, int], hash_of_rows: str | None) -> FaceRows:
    """Look at `predictions.parquet` once for all viewers."""
    del stamp
    return open_rows(folder, hash_of_rows=hash_of_rows)


@st.cache_resource(max_entries=1, show_spinner=False)
def load_embeddings(
    path: Path | None, stamps: tuple[tuple[int, int], ...], _rows: FaceRows
) -> tuple[Embeddings | None, str]:
    """Read the embeddings once for all viewers, or say why there are none."""
    del stamps
    return beside.load_checked(path, _rows)


@st.cache_resource(max_entries=1, show_spinner=False)
def load_network(network: Path, stamp: tuple[int, int]) -> "Ready":
    """Load the network when the first face is read again: torch takes seconds."""
    del stamp
    from model.predict import open_model  # noqa: PLC0415 - torch, only when asked for

    return open_model(network, device="cpu")


@st.cache_resource(max_entries=64, show_spinner="Reading the face again")
def look(network: Path, stamp: tuple[int, int], picture: Path, seen: tuple[int, int]) -> FaceLook:
    """Read one picture again, once for all viewers."""
    del seen
    from model.face_look import look_at  # noqa: PLC0415 - an audit of a table has no model

    return look_at(load_network(network, stamp), picture)


def _look_with(network: Path) -> Callable[[Path], FaceLook]:
    weights = network / "model.safetensors" if network.is_dir() else network
    return lambda picture: look(network, stamp_of(weights), picture, stamp_of(picture))


def main(folder: Path, run: Path | None = None, images: Path | None = None) -> None:
    """One run of the script: one look of one viewer."""
    frame.set_up(folder)
    try:
        written = stamp_of(folder / "result.json")
        result = load_result(folder, written)
        rows, why = _rows(folder, result)
        looks: dict[str, View] = {}  # filled below: Streamlit wants its pages before the bar
        held, why_none = _embeddings(folder, result, rows)
        sliced = len(result.slices) or held is not None
        shown = {key: _page(key, looks) for key in PAGES if key != "slices" or sliced}
        page = st.navigation(list(shown.values()))
        at = page.url_path or "overview"
        frame.name_page(page.title, folder)
        found = _clusters(folder, written, result, rows, held, at=at)
        filters = filters_of(result, rows) if rows else ()
        filters += tuple(filter(None, [cluster_filter(found)]))
        frame.say_if_changed(written)
        named = urlsplit(st.context.url or "").path.strip("/")
        read_url(filters, rows, page=at, lost="" if named in shown else named)
        if (wanted := pop_wanted()) and wanted != at:
            st.switch_page(shown[wanted], query_params=hand_over(filters, page=wanted))
        remaining = 0
        if rows and at in FOLLOW:
            remaining = _bar(folder, result, filters, rows, at=at)
        elif rows:
            _bar_alone(folder, result, filters, rows, at=at)
        else:
            say_unknown(pop_unknown())
        network = beside.network_file(result, folder, run)
        why_no_look = beside.why_not_run(network)
        looks["view"] = View(
            folder=folder,
            stamp=written,
            result=result,
            rows=rows,
            why_no_rows=why,
            filters=filters,
            where=chosen(filters),
            remaining=remaining,
            images=images or images_folder(result, folder),
            hide_pictures=bool(st.session_state.get(HIDE)),
            embeddings=held,
            why_no_embeddings=why_none,
            clusters=found,
            look=None if network is None or why_no_look else _look_with(network),
            why_no_look=why_no_look,
        )
        frame.sidebar(looks["view"])
        page.run()
        write_url(filters, page=at)
    except (InputError, OSError) as error:
        frame.lost(folder, error)


def _bar(
    folder: Path, result: AuditResult, filters: tuple[Filter, ...], rows: FaceRows, *, at: str
) -> int:
    """The filter bar with what belongs to it; how many faces remain."""
    where = chosen(filters)
    naming = partial(cohort_names.naming, folder, filters, where)
    remaining = filter_bar(filters, rows, beside=naming)
    cohort_names.said(page=at)
    if where and at not in FOLLOW:
        whole_audit(result, remaining)
    return remaining


@st.fragment
def _bar_alone(
    folder: Path, result: AuditResult, filters: tuple[Filter, ...], rows: FaceRows, *, at: str
) -> None:
    """The bar of a page whose figures show the whole audit: a filter draws them not again."""
    try:
        _bar(folder, result, filters, rows, at=at)
    except (InputError, OSError) as error:  # gone since the page was drawn: nobody else catches it
        frame.lost(folder, error)
        return
    if is_wanted():
        st.rerun()
    write_url(filters, page=at)


def _rows(folder: Path, result: AuditResult) -> tuple[FaceRows | None, str]:
    """The faces of the audit, or why there are none: its figures can be read without them."""
    if counted := site_notes(result):
        return None, " ".join(counted[:2])
    try:
        written = stamp_of(folder / "predictions.parquet")
        return load_rows(folder, written, result.info.get("hash_of_rows")), ""
    except InputError as error:
        return None, str(error)


def _embeddings(
    folder: Path, result: AuditResult, rows: FaceRows | None
) -> tuple[Embeddings | None, str]:
    if rows is None:
        return None, ""
    path = beside.embeddings_file(result, folder)
    stamps = () if path is None else (stamp_of(path), stamp_of(rows.path))
    return load_embeddings(path, stamps, rows)


def _clusters(
    folder: Path,
    stamp: tuple[int, int],
    result: AuditResult,
    rows: FaceRows | None,
    held: Embeddings | None,
    *,
    at: str,
) -> list[Cluster]:
    """Clusters of look-alikes, searched when their page or a link to one is opened first."""
    asked = at == "slices" or COLUMN in st.query_params or "clusters searched" in st.session_state
    if rows is None or held is None or not asked:
        return []
    st.session_state["clusters searched"] = True
    seed = int(result.info["settings"].get("seed") or 0)
    stamps = (stamp, stamp_of(rows.path), len(held.ids))
    return clusters_of(folder, stamps, _embeddings=held, _rows=rows, seed=seed)


def _page(key: str, looks: Mapping[str, View]) -> StreamlitPage:
    title, draw = PAGES[key]
    return st.Page(
        lambda: draw(looks["view"]), title=title, url_path=key, default=key == "overview"
    )


_folder, _run, _images = (*sys.argv[1:4], "", "", "")[:3]
main(
    Path(_folder or "faceaudit-out"),
    Path(_run) if _run else None,
    Path(_images) if _images else None,
)
