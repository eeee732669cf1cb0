"""Spans and outlines as people and URLs say them, and the slider that sets a span."""

import math
import re
from collections.abc import Callable, Collection, Sequence

import streamlit as st

from audit.where import Area, Span

MOST_CORNERS = 24  # of an outline: it has to fit into a URL
_SEP = ".."
_WORDS = {  # what an axis of an outline is called
    "age_true": "true age",
    "age_pred": "age read",
    "error": "age error",
    "gender_score": "P(female)",
}


def read_span(words: str, ends: Span) -> Span | None:
    """`20..30`, `20..` or `..30`, within `ends`; None for anything else."""
    low, found, high = words.partition(_SEP)
    try:
        span = Span(float(low) if low else ends.low, float(high) if high else ends.high)
    except ValueError:
        return None
    return span if found and span.low <= span.high else None  # NaN compares as false


def span_url(span: Span) -> str:
    """The span as the URL says it."""
    return f"{span.low:.10g}{_SEP}{span.high:.10g}"


def span_words(span: Span) -> str:
    """`20 to 29.5`: to three figures after the point."""
    return f"{_short(span.low)} to {_short(span.high)}"


def _short(x: float) -> str:
    return f"{x:.3f}".rstrip("0").rstrip(".").replace("-", "\u2212")


def read_area(words: str, columns: Collection[str]) -> Area | None:
    """What `area_url` wrote, over two of `columns`; None for anything else."""
    x, y, *corners = [*words.split(","), "", ""][: MOST_CORNERS + 2]
    corners = [corner for corner in corners if corner]
    if len(corners) < 3 or not {x, y} <= set(columns):
        return None
    try:
        pairs = [tuple(map(float, corner.split())) for corner in corners]
    except ValueError:
        return None
    if any(len(pair) != 2 or not all(map(math.isfinite, pair)) for pair in pairs):
        return None
    return Area(x, y, tuple((pair[0], pair[1]) for pair in pairs))


def area_url(area: Area) -> str:
    """`age_true,age_pred,20 30,25 40,...`: the outline as the URL says it."""
    return ",".join([area.x, area.y, *(f"{x:.6g} {y:.6g}" for x, y in area.corners)])


def area_words(area: Area) -> str:
    """What a chip calls an outline."""
    x, y = (_WORDS.get(c, c.replace("_", " ")) for c in (area.x, area.y))
    return f"outline over {x} and {y}"


def area_of(x: str, y: str, xs: Sequence[float], ys: Sequence[float]) -> Area | None:
    """The outline that a lasso drew through these points, thinned to MOST_CORNERS; None if flat.

    The corner that stands out least goes first (Visvalingam & Whyatt 1993).
    """
    corners = [(round(float(a), 4), round(float(b), 4)) for a, b in zip(xs, ys, strict=True)]
    while len(corners) > max(MOST_CORNERS, 3):
        around = zip(corners[-1:] + corners[:-1], corners, corners[1:] + corners[:1], strict=True)
        sizes = [_triangle(*three) for three in around]
        corners.pop(sizes.index(min(sizes)))
    return Area(x, y, tuple(corners)) if len(set(corners)) > 2 else None


def _triangle(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return abs((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]))


def plain_label(words: str) -> str:
    """Words for a label, which Streamlit reads as Markdown: every sign of a table stays a sign."""
    return re.sub(r"([\\`*_{}\[\]()#+.!|<>~$:-])", r"\\\1", words)


def slider(label: str, key: str, ends: Span, *, on_change: Callable[[], None]) -> None:
    """A slider over `ends`; the session keeps a Span under `key`, None where all is asked for."""
    handle = f"slider {key}"
    step = _step(ends)
    low, high = math.floor(ends.low / step) * step, math.ceil(ends.high / step) * step
    low, high = round(low, 9), round(high, 9)
    asked = st.session_state.get(key)
    shown = (low, high) if asked is None else (max(low, asked.low), min(high, asked.high))
    st.session_state[handle] = shown if shown[0] <= shown[1] else (low, high)

    def take() -> None:
        chosen = st.session_state[handle]
        st.session_state[key] = None if tuple(chosen) == (low, high) else Span(*chosen)
        on_change()

    digits = f"%.{max(0, round(-math.log10(step)))}f"  # Streamlit's two hide steps of .001
    st.slider(plain_label(label), low, high, key=handle, step=step, on_change=take, format=digits)


def _step(ends: Span) -> float:
    """A round step of which 100 to 1,000 fit between the ends."""
    return float(10.0 ** math.floor(math.log10((ends.high - ends.low) / 100)))
