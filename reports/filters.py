"""The one filter bar: it holds on every page, says how many faces remain, lives in the URL.

Streamlit drops the URL's query when the page changes, and offers no way to switch pages while a
widget is bound to it; so the state lives in the session and is written to the URL in one place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import streamlit as st

from audit.result import AuditResult
from audit.rows import DERIVED, SORTS, FaceRows, Where, count_rows, sorts_of
from audit.words import count

CROSS = " × "
SHOWN = 3  # filters in the bar itself; the rest stand behind "More filters"
_OWN = {"sort": "error", "page": "1", "face": "", "from": ""}  # of the Errors page, and the usual
HIDE = "hide pictures"
_SEEN, _AT, _WANTED = "url as last written", "page as last drawn", "page asked for"
_ASKED, _KEPT = "asked of a page", "kept for a page"
# What pages with choices of their own keep in the URL; they read and write it themselves.
_CHOICES = {
    "calibration": ("by", "groups", "part", "threshold", "limit", "judged"),
    "cohorts": ("first", "second"),
}
COHORTS = "cohort"  # on every page: the cohorts that are kept nowhere else, one value each
_RESERVED = {
    *(*_OWN, *(name for names in _CHOICES.values() for name in names)),
    *(COHORTS, "pictures", "embed", "embed_options"),
}


@dataclass(frozen=True)
class Filter:
    """A column one can narrow by: its name in the URL, its label, its levels and their words."""

    column: str
    label: str
    levels: tuple[str, ...]
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def param(self) -> str:
        """The filter's name in the URL; a column named as a setting of ours gets a dot."""
        return f"{self.column}." if self.column in _RESERVED else self.column

    @property
    def key(self) -> str:
        """Where the session keeps the chosen levels."""
        return f"filter {self.column}"

    def word(self, level: str) -> str:
        """The level as people read it."""
        return self.words.get(level, level)


def filters_of(result: AuditResult, rows: FaceRows) -> tuple[Filter, ...]:
    """The audit's own features, the age group as read, and what went wrong, as far as there."""
    found = [
        Filter(str(f["name"]), label_of(str(f["name"])), tuple(map(str, f["levels"])))
        for f in result.info["features"]
        if not f.get("crossing") and f["name"] in rows.columns
    ]
    ages = tuple(map(str, result.info.get("age_groups") or ()))
    if ages and "age_group_pred" in rows.columns:
        found.append(Filter("age_group_pred", label_of("age_group_pred"), ages))
    for name, derived in DERIVED.items():
        if set(derived.needs) <= set(rows.columns):
            found.append(Filter(name, derived.label, tuple(derived.levels), derived.levels))
    return tuple(found)


def label_of(feature: str) -> str:
    """A feature's name as people read it, in the report's words: `gender_true` is a label."""
    names = {
        "gender_true": "labelled gender",
        "age_group": "true age",
        "age_group_pred": "predicted age",
    }
    parts = (names.get(part, part.replace("_", " ")) for part in feature.split(CROSS))
    return CROSS.join(parts)


# The URL -------------------------------------------------------------------------------------


def read_url(filters: tuple[Filter, ...], rows: FaceRows | None, *, page: str) -> None:
    """Take over the URL where the person changed it: a link, a reload, Back and Forward.

    An empty query after a change of page is Streamlit's doing, not the person's, and is ignored.
    """
    url = {name: st.query_params.get_all(name) for name in st.query_params}
    seen, at = st.session_state.get(_SEEN), st.session_state.get(_AT)
    st.session_state[_AT] = page
    if seen is not None and (url == seen or (not url and at != page)):
        return
    for one in filters:
        asked = url.get(one.param, [])
        st.session_state[one.key] = [level for level in one.levels if level in asked]
    for name, usual in _OWN.items():
        st.session_state[name] = url.get(name, [usual])[-1]
    st.session_state[HIDE] = url.get("pictures") == ["hidden"]
    st.session_state[COHORTS] = url.get(COHORTS, [])
    choices = {n: url[n] for names in _CHOICES.values() for n in names if n in url}
    if choices or page in _CHOICES:
        st.session_state[_ASKED] = choices
    allowed = sorts_of(rows) if rows else ["id"]
    if st.session_state["sort"] not in allowed:
        st.session_state["sort"] = allowed[0]
    number = st.session_state["page"]
    st.session_state["page"] = max(1, int(number)) if number.isdecimal() else 1


def url_of(filters: tuple[Filter, ...], *, page: str) -> dict[str, list[str]]:
    """What the URL should say: only what differs from the usual, faces only on the Errors page."""
    url = {one.param: chosen for one in filters if (chosen := st.session_state.get(one.key, []))}
    for name, usual in _OWN.items() if page == "errors" else ():
        value = str(st.session_state.get(name, usual))
        if value != usual:
            url[name] = [value]
    url |= st.session_state.get(_KEPT, {}).get(page, {})
    if kept := st.session_state.get(COHORTS):
        url[COHORTS] = kept
    if st.session_state.get(HIDE):
        url["pictures"] = ["hidden"]
    return {name: [str(v) for v in values] for name, values in url.items()}


def asked_of(page: str) -> Mapping[str, list[str]] | None:
    """What the URL asked of `page`, once after it changed; None where it did not."""
    asked = st.session_state.pop(_ASKED, None) if page in _CHOICES else None
    return None if asked is None else dict(asked)


def keep_in_url(page: str, choices: Mapping[str, list[str]]) -> None:
    """Remember what `page` wants to find again in the URL."""
    assert set(choices) <= set(_CHOICES[page])
    st.session_state[_KEPT] = {**st.session_state.get(_KEPT, {}), page: dict(choices)}


def write_url(filters: tuple[Filter, ...], *, page: str) -> None:
    """Say in the URL what is shown, so that a reload or a sent link shows it again."""
    url = url_of(filters, page=page)
    if url != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(url)
    st.session_state[_SEEN] = url


def hand_over(filters: tuple[Filter, ...], *, page: str) -> dict[str, list[str]]:
    """The URL to take along to `page`, which will find there what it expects.

    What the bar holds is set anew: Streamlit drops what a widget holds that a run did not draw.
    """
    for one in filters:
        st.session_state[one.key] = list(st.session_state.get(one.key, ()))
    url = url_of(filters, page=page)
    st.session_state[_SEEN] = url
    return url


def ask_for(page: str) -> None:
    """Go to `page` at the next run; to be called in a callback."""
    st.session_state[_WANTED] = page


def pop_wanted() -> str | None:
    """The page asked for in a callback, once."""
    wanted = st.session_state.pop(_WANTED, None)
    return None if wanted is None else str(wanted)


# What is chosen ------------------------------------------------------------------------------


def chosen(filters: tuple[Filter, ...]) -> Where:
    """The levels asked for, per column; empty for all faces."""
    found = {one.column: tuple(st.session_state.get(one.key, ())) for one in filters}
    return {column: levels for column, levels in found.items() if levels}


def narrow(filters: tuple[Filter, ...], levels: Mapping[str, str], *, source: str) -> None:
    """Narrow to exactly `levels` and go to the first page of Errors; `source` is where from.

    To be called in a widget's callback or before the bar is drawn.
    """
    show(filters, {column: (level,) for column, level in levels.items()}, source=source)


def show(filters: tuple[Filter, ...], where: Where, *, source: str) -> None:
    """Ask for exactly `where`, as `narrow` does."""
    for one in filters:
        asked = where.get(one.column, ())
        st.session_state[one.key] = [level for level in one.levels if level in asked]
    st.session_state["from"] = source
    first_page()


def first_page() -> None:
    """Start the gallery again: what it lists has changed."""
    st.session_state["page"], st.session_state["face"] = 1, ""


def clear(filters: tuple[Filter, ...]) -> None:
    """Ask for all faces again."""
    narrow(filters, {}, source="")


def levels_of(result: AuditResult, feature: str, group: str) -> dict[str, str] | None:
    """The level of each feature in `group` of `feature`, crossings taken apart; None if unknown.

    A level may itself hold the sign that joins levels, so the parts are matched against the
    levels there are, not split.
    """
    levels = {
        str(f["name"]): tuple(map(str, f["levels"]))
        for f in result.info["features"]
        if not f.get("crossing")
    }
    levels["age_group_pred"] = tuple(map(str, result.info.get("age_groups") or ()))
    if feature == "overall":
        return {}
    if feature in levels:
        return {feature: group} if group in levels[feature] else None
    return _match(feature, group, levels)


def _match(
    feature: str, group: str, levels: Mapping[str, tuple[str, ...]]
) -> dict[str, str] | None:
    for name in levels:
        if feature == name and group in levels[name]:
            return {name: group}
        if not feature.startswith(name + CROSS):
            continue
        for level in levels[name]:
            if group.startswith(level + CROSS):
                rest = _match(feature[len(name + CROSS) :], group[len(level + CROSS) :], levels)
                if rest is not None:
                    return {name: level} | rest
    return None


# The bar -------------------------------------------------------------------------------------


def filter_bar(
    filters: tuple[Filter, ...], rows: FaceRows, *, beside: Callable[[], None] | None = None
) -> int:
    """Draw the bar and the line that says how many faces remain; return that number.

    `beside` draws what stands at the bar's end.
    """
    where = chosen(filters)
    hidden = sum(one.column in where for one in filters[SHOWN:])
    with st.container(key="filter_bar", horizontal=True, vertical_alignment="center", gap="small"):
        for one in filters[:SHOWN]:
            _levels(one, width=196)
        if filters[SHOWN:]:
            label = f"More filters ({hidden})" if hidden else "More filters"
            with st.popover(label, key="more_filters"):
                for one in filters[SHOWN:]:
                    _levels(one, width="stretch", label="visible")
        st.button("Clear", on_click=clear, args=(filters,), disabled=not where, key="clear_filters")
        if beside is not None:
            beside()
    remaining = count_rows(rows, where=where) if where else rows.total
    st.html(
        f'<p class="remain" role="status">{remaining_words(filters, where, remaining, rows)}</p>'
    )
    return remaining


def _levels(one: Filter, *, width: Any, label: Any = "collapsed") -> None:
    st.multiselect(
        one.label,
        one.levels,
        key=one.key,
        format_func=one.word,
        placeholder=f"{one.label}: all",
        on_change=first_page,
        label_visibility=label,
        wrap=False,
        width=width,
    )


def remaining_words(
    filters: tuple[Filter, ...], where: Where, remaining: int, rows: FaceRows
) -> str:
    """`3 105 of 18 911 faces: race Black; gender female`, as HTML."""
    if not where:
        return f"All {count(rows.total)} faces"
    words = where_words(filters, where)
    return f"<b>{count(remaining)}</b> of {count(rows.total)} faces: {words}"


def where_words(filters: tuple[Filter, ...], where: Where) -> str:
    """`race Black; labelled gender female`, as HTML."""
    parts = [
        f"{escape(one.label)} <b>{escape(' or '.join(map(one.word, where[one.column])))}</b>"
        for one in filters
        if where.get(one.column)
    ]
    return "; ".join(parts)


def sort_words(key: str) -> str:
    """The label of a sort."""
    return SORTS[key].label
