"""The faces behind a figure: an audit's `predictions.parquet`, counted, filtered, sorted, paged.

Nothing is held: every question is one DuckDB query on the file, which reads only the columns and
the row groups it needs, so that a million faces cost what the page of 24 costs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from audit.checksums import verify_pages
from audit.columns import identifier, quoted
from audit.errors import InputError
from audit.files import no_pattern
from audit.source import OURS, ROWS_KEY, connect
from audit.where import DERIVED, Span, Where, column_sql, condition_of

MOST_LEVELS = 50  # of a column of words that one can narrow by


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
    """The rows of an audit folder: the file, its columns that hold anything, how many faces.

    numbers: smallest and largest value of every column of numbers that has one. words: the levels
    of every other column that has 1 to MOST_LEVELS of them, sorted.
    """

    path: Path
    columns: tuple[str, ...]
    total: int
    numbers: Mapping[str, Span] = field(default_factory=dict)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Sort:
    """An order of faces. Rows that `only` excludes have no place in it; ties go by sample_id."""

    label: str
    needs: tuple[str, ...]
    order: str
    only: str


_COPY = "picture_copy IN ('identical', 'near')"
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
    "conflict": Sort(
        "Copies with conflicting labels",
        ("picture_copy", "subject_id", "age_true", "gender_true"),
        "subject_id",  # copies of one photo share it, so they stand side by side
        f"{_COPY} AND subject_id IN (SELECT subject_id FROM faces WHERE {_COPY} GROUP BY "
        "subject_id HAVING count(DISTINCT age_true) > 1 OR count(DISTINCT gender_true) > 1)",
    ),
    "id": Sort("By sample id", (), "", "true"),
}


_NUMERIC = {"DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT"}
_NAMES = {"sample_id", "subject_id", "image"}  # of one face or person: not to narrow by


def open_rows(folder: Path, *, hash_of_rows: str | None = None) -> FaceRows:
    """The rows of the audit in `folder`. Raises InputError where they are missing or cut.

    hash_of_rows: what its `result.json` says; then also where the rows are not those it counted.
    """
    path = folder / "predictions.parquet"
    if not path.is_file():
        raise InputError(
            f"no predictions.parquet in {folder}: the figures can be read, the faces behind them "
            "cannot be listed; run the audit again from its predictions table"
        )
    verify_pages(path)
    if hash_of_rows is not None:
        _refuse_others(path, hash_of_rows)
    kinds = _ask(path, "DESCRIBE SELECT * FROM faces")
    types = dict(zip(kinds["column_name"], kinds["column_type"].astype(str), strict=True))
    counted = ", ".join(f"count({identifier(name)})" for name in types)
    total, *held = _ask(path, f"SELECT count(*), {counted} FROM faces").iloc[0].tolist()
    # the ages of a table of genders alone are columns of nothing: nobody asks for them
    types = {
        n: kind for (n, kind), rows in zip(types.items(), held, strict=True) if rows or not total
    }
    return FaceRows(path, tuple(types), int(total), _numbers(path, types), _words(path, types))


def _refuse_others(path: Path, hash_of_rows: str) -> None:
    """InputError for rows of another audit, and for the table of another command of ours.

    A file that says nothing of us may be an audit's of a version that wrote no hash.
    """
    said = _ask(
        path,
        "SELECT key::VARCHAR AS key, value::VARCHAR AS value FROM parquet_kv_metadata("
        f"{quoted(no_pattern(path))}) WHERE starts_with(key::VARCHAR, {quoted(OURS)})",
    )
    if len(said) and hash_of_rows not in said["value"][said["key"] == ROWS_KEY].tolist():
        raise InputError(
            f"{path} is not of the audit in result.json beside it: the figures can be read, the "
            "faces behind them cannot be listed; run the audit again from its predictions table"
        )


def _numbers(path: Path, types: Mapping[str, str]) -> dict[str, Span]:
    names = [name for name, kind in types.items() if kind in _NUMERIC]
    asked = ", ".join(
        f"min({identifier(n)}) FILTER (isfinite({identifier(n)})), "
        f"max({identifier(n)}) FILTER (isfinite({identifier(n)}))"
        for n in names
    )
    ends = _ask(path, f"SELECT {asked} FROM faces").iloc[0].tolist() if names else []
    found = {n: ends[2 * i : 2 * i + 2] for i, n in enumerate(names)}
    return {n: Span(*map(float, pair)) for n, pair in found.items() if not pd.isna(pair).any()}


def _words(path: Path, types: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    found = {}
    for name, kind in types.items():
        if name in _NAMES or not kind.startswith(("VARCHAR", "ENUM")):
            continue
        query = f"SELECT DISTINCT {identifier(name)} AS level FROM faces WHERE level IS NOT NULL"
        levels = _ask(path, f"{query} LIMIT {MOST_LEVELS + 1}")["level"].astype(str).tolist()
        if 0 < len(levels) <= MOST_LEVELS:
            found[name] = tuple(sorted(levels))
    return found


def sorts_of(rows: FaceRows) -> list[str]:
    """The keys of SORTS that the columns allow."""
    return [key for key, sort in SORTS.items() if set(sort.needs) <= set(rows.columns)]


def count_rows(rows: FaceRows, *, where: Where | None = None, sort: str = "id") -> int:
    """How many faces hold `where` and have a place in `sort`."""
    condition, values = condition_of(rows.columns, where or {})
    query = f"SELECT count(*) AS n FROM faces WHERE {condition} AND ({SORTS[sort].only})"
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
    condition, values = condition_of(rows.columns, where or {})
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


def figures_of(rows: FaceRows, columns: Sequence[str]) -> pd.DataFrame:
    """sample_id and those of `columns` that there are, of every face, in the order of the file."""
    held = ["sample_id", *(c for c in columns if c in rows.columns)]
    return _ask(rows.path, f"SELECT {', '.join(map(identifier, held))} FROM faces")


def quantiles(
    rows: FaceRows, column: str, shares: Sequence[float], *, where: Where | None = None
) -> list[float] | None:
    """Values of `column` below which these shares of the faces in `where` lie; None without any."""
    condition, values = condition_of(rows.columns, where or {})
    asked = ", ".join(
        f"quantile_disc({column_sql(rows.columns, column)}, {min(max(float(s), 0.0), 1.0)!r})"
        for s in shares
    )
    found = _ask(rows.path, f"SELECT {asked} FROM faces WHERE {condition}", values).iloc[0].tolist()
    return None if pd.isna(found).any() else [float(x) for x in found]


def draw_points(
    rows: FaceRows, x: str, y: str, *, where: Where | None = None, most: int = 2000
) -> pd.DataFrame:
    """Columns x, y and sample_id of at most `most` faces that hold `where` and have both numbers.

    More are drawn by a hash of the sample_id: the same faces every time, whatever the order.
    """
    condition, values = condition_of(rows.columns, where or {})
    return _ask(
        rows.path,
        f"SELECT {column_sql(rows.columns, x)} AS x, {column_sql(rows.columns, y)} AS y, "
        f"sample_id FROM faces WHERE {condition} AND isfinite(x) AND isfinite(y) "
        f"ORDER BY md5(sample_id), sample_id LIMIT {int(most)}",
        values,
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
    condition, values = condition_of(rows.columns, where or {})
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
    """All faces of a cohort with all their columns that hold anything, by sample_id."""
    held = f"{'NOT ' if cohort.inverted else ''}coalesce({{0}}, false)"
    found = ask(rows, f"SELECT * FROM faces WHERE {held} ORDER BY sample_id", cohort.where)
    return found[list(rows.columns)]


def ask(rows: FaceRows, query: str, *wheres: Where) -> pd.DataFrame:
    """The answer to a query on the view `faces` in which `{0}`, `{1}` ... stand for `wheres`.

    Each once, in this order; each becomes a condition that is true, false or NULL of every face.
    """
    asked = [condition_of(rows.columns, where) for where in wheres]
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


def _ask(path: Path, query: str, values: Sequence[Any] = ()) -> pd.DataFrame:
    try:
        stat = path.stat()
        opened = _opened(path, stat.st_mtime_ns, stat.st_size)
        with opened.cursor() as connection:  # viewers ask at the same time
            return connection.execute(query, list(values)).df()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; run the audit again") from error
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read {path}: {reason}; run the audit again") from error


@lru_cache(maxsize=4)
def _opened(path: Path, modified: int, size: int) -> duckdb.DuckDBPyConnection:
    """A database whose view `faces` is the file; kept, for opening one costs as a query does."""
    del modified, size
    connection = connect()
    connection.read_parquet(no_pattern(path)).create_view("faces")
    return connection
