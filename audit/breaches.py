"""What breaks the contract: rows that are left out, and tables that are refused."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from audit.columns import INFINITE_WORDS, Column
from audit.config import OLDEST
from audit.contract import EXACT_ROWS, NUMBERS, Table, no_id
from audit.errors import InputError
from audit.table_words import is_word, parts_left_out
from audit.words import IN_YEARS, agreed, no_age

_ODD_AGE = f"age_true is not from 0 to {OLDEST}"
_IS_ODD_AGE = f"NOT age_true BETWEEN 0 AND {OLDEST}"
_ID_BITS = 2**27  # ids of whole numbers within such a range are checked by bits, 16 MB of them


def refuse_texts(table: Table) -> None:
    """InputError where a column of ages holds texts that are none, with the first of them.

    A stray word passes as a missing number; decimal commas, or more than half of all, do not. A
    score must be one in every row (`breaches`).
    """
    ages = {n: table.columns[n] for n in NUMBERS if table.has(n) and n != "gender_score"}
    texts = {n: column for n, column in ages.items() if column.kind in {"text", "other"}}
    if not texts:
        return
    asked = []
    for column in texts.values():
        commas = f"regexp_full_match(trim({column.text}), '[-+]?[0-9]+,[0-9]+')"
        wrong = f"coalesce({_no_number(column)}, false)"
        asked += [
            f"count(*) FILTER ({wrong})",
            f"count(*) FILTER ({wrong} AND {commas})",
            f"count({column.number})",
        ]
    [found] = table.source.rows(f"SELECT {', '.join(asked)} FROM raw")
    for i, column in enumerate(texts.values()):
        wrong_n, commas_n, given = map(int, found[3 * i : 3 * i + 3])
        if not commas_n and 2 * wrong_n <= given:
            continue
        order = " ORDER BY row_at" if table.source.ordered else ""
        at, word = table.source.rows(
            f"SELECT row_at, {column.text} FROM raw WHERE {_no_number(column)}{order} LIMIT 1"
        )[0]
        place = f"{table.source.place(at)}, " if table.source.ordered else ""
        hint = "decimals are written with a point" if commas_n else no_age(word)
        hint = f"; {hint}" if hint else ""
        raise InputError(
            f"{table.source.label}: {column.name} is no number in {wrong_n:,} of {given:,} rows "
            f"(first: {place}{word!r}){hint}"
        )


def _no_number(column: Column) -> str:
    written = f"lower(trim({column.text})) IN {INFINITE_WORDS}"
    return f"NOT isfinite({column.number}) AND NOT {written}"


def reasons(table: Table) -> list[tuple[str, str]]:
    """Why a row is left out: words, and SQL on `typed`; a row has the first reason that holds."""
    found = []
    for part in parts_left_out(table):
        words = [w for w, p in table.words["split"].items() if p == part]
        found.append((f"split is {part}", is_word("split", words)))
    heads = []
    if table.has("age_true", "age_pred"):
        heads.append("coalesce(isfinite(age_pred), false)")
    if table.has("age_true"):
        found.append(("age_true is empty", "age_true IS NULL"))
        found.append((_ODD_AGE, _IS_ODD_AGE))
    if table.has("gender_true"):
        heads.append("(y IS NOT NULL AND called IS NOT NULL)")
    found.append(("no finite age and no gender call", f"NOT ({' OR '.join(heads)})"))
    return found


@dataclass(frozen=True)
class Breach:
    """Rows that make the whole table wrong: SQL on `typed`, and the words for (rows, place, value).

    `shown` names the columns whose values are shown of the first such row, as they stand there.
    """

    sql: str
    shown: tuple[str, ...]
    words: Callable[[str, str, str], str]


def breaches(table: Table) -> dict[str, Breach]:
    """What the contract forbids, for the columns that the table has."""
    found = {
        "gender_score": Breach(
            "NOT gender_score BETWEEN 0 AND 1",
            ("gender_score",),
            lambda n, at, value: (
                f"gender_score is not from 0 to 1 in {n} (first: {at}, {value}); it is P(female): "
                "turn logits by 1 / (1 + exp(-x)), divide percent by 100"
            ),
        ),
        "age_low": Breach(
            "age_low > age_high",
            ("age_low", "age_high"),
            lambda n, at, value: (
                f"age_low is above age_high in {n} (first: {at}, {value}); are the two swapped?"
            ),
        ),
        "age_std": Breach(
            "NOT (age_std > 0 AND isfinite(age_std))",
            ("age_std",),
            lambda n, at, value: (
                f"age_std is not above 0 in {n} (first: {at}, {value}); "
                "it is a standard deviation in years, empty where there is none"
            ),
        ),
        "sample_id": Breach(
            no_id(table, "sample_id"),
            ("sample_id",),
            lambda n, at, _: (
                f"sample_id is empty in {n} (first: {at}); give every face its own, "
                "or leave the whole column out"
            ),
        ),
    }
    return {name: breach for name, breach in found.items() if table.has(name)}


def refuse_range(table: Table, left_out: Mapping[str, int], rows: int) -> None:
    """InputError where most true ages lie out of range: they are no years, and the rest neither.

    A few stray ages are left out and counted; of months, those of babies would pass for years.
    """
    known = rows - sum(n for why, n in left_out.items() if why.startswith("split is"))
    odd = left_out.get(_ODD_AGE, 0)
    if 2 * odd <= known:
        return
    place, values = _first_breach(table, _IS_ODD_AGE, ("age_true",))
    raise InputError(
        f"{table.source.label}: {_ODD_AGE} in {odd:,} of {known:,} rows (first: {place}, "
        f"{str(values[0])!r}); {IN_YEARS}"
    )


def refuse(table: Table, name: str, rows: int) -> InputError:
    """The error for `rows` rows that breach the contract in column `name`."""
    breach = breaches(table)[name]
    place, values = _first_breach(table, breach.sql, breach.shown)
    value = " to ".join(map(repr, map(str, values))) if None not in values else "empty"
    many = f"{rows:,} row{'s' if rows > 1 else ''}"
    words = breach.words(many, place, value)
    return InputError(f"{table.source.label}: {words}")


def _first_breach(table: Table, sql: str, shown: Sequence[str]) -> tuple[str, tuple[object, ...]]:
    """Where the first row stands of which `sql` is true, and its values of the columns `shown`."""
    source = table.source
    if not source.ordered:
        names = ", ".join(shown)
        first = f"SELECT sample_id, {names} FROM typed WHERE {sql} ORDER BY 1 LIMIT 1"
        name, *given = source.rows(first)[0]
        return f"sample_id {name}", tuple(given)
    first = f"SELECT row_at FROM typed WHERE {sql} ORDER BY row_at LIMIT 1"
    at = source.rows(first)[0][0]
    texts = ", ".join(table.columns[c].text for c in shown)
    return source.place(at), source.rows(f"SELECT {texts} FROM raw WHERE row_at = {at}")[0]


def check_ids(table: Table, rows: int) -> bool:
    """Whether `sample_id` is known to be unique; False where the table is too long to look.

    Raises InputError that lists the first ten ids which are not.
    """
    if not table.has("sample_id"):
        return True
    if rows > EXACT_ROWS and not table.settings.check_ids:
        return False
    if _distinct_ids(table) == rows:
        return True
    twins = table.source.rows(
        "SELECT sample_id, count(*), count(*) OVER () FROM typed GROUP BY 1 HAVING count(*) > 1 "
        "ORDER BY 1 LIMIT 10"
    )
    if not twins:
        return True
    shown = ", ".join(f"{word} ({n} times)" for word, n, _ in twins)
    ids = twins[0][2]
    more = f" and {ids - len(twins):,} more" if ids > len(twins) else ""
    raise InputError(
        f"{table.source.label}{_several(table.source.files)}: sample_id is not unique, "
        f"{ids:,} {agreed(ids, 'stands', 'stand')} "
        f"in several rows: {shown}{more}; give every face its own (a person goes in subject_id)"
    )


def _several(files: Sequence[str]) -> str:
    """The first of several files, in brackets: one of them may be none of these predictions."""
    if len(files) < 2:
        return ""
    named = [os.path.relpath(file, os.path.commonpath(files)) for file in files[:3]]
    return f" ({len(files)} files: {', '.join(named)}{', ...' if len(files) > 3 else ''})"


def _distinct_ids(table: Table) -> int:
    """How many ids there are, or hashes of ids: equal ids have equal hashes, and they are cheaper.

    Whole numbers that lie close together are marked in a row of bits, far cheaper again.
    """
    column = table.columns["sample_id"]
    if column.kind != "whole":
        return int(table.source.one("SELECT count(DISTINCT hash(sample_id)) AS n FROM typed")["n"])
    counted = f"count(DISTINCT {column.sql})"
    ends = table.source.one(f"SELECT min({column.sql}) AS low, max({column.sql}) AS high FROM raw")
    low, high = ends["low"], ends["high"]
    if low is not None and high - low < _ID_BITS:
        counted = f"bit_count(bitstring_agg({column.sql}, {low}, {high}))"
    return int(table.source.one(f"SELECT {counted} AS n FROM raw")["n"])
