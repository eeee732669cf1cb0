"""Features: the columns whose levels split the faces, with the codes of their levels in SQL."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from audit.errors import InputError
from audit.source import Column, Source, quoted

UNKNOWN = "unknown"
QUINTILES = (0.2, 0.4, 0.6, 0.8)
_MISSING = {"", "nan", "<na>", "inf", "-inf"}  # "none" and "na" may be levels of their own
EXACT_ROWS = 5_000_000  # up to here order statistics and distinct counts hold all values


@dataclass(frozen=True)
class Feature:
    """A column whose levels split the faces. `levels` stand in the feature's own order.

    `ordered` is True for ages and cut numbers; `cuts` are the inner edges of a cut number.
    `unknown`, where rows lack a level, is the last level.
    """

    name: str
    levels: tuple[str, ...]
    ordered: bool = False
    cuts: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Coded:
    """A feature with the SQL of its codes (TINYINT or SMALLINT: positions in `levels`)."""

    feature: Feature
    sql: str


def words_of(
    source: Source, column: Column, where: str, *, most: int
) -> list[tuple[str | None, int]] | None:
    """Distinct raw texts of a column and their rows, or None where they are far more than `most`.

    The gate is the engine's sketch (bounded memory, right within a few percent): four times `most`
    in the sketch is more than `most` for sure. Nothing else depends on it.
    """
    sketch = source.one(f"SELECT approx_count_distinct({column.sql}) AS n FROM raw WHERE {where}")
    if sketch["n"] > 4 * most + 20:
        return None
    rows = source.rows(
        f"SELECT {column.text} AS word, count(*) FROM raw WHERE {where} GROUP BY 1 ORDER BY 1"
    )
    return [(word, n) for word, n in rows]


def read_words(words: Sequence[str | None]) -> dict[str | None, str]:
    """Each raw text -> its level: `1`, `1.0` and `01` are one level in a column of numbers.

    A column is of numbers when all its non-missing texts are; `True`/`true` are one level when
    all are truth values. So a level does not depend on the type its file happened to use.
    """
    given = {w: w.strip() for w in words if w is not None and not is_missing(w)}
    numbers = {w: _number(t) for w, t in given.items()}
    if given and all(x is not None for x in numbers.values()):
        levels = {w: _shown(x) for w, x in numbers.items() if x is not None}
    elif given and {t.lower() for t in given.values()} <= {"true", "false"}:
        levels = {w: t.lower() for w, t in given.items()}
    else:
        levels = given
    return {w: levels.get(w, UNKNOWN) for w in words}


def is_missing(word: str | None) -> bool:
    """Whether a text stands for no level at all."""
    return word is None or word.strip().lower() in _MISSING


def sorted_levels(levels: set[str]) -> tuple[str, ...]:
    """Levels in their own order: numbers by size, words by spelling, `unknown` last."""
    known = levels - {UNKNOWN}
    numbers = {level: _number(level) for level in known}
    if all(x is not None for x in numbers.values()):
        ranked = sorted(known, key=lambda level: numbers[level] or 0.0)
    else:
        ranked = sorted(known)
    return (*ranked, *(levels & {UNKNOWN}))


def code_sql(column: Column, words: Mapping[str | None, str], levels: Sequence[str]) -> str:
    """SQL of the position in `levels` of a column's raw text (a lookup, quick on dictionaries)."""
    position = {level: i for i, level in enumerate(levels)}
    listed = [w for w in words if w is not None]
    texts = ", ".join(map(quoted, listed))
    codes = ", ".join(str(position[words[w]]) for w in listed)
    missing = position.get(UNKNOWN, 0)
    if not listed:
        return f"{missing}::SMALLINT"
    return f"coalesce(([{codes}])[list_position([{texts}], {column.text})], {missing})::SMALLINT"


def cut_sql(number: str, cuts: Sequence[float], *, unknown: int | None = None) -> str:
    """SQL of the left-closed bin of a number: how many inner edges it has reached."""
    steps = (
        " + ".join(f"({number} >= {edge!r}::DOUBLE)::SMALLINT" for edge in cuts) or "0::SMALLINT"
    )
    if unknown is None:
        return f"({steps})"
    return f"CASE WHEN isfinite({number}) THEN {steps} ELSE {unknown} END::SMALLINT"


def cut_labels(cuts: Sequence[float]) -> tuple[str, ...]:
    """`< 10`, `10–20`, `≥ 20`: names of left-closed bins, with as few digits as tell them apart."""
    for digits in range(3, 18):
        shown = [f"{edge:.{digits}g}" for edge in cuts]
        if len(set(shown)) == len(shown):
            break
    inner = [f"{low}–{high}" for low, high in zip(shown, shown[1:], strict=False)]
    return (f"< {shown[0]}", *inner, f"≥ {shown[-1]}")


def own_feature(
    source: Source,
    column: Column,
    where: str,
    *,
    cuts: Sequence[float] | None,
    most: int,
    rows: int,
    asked: bool,
) -> Coded | str:
    """A column of the table as a feature, or why it is none.

    Numbers given `cuts` are cut there; whole numbers and text of at most `most` levels are levels;
    other numbers are cut at the quintiles of the rows of `where`. With `asked`, a text of more
    levels is an InputError, not a reason.
    """
    words = None if cuts else words_of(source, column, where, most=most)
    levels = read_words([w for w, _ in words]) if words is not None else {}
    numeric = _is_numeric(source, column, where, levels)
    whole = all(_is_whole(v) for v in levels.values() if v != UNKNOWN)
    if cuts is not None:
        if not numeric:
            raise InputError(f"--cuts names {column.name!r}, which holds words, not numbers")
        return _cut(source, column, where, list(cuts))
    if words is None or (numeric and not whole) or len(set(levels.values())) > most:
        if numeric:
            return _cut(source, column, where, quintiles(source, column, where, rows=rows))
        count = f"more than {most}" if words is None else str(len(set(levels.values())))
        if asked:
            raise InputError(
                f"feature {column.name!r} has {count} levels, at most {most} are compared; "
                "group them, or raise --max-groups"
            )
        return f"{column.name!r} has {count} levels and is no feature (--max-groups, --by)"
    ranked = sorted_levels(set(levels.values()))
    feature = Feature(column.name, ranked)
    return Coded(feature, code_sql(column, levels, ranked))


def _is_numeric(
    source: Source, column: Column, where: str, levels: Mapping[str | None, str]
) -> bool:
    if column.kind != "text":
        return True
    if levels:
        known = [v for v in levels.values() if v != UNKNOWN]
        return bool(known) and all(_number(v) is not None for v in known)
    x = column.number
    return bool(
        source.one(
            f"SELECT coalesce(bool_and(isfinite(x) OR isnan(x)), false) AS yes FROM "
            f"(SELECT {x} AS x FROM raw WHERE {where}) WHERE x IS NOT NULL"
        )["yes"]
    )


def quintiles(source: Source, column: Column, where: str, *, rows: int) -> list[float]:
    """Inner edges at the sample quintiles: the ⌈pn⌉-th smallest finite values, ties made one.

    Order statistics are exact, so that they depend neither on the order of the rows nor on the
    engine.
    """
    del rows
    inner = f"SELECT {column.number} AS x FROM raw WHERE {where}"
    got = source.one(
        f"SELECT quantile_disc(x, {list(QUINTILES)}) AS q, min(x) AS low "
        f"FROM ({inner}) WHERE isfinite(x)"
    )
    return sorted({float(q) for q in got["q"] or () if q > got["low"]})


def _cut(source: Source, column: Column, where: str, cuts: list[float]) -> Coded | str:
    if not cuts:
        return f"{column.name!r} holds one number only and is no feature"
    missing = source.one(
        f"SELECT count(*) FILTER (NOT coalesce(isfinite(x), false)) AS n "
        f"FROM (SELECT {column.number} AS x FROM raw WHERE {where})"
    )["n"]
    labels = cut_labels(cuts)
    levels = (*labels, UNKNOWN) if missing else labels
    feature = Feature(column.name, levels, ordered=True, cuts=tuple(cuts))
    return Coded(feature, cut_sql(column.number, cuts, unknown=len(labels)))


def nearest(name: str, known: Sequence[str]) -> str:
    """`did you mean 'race'?`, or the list of what there is."""
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"


def _number(text: str) -> float | None:
    try:
        x = float(text)
    except ValueError:
        return None
    return x if math.isfinite(x) else None


def _is_whole(text: str) -> bool:
    x = _number(text)
    return x is None or x == math.floor(x)


def _shown(x: float) -> str:
    return str(int(x)) if x == math.floor(x) else repr(x)
