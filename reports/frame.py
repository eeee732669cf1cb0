"""What stands around every page: looks, the side bar, and what is said when the audit is gone."""

from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path

import streamlit as st

from audit.result import AuditResult
from audit.words import counted_faces, counted_people
from reports.filters import HIDE
from reports.opening import date
from reports.theme import PALETTE, WIDTH_STEP
from reports.view import View

SIDEBAR = 240  # px
_WRITTEN = "audit as first seen"
_CONSENT = """
<p class="wide">Faces are people. These pictures are shown to find out where a model errs, and for
nothing else: do not try to find out who someone is, do not copy or send pictures on, and keep the
audit's folder where only those who need it can read it.</p>
<p class="wide">Look at faces only of people who agreed to this use, or whose data you may use this
way under the law and the licence of the data set. The labels are other people's judgement of age
and gender, not facts about a person.</p>
<p class="wide">Nothing leaves this machine: the dashboard answers this machine only, and tells
nobody about its use. "Hide pictures" in the side bar hides them on every page.</p>
"""


def set_up(folder: Path) -> None:
    """Page title, width and style; to be called first."""
    st.set_page_config(
        page_title=f"{_name(folder)} · faceaudit", layout="wide", initial_sidebar_state=SIDEBAR
    )
    sheets = ["dashboard.css", *["dark_print.css"] * (st.context.theme.type == "dark")]
    css = "".join(files("reports").joinpath(s).read_text(encoding="utf-8") for s in sheets)
    st.html(f"<style>{tokens()}{css}{_leasts()}</style>")


def _leasts() -> str:
    """The least widths of figures: in a narrower window each scrolls by itself (`charts.chart`)."""
    figures = ".stElementContainer, .stPlotlyChart"
    return "".join(
        f'[class*="st-key-least_{least}_"] {{ overflow-x: auto; }}\n'
        f'[class*="st-key-least_{least}_"] :is({figures}) {{ min-width: {least}px; }}\n'
        for least in range(WIDTH_STEP, 2001, WIDTH_STEP)
    )


def tokens() -> str:
    """The report's colours by name, for whichever of light and dark the viewer has chosen."""
    pairs = "; ".join(f"--{n}: light-dark({light}, {dark})" for n, (light, dark) in PALETTE.items())
    return f".stApp {{ {pairs}; }}\n"


def name_page(title: str, folder: Path) -> None:
    """The window's title says which page it is: tabs and screen readers tell pages by it."""
    st.set_page_config(page_title=f"{title} · {_name(folder)} · faceaudit")


def _name(folder: Path) -> str:
    return folder.resolve().name or "audit"


def sidebar(view: View) -> None:
    """What is being looked at, the setting that hides pictures, the notice on use."""
    with st.sidebar:
        st.html(f'<p class="about">{about(view.result, view.folder)}</p>')
        st.toggle("Hide pictures", key=HIDE)
        if st.button("Use and consent", type="tertiary", key="consent"):
            consent()


def about(result: AuditResult, folder: Path) -> str:
    """Model, faces, people, date and folder, as HTML."""
    info = result.info
    parts = [str(info.get("model") or "unnamed model"), counted_faces(info["rows_audited"])]
    if info.get("subjects") and not info.get("subjects_assumed"):
        parts.append(counted_people(info["subjects"]))
    parts += [date(result), folder.resolve().name]
    return "<br>".join(map(escape, parts))


@st.dialog("Use and consent")
def consent() -> None:
    """The notice on use, one click away on every page."""
    st.html(_CONSENT)


def say_if_changed(written: tuple[int, int]) -> None:
    """Say so when the audit was written again since this viewer opened it."""
    seen = st.session_state.setdefault(_WRITTEN, written)
    if seen != written:
        at = datetime.fromtimestamp(written[0] / 1e9).astimezone().strftime("%H:%M")
        st.html(f'<p class="note">This audit was written again at {at}: you see the new one.</p>')


def lost(folder: Path, error: Exception) -> None:
    """The whole page when the audit cannot be read: what happened, and a way back."""
    what = error if isinstance(error, ValueError) else "its files cannot be read just now"
    st.html(
        f'<div class="empty" role="alert"><h2>This audit cannot be read</h2><p>{escape(str(what))}'
        f'</p><p class="quiet">Folder: {escape(str(folder.resolve()))}</p></div>'
    )
    st.button("Reload", type="primary", key="reload")
