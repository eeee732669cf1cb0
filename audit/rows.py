"""The faces behind a figure: an audit's `predictions.parquet`, counted, filtered, sorted, paged.

Nothing is held: every question is one DuckDB query on the file, which reads only the columns and
the row groups it needs, so that a million faces cost what the page of 24 costs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from audit.errors import InputError

# What is asked for: column -> levels, any of which will do; all columns must hold.
Where = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Cohort:
    """Faces that hold `where`; `inverted`: all other faces, those without a value included."""

    name: str
    where: Where
    inverted: bool = False


EVERYONE = Cohort("everyone", {})


def rest_of(cohort: Cohort) -> Cohort:
    """Everyone who is not in the cohort."""
    return Cohort("everyone else", cohort.where, inverted=not cohort.inverted)


@dataclass(frozen=True)
class FaceRows:
    """The rows of an audit folder: the file, its columns, and how many faces it holds."""

    path: Path
    columns: tuple[str, ...]
    total: int


@dataclass(frozen=True)
class Derived:
    """A column computed in the query: `sql` over `needs`, with its levels and their words."""

    label: str
    levels: Mapping[str, str]
    needs: tuple[str, ...]
    sql: str


DERIVED: Mapping[str, Derived] = {
    "age_reading": Derived(
        "age reading",
        {"close": "within 5 years", "old": "more than 5 too old", "young": "more than 5 too young"},
        ("error",),
        "CASE WHEN error > 5 THEN 'old' WHEN error < -5 THEN 'young' WHEN error IS NOT NULL "
        "THEN 'close' END",
    ),
    "gender_call": Derived(
        "gender call",
        {"right": "right", "wrong": "wrong"},
        ("gender_true", "gender_pred"),
        "CASE WHEN gender_true IN ('female', 'male') AND gender_pred IN ('female', 'male') "
        "THEN CASE WHEN gender_pred = gender_true THEN 'right' ELSE 'wrong' END END",
    ),
}


@dataclass(frozen=True)
class Sort:
    """An order of faces. Rows that `only` excludes have no place in it; ties go by sample_id."""

    label: str
    needs: tuple[str, ...]
    order: str
    only: str


SORTS: Mapping[str, Sort] = {
    "error": Sort("Largest age error", ("error",), "abs(error) DESC", "error IS NOT NULL"),
    "old": Sort("Read too old", ("error",), "error DESC", "error > 0"),
    "young": Sort("Read too young", ("error",), "error ASC", "error < 0"),
    "gender": Sort(
        "Confident and wrong gender",
        ("gender_true", "gender_pred", "gender_score"),
        "abs(gender_score - 0.5) DESC NULLS LAST",
        f"{DERIVED['gender_call'].sql} = 'wrong'",
    ),
    "wide": Sort(
        "Widest age interval",
        ("age_low", "age_high"),
        "age_high - age_low DESC",
        "age_high IS NOT NULL AND age_low IS NOT NULL",
    ),
    "id": Sort("By sample id", (), "", "true"),
}


def open_rows(folder: Path) -> FaceRows:
    """The rows of the audit in `folder`. Raises InputError where they are missing or cut."""
    path = folder / "predictions.parquet"
    if not path.is_file():
        raise InputError(
            f"no predictions.parquet in {folder}: the figures can be read, the faces behind them "
            "cannot be listed; run the audit again from its predictions table"
        )
    frame = _ask(path, "SELECT * FROM faces LIMIT 0")
    total = int(_ask(path, "SELECT count(*) AS n FROM faces")["n"].iloc[0])
    return FaceRows(path, tuple(str(c) for c in frame.columns), total)


def sorts_of(rows: FaceRows) -> list[str]:
    """The keys of SORTS that the columns allow."""
    return [key for key, sort in SORTS.items() if set(sort.needs) <= set(rows.columns)]


def count_rows(rows: FaceRows, *, where: Where | None = None, sort: str = "id") -> int:
    """How many faces hold `where` and have a place in `sort`."""
    condition, values = _condition(rows, where or {})
    query = f"SELECT count(*) AS n FROM faces WHERE {condition} AND {SORTS[sort].only}"
    return int(_ask(rows.path, query, values)["n"].iloc[0])


def page_of_rows(
    rows: FaceRows,
    *,
    where: Where | None = None,
    sort: str = "error",
    page: int = 1,
    size: int = 24,
) -> pd.DataFrame:
    """The `page`-th page (from 1) of `size` faces in the order `sort`."""
    condition, values = _condition(rows, where or {})
    query = (
        f"SELECT * FROM faces WHERE {condition} AND {SORTS[sort].only} "
        f"ORDER BY {_order(sort)} LIMIT {int(size)} OFFSET {(int(page) - 1) * int(size)}"
    )
    return _ask(rows.path, query, values)


def rows_of(rows: FaceRows, sample_ids: Sequence[str]) -> pd.DataFrame:
    """The faces of these ids, in their order; ids that are not there are passed over."""
    if not sample_ids:
        return _ask(rows.path, "SELECT * FROM faces LIMIT 0")
    marks = ", ".join("?" * len(sample_ids))
    query = f"SELECT * FROM faces WHERE sample_id IN ({marks})"
    found = _ask(rows.path, query, list(sample_ids)).drop_duplicates("sample_id")
    return found.set_index("sample_id", drop=False).reindex(
        [i for i in sample_ids if i in set(found["sample_id"])]
    )


@dataclass(frozen=True)
class FacePlace:
    """One face, its neighbours in an order (None at the ends), and its place in it from 1.

    `place` is None for a face that the filter or the order leaves out. `larger_than` is the share
    of all faces whose absolute age error is smaller, NaN without one.
    """

    row: Mapping[str, Any]
    place: int | None
    previous: str | None
    following: str | None
    larger_than: float


def find_row(
    rows: FaceRows, sample_id: str, *, where: Where | None = None, sort: str = "error"
) -> FacePlace | None:
    """The face `sample_id` and its neighbours in `sort`; None when no face has that id."""
    found = _ask(rows.path, "SELECT * FROM faces WHERE sample_id = ? LIMIT 1", [sample_id])
    if found.empty:
        return None
    condition, values = _condition(rows, where or {})
    placed = _ask(
        rows.path,
        "SELECT place, previous, following FROM (SELECT sample_id, row_number() OVER w AS place, "
        "lag(sample_id) OVER w AS previous, lead(sample_id) OVER w AS following FROM faces "
        f"WHERE {condition} AND {SORTS[sort].only} WINDOW w AS (ORDER BY {_order(sort)})) "
        "WHERE sample_id = ? LIMIT 1",
        [*values, sample_id],
    )
    row = {str(k): (None if pd.isna(v) else v) for k, v in found.iloc[0].items()}
    place, previous, following = None, None, None
    if not placed.empty:
        place = int(placed["place"].iloc[0])
        previous, following = (_text(placed[c].iloc[0]) for c in ("previous", "following"))
    return FacePlace(row, place, previous, following, _larger_than(rows, row.get("error")))


def faces_of(rows: FaceRows, cohort: Cohort) -> pd.DataFrame:
    """All faces of a cohort with all their columns, by sample_id."""
    held = f"{'NOT ' if cohort.inverted else ''}coalesce({{0}}, false)"
    return ask(rows, f"SELECT * FROM faces WHERE {held} ORDER BY sample_id", cohort.where)


def ask(rows: FaceRows, query: str, *wheres: Where) -> pd.DataFrame:
    """The answer to a query on the view `faces` in which `{0}`, `{1}` ... stand for `wheres`.

    Each once, in this order; each becomes a condition that is true, false or NULL of every face.
    """
    asked = [_condition(rows, where) for where in wheres]
    values = [level for _, levels in asked for level in levels]
    put = re.sub(r"\{(\d)\}", lambda found: f"({asked[int(found[1])][0]})", query)
    return _ask(rows.path, put, values)


def _larger_than(rows: FaceRows, error: float | None) -> float:
    if error is None:
        return float("nan")
    query = "SELECT avg(CAST(abs(error) < ? AS INT)) AS share FROM faces WHERE error IS NOT NULL"
    return float(_ask(rows.path, query, [abs(float(error))])["share"].iloc[0])


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


def _order(sort: str) -> str:
    return ", ".join(part for part in (SORTS[sort].order, "sample_id") if part)


def _condition(rows: FaceRows, where: Where) -> tuple[str, list[str]]:
    """The SQL of `where` with a placeholder per level: names are quoted, levels never spliced."""
    parts = ["true"]
    values: list[str] = []
    for column, levels in where.items():
        if column in DERIVED:
            expression = DERIVED[column].sql
        elif column in rows.columns:
            expression = '"' + column.replace('"', '""') + '"'
        else:
            raise InputError(f"no column {column!r} in {rows.path}")
        if levels:
            parts.append(f"({expression}) IN ({', '.join('?' * len(levels))})")
            values.extend(levels)
    return " AND ".join(parts), values


def _ask(path: Path, query: str, values: Sequence[Any] = ()) -> pd.DataFrame:
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.read_parquet(str(path)).create_view("faces")
            return connection.execute(query, list(values)).df()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read {path}: {reason}; run the audit again") from error
