"""Clusters of look-alikes that are read worse, each with a contact sheet of its faces."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from audit.clusters import Cluster, find_clusters
from audit.embeddings import Embeddings
from audit.rows import FaceRows, figures_of, rows_of
from audit.words import count, counted_faces, p_value
from reports import lookup
from reports.asking import Filter
from reports.charts import download, grid
from reports.faces_page import draw_faces
from reports.filters import ask_for, narrow
from reports.markup import unbroken, with_code
from reports.tables import as_grid, contrast_words
from reports.view import View

COLUMN = "lookalikes"  # the filter's name in the URL: no table has such a column
SHEET = 12  # faces of a contact sheet: those nearest the cluster's centre
_NEEDED = ("subject_id", "error", "gender_true", "gender_pred")


@st.cache_resource(max_entries=2, show_spinner="Searching clusters of look-alikes")
def clusters_of(
    folder: Path, stamps: tuple[object, ...], *, _embeddings: Embeddings, _rows: FaceRows, seed: int
) -> list[Cluster]:
    """The clusters of an audit's faces, searched once for all viewers."""
    del folder, stamps
    return find_clusters(_embeddings, figures_of(_rows, _NEEDED), seed=seed)


def cluster_filter(clusters: Sequence[Cluster]) -> Filter | None:
    """The confirmed clusters as a filter; None without any."""
    members = {name_of(i): c.ids for i, c in enumerate(clusters) if c.confirmed}
    return Filter(COLUMN, "cluster", tuple(members), members=members) if members else None


def name_of(place: int) -> str:
    """What the cluster at this place of the list is called."""
    return str(place + 1)


def draw_clusters(view: View) -> None:
    """What was searched; a contact sheet for each confirmed cluster; all of them as a table."""
    st.html(
        '<h2>Clusters of look-alikes</h2><p class="how">Groups that nobody named: faces that look '
        "alike to the network and are read worse. They are searched on one half of the people, by "
        "the layer before the heads and the error, and tested on the other half, where faces are "
        "put to a cluster by that layer alone.</p>"
    )
    if view.embeddings is None:
        st.html(f'<p class="how">{with_code(view.why_no_embeddings)}</p>')
        return
    clusters = view.clusters
    confirmed = [(i, c) for i, c in enumerate(clusters) if c.confirmed]
    st.html(f'<p class="finding">{_summary(len(confirmed), len(clusters))}</p>')
    for place, cluster in confirmed:
        _sheet(view, cluster, place)
    if clusters:
        fold = st.expander(
            "All clusters tested", type="compact", key="all clusters", on_change="rerun"
        )
        if fold.open:
            with fold:
                table = cluster_table(clusters)
                grid(as_grid(table), height="content", alt="All clusters tested")
                download(table, name="clusters")


def _summary(confirmed: int, tested: int) -> str:
    if not tested:
        return "No cluster was worse than the rest on the half that was searched."
    return (
        f"{confirmed} of {tested} clusters that looked worse on the searched half are worse on the "
        "other half too (Holm, at .01)."
    )


def _sheet(view: View, cluster: Cluster, place: int) -> None:
    words = (
        f"{contrast_words(vars(cluster))}, adjusted {p_value(cluster.p_adjusted)}; "
        f"{counted_faces(cluster.n)}, {count(cluster.n_confirm)} of them in the half that tests"
    )
    with st.container(key=f"cluster_{place}"):
        st.html(
            f'<p class="finding">Cluster {name_of(place)}</p><p class="how">{unbroken(words)}</p>'
        )
        if view.rows is None:
            return
        st.button(
            f"See all {counted_faces(cluster.n)}",
            key=f"see cluster {place}",
            type="tertiary",
            on_click=_open,
            args=(view, place),
        )
        rows = rows_of(view.rows, list(cluster.ids[:SHEET]))
        draw_faces(view, lookup.records(rows), key=f"cluster_{place}_gallery", elsewhere=True)


def _open(view: View, place: int) -> None:
    metric = view.clusters[place].metric
    st.session_state["sort"] = "error" if metric == "age_mae" else "gender"
    narrow(view.filters, {COLUMN: name_of(place)}, source=f"Slices: cluster {name_of(place)}")
    ask_for("errors")


def cluster_table(clusters: Sequence[Cluster]) -> pd.DataFrame:
    """One row per cluster tested, its figures those of the testing half."""
    columns = [
        *("metric", "value", "complement_value", "difference", "low", "high", "n", "n_confirm"),
        *("p_adjusted", "confirmed"),
    ]
    rows = [[getattr(c, name) for name in columns] for c in clusters]
    table = pd.DataFrame(rows, columns=columns).round(4)
    table.insert(0, "cluster", [name_of(i) for i in range(len(clusters))])
    return table
