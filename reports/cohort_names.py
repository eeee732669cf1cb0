"""Cohorts that viewers have named: a filter with a name, kept beside the audit or in the URL."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from audit.lines import Line
from audit.rows import EVERYONE, Cohort
from audit.where import Where
from reports import kept
from reports.asking import Filter
from reports.filters import COHORTS, ask_for, where_of, words_of

FILE = "cohorts.jsonl"
LONGEST = 60  # characters of a name
FILTER, REST = "the filter above", "everyone else"
RESERVED = (FILTER, REST, EVERYONE.name)
FIRST = "first cohort"  # where the session keeps the choice of the Cohorts page
_NAME, _SAID, _OPEN = "name of a cohort", "said of a cohort", "name_cohort"


@dataclass(frozen=True)
class Named:
    """What has been named. cohorts: by name, of columns that the audit has, in order of their last
    naming. faults: sentences about what could not be read. here: names that this session alone
    keeps.
    """

    cohorts: Mapping[str, Cohort]
    faults: tuple[str, ...]
    here: frozenset[str]


def named(folder: Path, filters: tuple[Filter, ...]) -> Named:
    """All named cohorts of an audit: of its file, and of this session."""
    found: dict[str, Cohort] = {}
    faults: list[str] = []
    here: set[str] = set()
    for line in [*kept.lines(folder, FILE), *_of_url()]:
        name, words, fault = _read(line)
        if fault:
            faults.append(f"Line {line.number} of {FILE} is passed over: it {fault}.")
            continue
        found.pop(name, None)
        here.discard(name)
        if words is None:
            continue
        where, absent = where_of(filters, words)
        if absent:
            faults.append(f"“{name}” is passed over: this audit does not know {min(absent)}.")
            continue
        found[name] = Cohort(name, where)
        if not line.number:
            here.add(name)
    return Named(found, tuple(faults), frozenset(here))


def _read(line: Line) -> tuple[str, dict[str, list[str]] | None, str]:
    """(name, words by column or None for a cohort forgotten, what is wrong with the line)."""
    if line.record is None:
        return "", None, line.why
    name, where = line.record.get("name"), line.record.get("where")
    if not isinstance(name, str) or not name or fault_of(name):
        return "", None, "has no name that can be used"
    if where is None:
        return name, None, ""
    if not isinstance(where, dict) or not all(map(_is_levels, where.values())) or not where:
        return "", None, "does not say which levels the cohort holds"
    return name, {str(column): list(levels) for column, levels in where.items()}, ""


def _is_levels(levels: Any) -> bool:
    return isinstance(levels, list) and all(isinstance(one, str) for one in levels) and bool(levels)


def _of_url() -> list[Line]:
    """The cohorts that the URL brings: lines without a number."""
    found = []
    for text in st.session_state.get(COHORTS, []):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and not _read(Line(0, record))[2]:
            found.append(Line(0, record))
    return found


def fault_of(name: str) -> str:
    """Why a name cannot be had; empty where it can."""
    if not name:
        return "Give the cohort a name."
    if len(name) > LONGEST:
        return f"A name has at most {LONGEST} characters."
    if name.lower() in RESERVED:
        return f"“{name}” is a word of this page: choose another name."
    return "" if name.isprintable() else "A name is one line of text."


def keep(folder: Path, name: str, levels: Mapping[str, list[str]] | None) -> None:
    """Name a filter (its `words_of`), or forget the name (None): in the file, else in this session
    and its URL.
    """
    record = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": name,
        "where": levels,
    }
    mine = [t for t in st.session_state.get(COHORTS, []) if _name_in(t) != name]
    if not kept.keep(folder, FILE, record) and levels is not None:
        mine.append(json.dumps({"name": name, "where": levels}, ensure_ascii=False))
    st.session_state[COHORTS] = mine


def _name_in(text: str) -> Any:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record.get("name") if isinstance(record, dict) else None


# At the end of the filter bar ----------------------------------------------------------------


def naming(folder: Path, filters: tuple[Filter, ...], where: Where) -> None:
    """The way to name the filter in force; nothing to name where there is none."""
    about = "Keep this filter as a cohort, to compare it with others"
    with (
        st.popover("Name it", key=_OPEN, disabled=not where, help=about, on_change="rerun"),
        st.form("naming", border=False),
    ):
        st.text_input(
            "Name this filter as a cohort",
            key=_NAME,
            max_chars=LONGEST,
            placeholder="such as Black women",
        )
        st.form_submit_button("Keep", on_click=_keep, args=(folder, filters, where), type="primary")


def _keep(folder: Path, filters: tuple[Filter, ...], where: Where) -> None:
    name = " ".join(str(st.session_state.get(_NAME, "")).split())
    fault = fault_of(name)
    if name in named(folder, filters).cohorts:
        fault = f"There is a cohort “{name}”: forget it on Cohorts first, or choose another name."
    if not fault:
        keep(folder, name, words_of(filters, where))
        st.session_state[_NAME], st.session_state[_OPEN] = "", False
    st.session_state[_SAID] = (name, fault)


def said(*, page: str) -> None:
    """What came of naming a cohort, said once, with a way to compare it."""
    name, fault = st.session_state.pop(_SAID, ("", ""))
    if fault:
        st.html(f'<p class="note" role="alert">{escape(fault)}</p>')
    elif name:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.html(
                f'<p class="note" role="status">“{escape(name)}” is a cohort now. '
                f"{escape(where_kept())}</p>"
            )
            if page != "cohorts":
                st.button("Compare it", key="compare", on_click=_compare, args=(name,))


def _compare(name: str) -> None:
    st.session_state[FIRST] = name
    ask_for("cohorts")


def where_kept() -> str:
    """Where names are kept, in a sentence."""
    why = kept.why_not(FILE)
    if why:
        return (
            f"The audit's folder cannot be written ({why}): it is kept in this page's address "
            "only, so bookmark the address, or it is gone."
        )
    return f"It is kept in {kept.FOLDER}/{FILE} beside the audit."


def choices(found: Named, *, filtered: bool) -> tuple[Sequence[str], Sequence[str]]:
    """What can be chosen first, and second."""
    own = [*([FILTER] if filtered else []), *found.cohorts]
    return own, [REST, EVERYONE.name, *own]
