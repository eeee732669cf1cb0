"""Features: which columns split the faces into groups, and how."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.columns import INFINITE_WORDS, Column
from audit.contract import CONDITIONS, CONTRACT, PART, Table
from audit.errors import InputError
from audit.levels import (
    UNKNOWN,
    code_sql,
    cut_labels,
    cut_sql,
    number_of,
    quintiles,
    read_words,
    sorted_levels,
    words_of,
)
from audit.metrics import BEYOND, SUMS
from audit.source import Source
from audit.words import CROSS, nearest

WEIGHTS = frozenset({"weight", "weights", "sample_weight", "sample_weights"})

# Names that the tables of a tally use beside its features.
RESERVED = frozenset(
    {
        *SUMS,
        *BEYOND,
        *"age_group_pred shard bin n female score overall error half iv pred sigma of_pred "
        "age_year pred_year read_older".split(),
    }
)


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
    """A feature with the SQL of its codes: positions in `levels`, SMALLINT."""

    feature: Feature
    sql: str


def choose_features(table: Table, rows: str) -> tuple[list[Coded], list[str]]:
    """The features asked for, or those the table offers; and notes on columns that are none.

    With `by`: exactly those and `control`. Else the table's own columns of 2 to `max_groups`
    levels in table order, but for CONDITIONS, WEIGHTS and PART that no option names, then
    gender_true, age_group.
    `rows` is what follows FROM, on `typed`.
    """
    settings, own, made = table.settings, table.own, _made_features(table)
    for name in settings.cuts:
        if name not in own:
            raise InputError(f"--cuts names {name!r}; {nearest(name, list(own))}")
    asked = (*(settings.by or ()), *settings.control)
    names = asked if settings.by else (*(n for n in own if n not in made), *made)
    names = (*names, *settings.control)
    offered = [n for n in names if n not in {*asked, *settings.cuts}]
    seen = [n for n in offered if n in CONDITIONS]
    weights = [n for n in offered if n.lower() in WEIGHTS]
    names = tuple(n for n in names if n not in {*seen, *weights} and (n != PART or n in asked))
    coded, notes = [], [] if not seen else [_unasked_words(seen)]
    parted = settings.columns.get("split") == PART and settings.split != "judge"
    if PART in own or parted:
        notes.append(_TAUGHT)
    notes += [f"{n!r} is no feature, and no weight: every row counts once." for n in weights]
    for name in dict.fromkeys(names):
        if name in made:
            coded.append(made[name])
            if name in own:
                notes.append(f"The table's own {name!r} was not read: it is made from age_true.")
            continue
        taken = _taken(name)
        if taken or name not in own:
            if name in asked:
                raise _no_feature(table, name, (*own, *made))
            notes.append(f"{name!r} {taken}: the column is no feature.")
            continue
        cuts, most = settings.cuts.get(name), settings.max_groups
        found = own_feature(
            table.source, own[name], rows, cuts=cuts, most=most, asked=name in asked
        )
        if isinstance(found, str):
            if name in asked:
                raise InputError(f"feature {found}")
            notes.append(f"{found}.")
        elif name in asked or len(found.feature.levels) > 1:
            coded.append(found)
            notes += _twins(found.feature)
        else:
            notes.append(f"{name!r} holds one level only: it is no feature.")
    return coded, notes


_TAUGHT = (
    "These readings were corrected (`faceaudit recalibrate`), and look better than they are for "
    f"the people whose {PART} is `fit`, who taught the maps: `--column split={PART} --split judge` "
    "audits the others."
)


def _twins(feature: Feature) -> list[str]:
    """A note on levels that are one word but for capital letters: two groups, as they stand."""
    spelt: dict[str, list[str]] = {}
    for level in feature.levels:
        spelt.setdefault(level.casefold(), []).append(level)
    twins = [" and ".join(map(repr, one)) for one in spelt.values() if len(one) > 1]
    if not twins:
        return []
    told = ", ".join(twins[:3])
    return [f"{feature.name}: {told} differ in capital letters only, and are groups of their own."]


def _unasked_words(names: Sequence[str]) -> str:
    return (
        f"{', '.join(names)}: these say what the pictures are like, compared when --by names them."
    )


def _taken(name: str) -> str:
    """Why no feature can have this name; empty where it can."""
    if name in RESERVED:
        return "is a name of faceaudit's own"
    return f"holds {CROSS!r}, which joins the features of a crossing" if CROSS in name else ""


def _made_features(table: Table) -> dict[str, Coded]:
    """`gender_true` and `age_group`, where the table has their columns."""
    made = {}
    if table.has("gender_true"):
        made["gender_true"] = Coded(Feature("gender_true", table.genders), "gender_level")
    if table.has("age_true"):
        feature = Feature("age_group", table.settings.age_labels, ordered=True)
        made["age_group"] = Coded(feature, cut_sql("age_true", table.settings.age_groups[1:]))
    return made


def _no_feature(table: Table, name: str, known: Sequence[str]) -> InputError:
    ours = {c.name: n for n, c in table.columns.items()}
    if name == "age_group_pred":
        return InputError(
            "age_group_pred cannot be a feature: groups of the predicted age hold those who were "
            "read alike; the audit shows them under calibration; name age_group, of the true age"
        )
    if taken := _taken(name):
        return InputError(f"no feature can be named {name!r}: it {taken}; rename it")
    if ours.get(name) in known:
        return InputError(f"{name!r} is read as {ours[name]}; name that as the feature")
    if name in ours or name in CONTRACT:
        return InputError(f"{name!r} cannot be a feature; there are: {', '.join(known)}")
    return InputError(f"{table.source.label} has no feature {name!r}; {nearest(name, known)}")


def own_feature(
    source: Source,
    column: Column,
    rows: str,
    *,
    cuts: Sequence[float] | None,
    most: int,
    asked: bool,
) -> Coded | str:
    """A column of the table as a feature, or the reason why it is none.

    Numbers given `cuts` are cut there; whole numbers and text of at most `most` levels are levels;
    other numbers are cut at the quintiles of `rows` (what follows FROM). With `asked`, a text of
    more levels is an InputError, not a reason.
    """
    words = words_of(source, column, rows, most=most)
    levels = None if words is None else read_words(list(words), comma=column.comma)
    numeric = _is_numeric(source, column, rows, levels)
    if cuts is not None:
        if not numeric:
            raise InputError(f"--cuts names {column.name!r}, which holds words, not numbers")
        return _cut(source, column, rows, tuple(map(float, cuts)))
    known = set((levels or {}).values())
    whole = all(_is_whole(level) for level in known - {UNKNOWN})
    if levels is None or len(known) > most or (numeric and not whole):
        if numeric:
            return _cut(source, column, rows, quintiles(source, column, rows))
        # the sketch that `levels` rests on may miss up to twice as many on one engine only
        few = levels is not None and len(known) <= 2 * most
        count = len(known) if few else f"more than {most}"
        words_ = f"{column.name!r} has {count} levels, at most {most} are compared"
        return _none(words_, "group them, or raise --max-groups", asked=asked)
    if joined := next((level for level in sorted(known) if CROSS in level), None):
        words_ = (
            f"{column.name!r} has the level {joined!r}, but {CROSS!r} joins levels of a crossing"
        )
        return _none(words_, "rename it", asked=asked)
    ranked = sorted_levels(known)
    return Coded(Feature(column.name, ranked), code_sql(column, levels, ranked))


def _none(words: str, mend: str, *, asked: bool) -> str:
    """Why a column is no feature; InputError for one that was asked for."""
    if asked:
        raise InputError(f"feature {words}; {mend}")
    return f"{words}: it is no feature"


def _cut(source: Source, column: Column, rows: str, cuts: tuple[float, ...]) -> Coded | str:
    if not cuts:
        return f"{column.name!r} holds one number only: it is no feature"
    holds = f"count(*) FILTER (NOT coalesce(isfinite({column.number}), false))"
    missing = source.one(f"SELECT {holds} AS n FROM {rows}")["n"]
    labels = cut_labels(cuts)
    levels = (*labels, UNKNOWN) if missing else labels
    feature = Feature(column.name, levels, ordered=True, cuts=cuts)
    return Coded(feature, cut_sql(column.number, cuts, unknown=len(labels)))


def _is_numeric(
    source: Source, column: Column, rows: str, levels: Mapping[Any, str] | None
) -> bool:
    if column.kind in {"whole", "number", "single"}:
        return True
    if levels is not None:
        known = set(levels.values()) - {UNKNOWN}
        return bool(known) and all(number_of(level) is not None for level in known)
    x = f"(SELECT {column.number} AS x, {column.text} AS w FROM {rows}) WHERE x IS NOT NULL"
    # an infinity that is written is a number; a word is infinite for want of one
    number = f"isfinite(x) OR lower(trim(w)) IN {INFINITE_WORDS}"
    asked = f"SELECT coalesce(bool_and({number}), false) AS yes FROM {x}"
    return bool(source.one(asked)["yes"])


def _is_whole(text: str) -> bool:
    x = number_of(text)
    return x is None or x == math.floor(x)
