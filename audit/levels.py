"""Levels: what the values of a column are called, whatever type its file gave them."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from audit.columns import INFINITE_WORDS, Column, quoted
from audit.source import Source

UNKNOWN = "unknown"
FIFTHS = (1, 2, 3, 4)
_MISSING = {"", "nan", "<na>", *INFINITE_WORDS}  # "none" and "na" may be levels of their own
_HELD = 100_000  # values fetched to rank them here; more are narrowed by counting first
_BINS = 2**16


def words_of(
    source: Source, column: Column, rows: str, *, most: int
) -> dict[str | None, int] | None:
    """Rows of each distinct raw text of a column; None where they are far more than `most`.

    The gate is the engine's sketch (bounded memory, right within a few percent): four times `most`
    in the sketch is more than `most` for sure. Nothing else depends on it.
    """
    sketch = source.one(f"SELECT approx_count_distinct({column.sql}) AS n FROM {rows}")
    if sketch["n"] > 4 * most + 20:
        return None
    sql = f"SELECT {column.text} AS word, count(*) FROM {rows} GROUP BY 1 ORDER BY 1"
    return dict(source.rows(sql))


def read_words(words: Sequence[str | None], *, comma: bool = False) -> dict[str | None, str]:
    """Each raw text -> its level: `1`, `1.0` and `01` are one level in a column of numbers.

    A column is of numbers when all its non-missing texts are; `True` and `true` are one level when
    all are truth values. So a level does not depend on the type its file happened to use. With
    `comma`, decimals are written with one.
    """
    given = {w: w.strip() for w in words if w is not None and not is_missing(w)}
    numbers = {w: number_of(t.replace(",", ".") if comma else t) for w, t in given.items()}
    if all(x is not None for x in numbers.values()):
        levels = {w: _shown(given[w], x) for w, x in numbers.items() if x is not None}
    elif {t.lower() for t in given.values()} <= {"true", "false"}:
        levels = {w: t.lower() for w, t in given.items()}
    else:
        levels = given
    return {w: UNKNOWN if w is None else levels.get(w, UNKNOWN) for w in words}


def is_missing(word: str | None) -> bool:
    """Whether a text stands for no level at all."""
    return word is None or word.strip().lower() in _MISSING


def sorted_levels(levels: set[str]) -> tuple[str, ...]:
    """Levels in their own order: numbers by size, words by spelling, `unknown` last."""
    known = levels - {UNKNOWN}
    numbers = {level: x for level in known if (x := number_of(level)) is not None}
    ranked = sorted(known)  # first by spelling, for long numbers may be one float
    if len(numbers) == len(known):
        ranked.sort(key=lambda level: (numbers[level], _whole(level) or 0))
    return (*ranked, *(levels & {UNKNOWN}))


def code_sql(column: Column, words: Mapping[str | None, str], levels: Sequence[str]) -> str:
    """SQL of the position in `levels` of a column's raw text: a lookup, quick on dictionaries."""
    position = {level: i for i, level in enumerate(levels)}
    listed = [w for w in words if w is not None]
    codes = ", ".join(str(position[words[w]]) for w in listed)
    missing = position.get(UNKNOWN, 0)
    if not listed:
        return f"{missing}::SMALLINT"
    whole = column.kind == "whole"
    keys = ", ".join(listed if whole else map(quoted, listed))
    value = column.sql if whole else column.text
    return f"coalesce(([{codes}])[list_position([{keys}], {value})], {missing})::SMALLINT"


def cut_sql(number: str, cuts: Sequence[float], *, unknown: int | None = None) -> str:
    """SQL of the left-closed bin of a number: how many inner edges it has reached."""
    steps = [f"({number} >= {float(edge)!r}::DOUBLE)::SMALLINT" for edge in cuts]
    reached = " + ".join(steps) or "0::SMALLINT"
    if unknown is None:
        return f"({reached})"
    return f"CASE WHEN isfinite({number}) THEN {reached} ELSE {unknown} END::SMALLINT"


def cut_labels(cuts: Sequence[float]) -> tuple[str, ...]:
    """`< 10`, `10–20`, `≥ 20`: names of left-closed bins, with as few digits as tell them apart.

    Whole numbers are shown whole, and of others no digit before the point is rounded away.
    """
    shown = [repr(edge) for edge in cuts]
    for digits in range(3, 17):
        short = [_short(edge, digits) for edge in cuts]
        if len(set(short)) == len(short):
            shown = short
            break
    inner = [f"{low}–{high}" for low, high in pairwise(shown)]
    return (f"< {shown[0]}", *inner, f"≥ {shown[-1]}")


def _short(edge: float, digits: int) -> str:
    size = abs(edge)
    if not 1e-5 <= size < 1e15:  # 0 too
        return f"{edge:.{digits}g}"
    if edge == math.floor(edge):
        return str(int(edge))
    kept = max(digits, len(str(int(size))))
    return np.format_float_positional(edge, kept, unique=False, fractional=False, trim="-")


def quintiles(source: Source, column: Column, rows: str) -> tuple[float, ...]:
    """Inner edges at the sample quintiles of the finite values, ties made one.

    The q-quintile is the ⌈qn/5⌉-th smallest value, found exactly, so that neither the order of the
    rows nor the engine decides a cut. An edge at the smallest value would leave its bin empty.
    """
    finite = f"(SELECT {column.number} AS x FROM {rows}) WHERE isfinite(x)"
    got = source.one(f"SELECT count(*) AS n, min(x) AS low FROM {finite}")
    if not got["n"]:
        return ()
    ranks = [-(-q * got["n"] // 5) for q in FIFTHS]
    edges = {x for x in ranked(source, finite, ranks) if x > got["low"]}
    return tuple(sorted(edges))


def ranked(source: Source, rows: str, ranks: Sequence[int]) -> list[float]:
    """The k-th smallest `x` of `rows` for each k of `ranks` (from 1), exact in bounded memory.

    Values are counted in equal bins between their ends (rounding is monotone, so a bin holds a run
    of the ranking); the bins that hold a rank are fetched, or narrowed again.
    """
    ends = source.one(f"SELECT count(*) AS n, min(x) AS low, max(x) AS high FROM {rows}")
    low, high = ends["low"], ends["high"]
    if low == high:
        return [float(low)] * len(ranks)
    scale = (_BINS - 1) / (high - low)
    if ends["n"] <= _HELD or not 0 < scale < math.inf:
        values = np.sort(source.frame(f"SELECT x FROM {rows}")["x"].to_numpy())
        return [float(values[k - 1]) for k in ranks]
    place = f"floor((x - {low!r}::DOUBLE) * {scale!r}::DOUBLE)"
    bins = source.rows(f"SELECT {place} AS bin, count(*) FROM {rows} GROUP BY 1 ORDER BY 1")
    ends_at = np.cumsum([n for _, n in bins])
    found: dict[int, float] = {}
    for i in sorted({int(np.searchsorted(ends_at, k)) for k in ranks}):
        before = int(ends_at[i - 1]) if i else 0
        inside = [k for k in ranks if before < k <= ends_at[i]]
        here = f"{rows} AND {place} = {bins[i][0]!r}::DOUBLE"
        values_here = ranked(source, here, [k - before for k in inside])
        found |= dict(zip(inside, values_here, strict=True))
    return [found[k] for k in ranks]


def number_of(text: str) -> float | None:
    """A text as a finite number, or None. `18_25`, which Python reads as 1825, is none."""
    if "_" in text:
        return None
    try:
        x = float(text)
    except ValueError:
        return None
    return x if math.isfinite(x) else None


def _whole(text: str) -> int | None:
    """A whole number that is written as one, to its last digit; None for any other text."""
    return int(text) if text.lstrip("+-").isdecimal() else None


def _shown(text: str, x: float) -> str:
    """A number as a level; whole ones by their digits, for a float holds sixteen of them."""
    if (whole := _whole(text)) is not None:
        return str(whole)
    return str(int(x)) if x == math.floor(x) else repr(x)
