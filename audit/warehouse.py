"""A table that lives in an engine which Ibis can reach: a warehouse, a database, a local file.

Needs ibis-framework with the backend's own parts; the extra `ibis` brings the first.
"""

import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

from audit.columns import columns_of_arrow
from audit.engine import TABLE, Engine
from audit.errors import InputError
from audit.source import Source, connect, key_values

_LACKING = ("sqlite",)  # it estimates no number of different values, for one


def open_warehouse(source: Path, *, url: str) -> Source:
    """A table of the connection `ibis.connect(url)` as the relation `raw`; its schema is read.

    source: the table's name, with or without `table:`, and its schema and catalogue before it; or
    a Parquet file that exists, which the backend reads. Raises InputError where there is none.
    """
    con = connect()
    backend = _connected(url)
    if not hasattr(backend, "raw_sql"):  # Polars, say, whose queries are objects
        raise InputError(f"--engine ibis:{url}: {backend.name} takes no SQL, which counts rows")
    if backend.name in _LACKING:
        raise InputError(
            f"--engine ibis:{url}: {backend.name} lacks functions that the counts need; write the "
            "table as Parquet or CSV, and audit that without --engine"
        )
    name = str(source).removeprefix(TABLE)
    table = _table(backend, source, name, url)
    schema = table.schema().to_pyarrow()
    columns, skipped = columns_of_arrow(con, schema)
    names = {f"c{i}": their for i, their in enumerate(schema.names)}
    kept = {c.sql for c in columns}
    raw = table.select(**{ours: table[their] for ours, their in names.items() if ours in kept})
    raw = raw.mutate(row_at=ibis.null("int64"))
    doubles = [f"c{i}" for i, one in enumerate(schema) if pa.types.is_float64(one.type)]
    engine = Engine(
        name=f"{backend.name} {backend.version}",
        dialect=backend.dialect,
        run=_runner(backend, name),
        stop=lambda: None,
        raw=str(backend.compile(raw)),
        doubles=frozenset(doubles),
    )
    metadata = key_values(source) if _is_read(backend, source) else {}
    return Source(con, name, columns, (), 0, metadata, skipped, engine, ordered=False)


def _connected(url: str) -> Any:
    try:
        return ibis.connect(url)
    except Exception as error:  # each backend has errors of its own
        if isinstance(error, ModuleNotFoundError):
            raise InputError(f"--engine ibis:{url} needs {error.name}: pip install it") from error
        raise InputError(f"--engine ibis:{url}: {_first(error)}") from error


def _is_read(backend: Any, source: Path) -> bool:
    """Whether the table is a Parquet file that the backend reads, not a table of its own."""
    return source.is_file() and hasattr(backend, "read_parquet")


def _table(backend: Any, source: Path, name: str, url: str) -> Any:
    try:
        if _is_read(backend, source):
            return backend.read_parquet(source)
        *above, last = name.split(".")
        database = tuple(above) if len(above) > 1 else above[0] if above else None
        return backend.table(last, database=database)
    except Exception as error:  # each backend has errors of its own
        raise InputError(f"ibis:{url} has no table {name}: {_first(error)}") from error


def _runner(backend: Any, label: str) -> Callable[[str], pa.Table]:
    def run(sql: str) -> pa.Table:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # backends and their clients warn of each other
            try:
                return _rows(backend.raw_sql(sql))
            except Exception as error:  # each backend has errors of its own
                raise InputError(f"{backend.name} cannot count {label}: {_first(error)}") from error

    return run


def _rows(answer: Any) -> pa.Table:
    """What a backend gives for a query: Arrow by one of its names, or a cursor of Python's DB-API.

    `Backend.sql` would ask for the types first, for which some backends write a view.
    """
    for name in ("to_arrow_table", "fetch_arrow_all", "to_arrow"):
        if hasattr(answer, name):
            return getattr(answer, name)()
    names = [column[0] for column in answer.description]
    with closing(answer):
        rows = answer.fetchall()
    return pa.table([pa.array([row[i] for row in rows]) for i in range(len(names))], names=names)


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
