"""The dashboard's pages: each takes a view of an audit and draws. No loading, no arithmetic."""

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any

import streamlit as st

from audit.groups import SUPPRESSED_BELOW
from audit.rows import rows_of
from audit.words import count, counted_faces
from reports import lookup
from reports.asking import label_of, widget_label
from reports.calibration_page import calibration_page
from reports.charts import (
    BY_FEATURE,
    draw_section,
    figures,
    finding_forest,
    open_faces,
)
from reports.cluster_page import draw_clusters
from reports.faces_page import draw_faces, empty, errors_page
from reports.marking import marks_section
from reports.markup import unbroken, with_code
from reports.opening import HOW_FINDINGS, Finding, Tile, opening, site_notes
from reports.pointing import Pointed
from reports.tables import contrast_words
from reports.view import View

__all__ = [
    "PAGE_SECTIONS",
    "calibration_page",
    "cohorts_page",
    "data_page",
    "errors_page",
    "overview_page",
    "slices_page",
    "subgroups_page",
]

UNFOLDED = 8  # of a ranked list, as in the report
# Where each section of the report stands in the dashboard.
PAGE_SECTIONS = {
    "overview": ("overall",),
    "subgroups": ("age", "subgroups", "crossings", "spread", "disparities"),
    "calibration": ("calibration", "thresholds", "coverage", "age_limits", "proposals"),
    "slices": ("slices",),
    "data": ("groups", "confusion", "training"),
}


def overview_page(view: View) -> None:
    """The first screen of the report, in the same words; no picture of a face."""
    first = opening(view.result)
    tiles = "".join(map(_tile, first.tiles))
    st.html(
        f'<h1 class="audit">{escape(first.title)}</h1><p class="about">{escape(first.about)}</p>'
        f'<p class="verdict">{unbroken(first.verdict)}</p><div class="tiles">{tiles}</div>'
    )
    how = f'<p class="how">{HOW_FINDINGS}</p>' if first.findings else "<p>No other finding.</p>"
    st.html(f"<h2>Findings</h2>{how}")
    findings = [partial(_finding, view, f, place=i) for i, f in enumerate(first.findings)]
    _folded(findings, key="findings")
    for title, lines in (
        ("What was left out, and what was assumed", first.left_out),
        ("What cannot be concluded", first.limits),
    ):
        items = "".join(f"<li>{with_code(line)}</li>" for line in lines)
        st.html(f"<h3>{title}</h3><ul>{items}</ul>")
    draw_section(view, "overall")


def _tile(tile: Tile) -> str:
    unit = f'<span class="unit">\u202f{escape(tile.unit)}</span>' if tile.unit else ""
    return (
        f'<div class="tile"><div class="what">{escape(tile.label)}</div>'
        f'<div class="value">{escape(tile.value)}{unit}</div>'
        f'<div class="range">{escape(tile.interval)}</div>'
        f'<div class="worst">{escape(tile.worst_group)}</div>'
        f'<div class="range">{escape(tile.worst_figures)}</div></div>'
    )


def _finding(view: View, finding: Finding, *, place: int) -> None:
    """A sentence with its numbers, the groups it compares, and a way to the faces behind it."""
    with st.container(key=f"finding_{place}"):
        words, picture = st.columns([3, 2], gap="medium")
        with words:
            st.html(
                f'<p class="finding">{unbroken(finding.sentence)}</p>'
                f'<p class="how">{escape(finding.figures)}</p>'
            )
            if view.rows is not None and finding.feature and finding.group:
                found = Pointed(finding.feature, finding.group, finding.metric)
                _faces_button(view, found, key=f"finding {place}")
        if forest := finding_forest(view, finding):
            with picture:
                st.html(forest)


def subgroups_page(view: View) -> None:
    """One feature or crossing at a time, by every metric; then all comparisons."""
    st.html("<h1>Subgroups</h1>")
    named = [*lookup.features(view.result), *_crossings(view)]
    if not named:
        empty(
            "The audit compares no groups.",
            "Its table has no column of 2 to 50 levels. Add one, such as race or site, or name one "
            "with --by, and run the audit again.",
        )
        return
    feature = _by(named, page="subgroups")
    shown = {key: figures(view, key, feature) for key in BY_FEATURE}
    if feature == "age_group":
        shown = {"age": figures(view, "age"), **shown}
    if not any(shown.values()):
        empty(
            f"No group of {label_of(feature)} has {SUPPRESSED_BELOW} people.",
            "Nothing is said of so few; how many there are stands on Data.",
        )
    for key, drawn in shown.items():
        own = lookup.heading(feature) if key == "subgroups" else ""  # the page is called Subgroups
        draw_section(view, key, drawn, title=own)
    draw_section(view, "disparities")


def slices_page(view: View) -> None:
    """Weak subgroups: those confirmed, each with a way to its faces; clusters that nobody named."""
    st.html("<h1>Slices</h1>")
    slices = view.result.slices
    confirmed = lookup.records(slices[[bool(c) for c in slices.confirmed]])
    _folded([partial(_slice, view, row, place=i) for i, row in enumerate(confirmed)], key="slices")
    draw_section(view, "slices")
    if view.rows is not None:
        draw_clusters(view)


def _slice(view: View, row: dict[str, Any], *, place: int) -> None:
    """A confirmed group with its figure beside everyone else's, and a way to its faces."""
    tested = f"tested on {count(row['n_confirm'])} of its {counted_faces(row['n'])}"
    words = f"{contrast_words(row)}; {tested}"
    with st.container(key=f"slice_{place}", horizontal=True, vertical_alignment="center"):
        st.html(
            f'<p class="finding">{escape(str(row["group"]))}</p>'
            f'<p class="how wide">{unbroken(words)}</p>'
        )
        if view.rows is not None:
            found = Pointed(str(row["feature"]), str(row["group"]), str(row["metric"]))
            _faces_button(view, found, key=f"slice {place}")


def cohorts_page(view: View) -> None:
    """Two cohorts side by side."""
    from reports.cohorts_page import cohorts_page as draw  # noqa: PLC0415  (brings fairlearn, 1 s)

    draw(view)


def data_page(view: View) -> None:
    """What was audited and what was left out; labels against calls; training; some faces."""
    st.html("<h1>Data</h1>")
    st.html(_counts(view))
    draw_section(view, "groups")
    draw_section(view, "confusion")
    draw_section(view, "training")
    _sample(view)
    marks_section(view)


# Parts ---------------------------------------------------------------------------------------


def _folded(draw: Sequence[Callable[[], None]], *, key: str) -> None:
    """Draw the first few of a ranked list; the rest when the reader unfolds it."""
    for one in draw[:UNFOLDED]:
        one()
    if rest := draw[UNFOLDED:]:
        fold = st.expander(
            f"{len(rest)} more", type="compact", key=f"more {key}", on_change="rerun"
        )
        if fold.open:
            with fold:
                for one in rest:
                    one()


def _faces_button(view: View, found: Pointed, *, key: str) -> None:
    st.button("See the faces", key=key, type="tertiary", on_click=open_faces, args=(view, found))


def _by(named: Sequence[str], *, page: str) -> str:
    """The feature to show, chosen on the page and kept for the session."""
    key = f"by {page}"
    if len(named) == 1:
        return named[0]
    if st.session_state.get(key) not in named:
        st.session_state[key] = named[0]
    if len(named) > _BUTTONS:
        st.selectbox("By", named, key=key, format_func=label_of, persist_state="session")
    else:
        st.segmented_control(
            "By", named, key=key, format_func=widget_label, required=True, persist_state="session"
        )
    return str(st.session_state[key])


_BUTTONS = 20  # more stand between the reader and the first figure


def _crossings(view: View) -> list[str]:
    return [f for n in (2, 3) for f in lookup.features(view.result, crossed=n)]


def _counts(view: View) -> str:
    """Rows read, left out by reason, audited, people: as HTML."""
    info = view.result.info
    facts = [("Rows read", count(info["rows_read"]))]
    facts += [(f"Left out: {why}", count(n)) for why, n in info["rows_left_out"].items()]
    facts.append(("Faces audited", count(info["rows_audited"])))
    people = count(info["subjects"])
    facts.append(
        (
            "People",
            f"{people}, one photo each assumed" * bool(info.get("subjects_assumed")) or people,
        )
    )
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
    said = [*(info.get("notes") or ()), *site_notes(view.result)]
    notes = "".join(f'<p class="how">{with_code(str(n))}</p>' for n in said)
    return f'<h2>Audited and left out</h2><dl class="facts">{rows}</dl>{notes}'


def _sample(view: View) -> None:
    """The audit's seeded sample of faces, as cards."""
    sample = view.result.worst[view.result.worst["list"] == "sample"]
    if sample.empty or view.rows is None:
        return
    st.html(
        '<h2>Some faces</h2><p class="how">A seeded random sample, with what was read. They show '
        "the data, not the model at its worst.</p>"
    )
    rows = rows_of(view.rows, sample.sample_id.astype(str).tolist())
    if len(rows):
        draw_faces(view, lookup.records(rows), key="sample_gallery", elsewhere=True)
