"""The one filter bar: it holds on every page, says how many faces remain, lives in the URL.

Streamlit drops the URL's query when the page changes, and offers no way to switch pages while a
widget is bound to it; so the state lives in the session and is written to the URL in one place.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from audit.rows import FaceRows, count_rows, sorts_of
from audit.where import AREA, Area, Asked, Span, Where
from audit.words import count, counted_faces
from reports import ranges
from reports.asking import CHOICES, OWN, Filter

SHOWN = 3  # filters in the bar itself; the rest stand behind "More filters"
HIDE = "hide pictures"
_SEEN, _AT, _WANTED = "url as last written", "page as last drawn", "page asked for"
_ASKED, _KEPT = "asked of a page", "kept for a page"
COHORTS = "cohort"  # on every page: the cohorts that are kept nowhere else, one value each
_UNKNOWN = "asked for and not there"  # what a link names that this audit has not
_AREA_KEY = "filter outline"  # where the session keeps the outline


# The URL -------------------------------------------------------------------------------------


def read_url(
    filters: tuple[Filter, ...], rows: FaceRows | None, *, page: str, lost: str = ""
) -> None:
    """Take over the URL where the person changed it: a link, a reload, Back and Forward.

    An empty query after a change of page is Streamlit's doing, not the person's, and is ignored.
    lost: the page that the URL names, if there is none such and `page` is shown for it.
    """
    url = {name: st.query_params.get_all(name) for name in st.query_params}
    seen, at = st.session_state.get(_SEEN), st.session_state.get(_AT)
    st.session_state[_AT] = page
    if seen is not None and (url == seen or (not url and at != page)):
        return
    unknown = [f"page “{lost}”"] if lost else []
    unknown += [
        f"{one.label} “{word}”"
        for one in filters
        for word in url.get(one.param, [])
        if not one.read([word])
    ]
    known = {*(one.param for one in filters), AREA, *OWN, "pictures", COHORTS}
    known |= {*CHOICES.get(page, ())}  # what they choose is looked at there
    unknown += [f"{name} “{words[-1]}”" for name, words in url.items() if name not in known]
    area = _read_area(filters, url.get(AREA, []))
    if AREA in url and area is None:
        unknown.append("the outline")
    st.session_state[_UNKNOWN] = unknown
    for one in filters:
        st.session_state[one.key] = one.read(url.get(one.param, []))
    st.session_state[_AREA_KEY] = area
    for name, usual in OWN.items():
        st.session_state[name] = url.get(name, [usual])[-1]
    st.session_state[HIDE] = url.get("pictures") == ["hidden"]
    st.session_state[COHORTS] = url.get(COHORTS, [])
    choices = {n: url[n] for names in CHOICES.values() for n in names if n in url}
    if choices or page in CHOICES:
        st.session_state[_ASKED] = choices
    allowed = sorts_of(rows) if rows else ["id"]
    if st.session_state["sort"] not in allowed:
        if "sort" in url:
            unknown.append(f"order “{st.session_state['sort']}”")
        st.session_state["sort"] = allowed[0]
    number = st.session_state["page"]
    if not (number.isdecimal() and int(number)):
        unknown.append(f"page “{number}” of the faces")
        number = 1
    st.session_state["page"] = int(number)


def url_of(filters: tuple[Filter, ...], *, page: str) -> dict[str, list[str]]:
    """What the URL should say: only what differs from the usual, faces only on the Errors page."""
    url = {
        one.param: one.write(asked) for one in filters if (asked := st.session_state.get(one.key))
    }
    if isinstance(area := st.session_state.get(_AREA_KEY), Area):
        url[AREA] = [ranges.area_url(area)]
    for name, usual in OWN.items() if page == "errors" else ():
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
    asked = st.session_state.pop(_ASKED, None) if page in CHOICES else None
    return None if asked is None else dict(asked)


def keep_in_url(page: str, choices: Mapping[str, list[str]]) -> None:
    """Remember what `page` wants to find again in the URL."""
    assert set(choices) <= set(CHOICES[page])
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
        kept = st.session_state.get(one.key)
        st.session_state[one.key] = list(kept) if isinstance(kept, list) else kept
    url = url_of(filters, page=page)
    st.session_state[_SEEN] = url
    return url


def ask_for(page: str) -> None:
    """Go to `page` at the next run; to be called in a callback."""
    st.session_state[_WANTED] = page


def is_wanted() -> bool:
    """Whether a page was asked for in a callback."""
    return _WANTED in st.session_state


def pop_wanted() -> str | None:
    """The page asked for in a callback, once."""
    wanted = st.session_state.pop(_WANTED, None)
    return None if wanted is None else str(wanted)


# What is chosen ------------------------------------------------------------------------------


def chosen(filters: tuple[Filter, ...]) -> Where:
    """What is asked for, per column; empty for all faces."""
    found: dict[str, Asked] = {}
    for one in filters:
        if asked := one.asked(st.session_state.get(one.key)):
            found[one.column] = asked
    if isinstance(area := st.session_state.get(_AREA_KEY), Area):
        found[AREA] = area
    return found


def words_of(filters: tuple[Filter, ...], where: Where) -> dict[str, list[str]]:
    """What is asked for as the URL would say it, by column: to be kept in a file."""
    words = {}
    for one in filters:
        asked = where.get(one.column)
        if asked and not isinstance(asked, Area):
            words[one.column] = one.write(one.kept(asked))
    if isinstance(area := where.get(AREA), Area):
        words[AREA] = [ranges.area_url(area)]
    return words


def where_of(filters: tuple[Filter, ...], words: Mapping[str, list[str]]) -> tuple[Where, set[str]]:
    """What `words_of` wrote, and the columns of it that this audit does not know.

    A level that no face has any more is asked for all the same: it holds nobody.
    """
    found: dict[str, Asked] = {}
    for one in filters:
        kept = words.get(one.column, [])
        if asked := one.asked(kept if one.open else one.read(kept)):
            found[one.column] = asked
    if area := _read_area(filters, words.get(AREA, [])):
        found[AREA] = area
    return found, {*words} - {*found}


def narrow(
    filters: tuple[Filter, ...], asked: Mapping[str, str | Span | Area], *, source: str
) -> None:
    """Narrow to exactly what is `asked` and go to the first page of Errors; `source`: where from.

    To be called in a widget's callback or before the bar is drawn.
    """
    for one in filters:
        st.session_state[one.key] = None if one.ends else []
    st.session_state[_AREA_KEY], st.session_state[_UNKNOWN] = None, []
    add(filters, asked, source=source)


def add(
    filters: tuple[Filter, ...], asked: Mapping[str, str | Span | Area], *, source: str
) -> None:
    """Narrow further: what is `asked` replaces what was asked of the same columns."""
    for one in filters:
        wanted = asked.get(one.column)
        if wanted is not None:
            st.session_state[one.key] = [wanted] if isinstance(wanted, str) else wanted
    if AREA in asked:
        st.session_state[_AREA_KEY] = asked[AREA]
    st.session_state["from"] = source
    first_page()


def drop(column: str) -> None:
    """Ask no more of `column` (or of the outline): a chip's callback."""
    if column == AREA:
        st.session_state[_AREA_KEY] = None
    else:
        was = st.session_state.get(f"filter {column}")
        st.session_state[f"filter {column}"] = [] if isinstance(was, list) else None
    first_page()


def show(filters: tuple[Filter, ...], where: Where, *, source: str) -> None:
    """Ask for exactly `where`, as `narrow` does."""
    narrow(filters, {}, source=source)
    for one in filters:
        asked = where.get(one.column)
        if asked and not isinstance(asked, Area):
            st.session_state[one.key] = one.kept(asked)
    st.session_state[_AREA_KEY] = where.get(AREA)


def first_page() -> None:
    """Start the gallery again: what it lists has changed."""
    st.session_state["page"], st.session_state["face"] = 1, ""
    st.session_state[_UNKNOWN] = []


def clear(filters: tuple[Filter, ...]) -> None:
    """Ask for all faces again."""
    narrow(filters, {}, source="")


# The bar -------------------------------------------------------------------------------------


def filter_bar(
    filters: tuple[Filter, ...], rows: FaceRows, *, beside: Callable[[], None] | None = None
) -> int:
    """Draw the bar and the line that says how many faces remain; return that number.

    `beside` draws what stands at the bar's end.
    """
    where, unknown = chosen(filters), st.session_state.get(_UNKNOWN)
    more = filters[SHOWN:]
    hidden = sum(one.column in where for one in more)
    with st.container(key="filter_bar", horizontal=True, vertical_alignment="center", gap="small"):
        for one in filters[:SHOWN]:
            _widget(one, width=196)
        if more:
            label = f"More filters ({hidden})" if hidden else "More filters"
            with st.popover(label, key="more_filters"):
                for one in more:
                    _widget(one, width="stretch", label="visible")
        st.button(
            "Clear",
            on_click=clear,
            args=(filters,),
            disabled=not (where or unknown),
            key="clear_filters",
        )
        if beside is not None:
            beside()
    remaining = count_rows(rows, where=where) if where else rows.total
    st.html(
        f'<p class="remain" role="status">{remaining_words(filters, where, remaining, rows)}</p>'
    )
    say_unknown(unknown or ())
    _chips(filters, where)
    return remaining


def say_unknown(unknown: Sequence[str]) -> None:
    """Say what a link names that is not here, if anything."""
    if unknown:
        words = escape("; ".join(unknown))
        st.html(f'<p class="note" role="status">The link asks for what is not here: {words}.</p>')


def pop_unknown() -> list[str]:
    """What the link names that is not here, once: for a page without the bar that can clear it."""
    return list(st.session_state.pop(_UNKNOWN, None) or ())


def _chips(filters: tuple[Filter, ...], where: Where) -> None:
    """What is asked for beyond the boxes of the bar: a button each, that takes it back."""
    words = [
        (f.column, f"{f.label}: {f.said(where[f.column])}")
        for f in filters[SHOWN:]
        if f.column in where
    ]
    if isinstance(area := where.get(AREA), Area):
        words.append((AREA, ranges.area_words(area)))
    if not words:
        return
    with st.container(key="chips", horizontal=True, gap="small"):
        for column, said in words:
            st.button(
                ranges.plain_label(f"{said}  ×"),
                key=f"chip {column}",
                on_click=drop,
                args=(column,),
                help="Take this filter back",
            )


def _widget(one: Filter, *, width: Any, label: Any = "collapsed") -> None:
    if one.ends is not None:
        ranges.slider(one.label, one.key, one.ends, on_change=first_page)
        return
    st.multiselect(
        ranges.plain_label(one.label),
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
        return f"All {counted_faces(rows.total)}"
    words = where_words(filters, where)
    return f"<b>{count(remaining)}</b> of {counted_faces(rows.total)}: {words}"


def where_words(filters: tuple[Filter, ...], where: Where) -> str:
    """`race Black; labelled gender female`, as HTML."""
    parts = [
        f"{escape(one.label)} <b>{escape(one.said(where[one.column]))}</b>"
        for one in filters
        if where.get(one.column)
    ]
    if isinstance(area := where.get(AREA), Area):
        parts.append(escape(ranges.area_words(area)))
    return "; ".join(parts)


def _read_area(filters: tuple[Filter, ...], words: list[str]) -> Area | None:
    numeric = {one.column for one in filters if one.ends is not None}
    return ranges.read_area(words[-1] if words else "", numeric)
