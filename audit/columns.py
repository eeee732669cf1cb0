"""The columns of a table: what their values are, and the SQL that reads them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb
import pyarrow as pa

from audit.errors import InputError

Kind = Literal["text", "other", "whole", "number", "single"]

_WHOLE = {f"{u}{i}" for u in ("", "U") for i in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")}
_NUMBER = ("DOUBLE", "DECIMAL", "HUGEINT", "UHUGEINT")
_TEXT = ("VARCHAR", "ENUM", "BOOLEAN", "DATE", "TIME", "UUID")


@dataclass(frozen=True)
class Column:
    """A column of the table: its name there, its name in `raw`, what its values are.

    `single` is a 32-bit float, `other` what is read as its text (truth values, dates); `comma`
    marks text whose decimals are written with a comma, `moment` dates with a time of day.
    """

    name: str
    sql: str
    kind: Kind
    comma: bool = False
    moment: bool = False

    @property
    def text(self) -> str:
        """SQL of the value as text; numbers and dates as a CSV of the same table would print them.

        Midnight is not printed: pandas has no date without a time of day, and writes none.
        """
        if self.kind == "text":
            return self.sql
        text = f"CAST({self.sql} AS VARCHAR)"
        if not self.moment:
            return text
        return f"CASE WHEN {text} LIKE '%_00:00:00' THEN left({text}, 10) ELSE {text} END"

    @property
    def number(self) -> str:
        """SQL of the value as DOUBLE: NULL or NaN where empty, infinite where it is no number.

        A 32-bit float is its shortest decimal, so that 31.005 is the same number as in a CSV.
        """
        if self.kind == "single":
            return _shortest(self.sql)
        if self.kind in {"whole", "number"}:
            return f"CAST({self.sql} AS DOUBLE)"
        # an engine may read 1_0 as ten: whoever wrote it may have meant anything
        text = f"replace({self.text}, '_', 'x')"
        text = f"replace({text}, ',', '.')" if self.comma else text
        return (
            f"CASE WHEN coalesce(lower(trim({self.text})) IN {EMPTY_WORDS}, true) THEN NULL "
            f"ELSE coalesce(TRY_CAST({text} AS DOUBLE), 'inf'::DOUBLE) END"
        )


def _shortest(single: str) -> str:
    """SQL of the double next to the shortest decimal that is the same 32-bit float.

    Rounded to no decimals, to one, to two ..., until it is that float again. Sums alone do it, so
    every engine does it alike, where their texts of floats have a digit more or less; adding and
    taking away 1.5 * 2^52 rounds to a whole number, halves to the even one.
    """
    x, big = f"CAST({single} AS DOUBLE)", "6755399441055744.0::DOUBLE"
    steps = []
    for decimals in range(23):  # up to 10^22, powers of ten are doubles
        scale = f"1e{decimals}::DOUBLE"
        rounded = f"(({x} * {scale} + {big}) - {big}) / {scale}"
        steps.append(f"WHEN CAST({rounded} AS FLOAT) = {single} THEN {rounded}")
    return f"CASE {' '.join(steps)} ELSE {x} END"


EMPTY_WORDS = ("", "na", "n/a", "nan", "null", "none", "<na>")  # in columns of numbers
INFINITE_WORDS = ("inf", "-inf", "+inf", "infinity", "-infinity", "+infinity")


def columns_of_csv(
    names: Sequence[str], delimiter: str
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Columns of a CSV with this header line, all text, and what is passed over."""
    columns = [
        Column(name, f"c{i}", "text", comma=delimiter != ",")
        for i, name in enumerate(names)
        if name and not is_index(name)
    ]
    skipped = [f"column {i + 1} (it has no name)" for i, n in enumerate(names) if not n]
    skipped += [f"column {n!r} (the index of pandas)" for n in names if is_index(n)]
    return tuple(columns), tuple(skipped)


def columns_of_arrow(
    con: duckdb.DuckDBPyConnection, schema: pa.Schema
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """As `columns_of`, where another engine gives the types: DuckDB says what it calls them."""
    unnamed = schema.empty_table().rename_columns([f"c{i}" for i in range(len(schema))])
    kinds = con.from_arrow(unnamed).types
    return columns_of([(n, str(kind)) for n, kind in zip(schema.names, kinds, strict=True)])


def columns_of(schema: Sequence[tuple[str, str]]) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Columns of a typed table, and those of kinds that no audit can use."""
    refuse_twins([name for name, _ in schema])
    columns, skipped = [], []
    for i, (name, kind) in enumerate(schema):
        sql = f"c{i}"
        if is_index(name):
            skipped.append(f"column {name!r} (the index of pandas)")
        elif kind in _WHOLE:
            columns.append(Column(name, sql, "whole"))
        elif kind == "FLOAT":
            columns.append(Column(name, sql, "single"))
        elif kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "BLOB")):
            skipped.append(f"column {name!r} (of type {kind})")
        elif kind.startswith(_NUMBER):
            columns.append(Column(name, sql, "number"))
        elif kind == "VARCHAR":
            columns.append(Column(name, sql, "text"))
        elif kind.startswith(_TEXT):
            columns.append(Column(name, sql, "other", moment=kind.startswith("TIMESTAMP")))
        else:
            skipped.append(f"column {name!r} (of type {kind})")
    return tuple(columns), tuple(skipped)


def is_index(name: str) -> bool:
    """Whether a column is the row number that pandas writes beside a table."""
    return re.fullmatch(r"__index_level_\d+__|Unnamed: \d+", name) is not None


def refuse_twins(names: Sequence[str]) -> None:
    """InputError where two columns bear one name."""
    twins = sorted({n for n in names if n and list(names).count(n) > 1})
    if twins:
        raise InputError(f"the table has two columns named {', '.join(map(repr, twins))}")


def quoted(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'
