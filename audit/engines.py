"""Where a table is read and added up: DuckDB in this process, Spark, or what Ibis can reach."""

import warnings
from pathlib import Path

import pandas as pd

from audit.errors import InputError
from audit.source import Source, open_source
from audit.words import nearest

DUCKDB, SPARK, IBIS = "duckdb", "spark", "ibis:"


def engine_named(engine: str, master: str | None = None) -> str:
    """The engine that `--engine` and `--master` name; InputError where they name none."""
    if engine in {DUCKDB, SPARK} or engine.startswith(IBIS):
        if master is None:
            return engine
        if engine == SPARK:
            return f"{SPARK}:{master}"
        raise InputError(
            f"--master is Spark's: give --engine spark, or leave --master {master} out"
        )
    raise _unknown(engine)


def open_table(
    source: Path | pd.DataFrame, *, threads: int | None = None, engine: str = DUCKDB
) -> Source:
    """Make `source` the lazy relation `raw` of an engine.

    engine: `duckdb` (see `audit.source.open_source`); `spark` or `spark:MASTER` (see
    `audit.spark.open_spark`); `ibis:URL` (see `audit.warehouse.open_warehouse`). A DataFrame is
    DuckDB's alone. Raises InputError as they do.
    """
    if engine == DUCKDB:
        return open_source(source, threads=threads)
    if isinstance(source, pd.DataFrame):
        raise InputError(f"a DataFrame is read by DuckDB alone, not by {engine}; give its path")
    kind, _, where = engine.partition(":")
    with warnings.catch_warnings():
        # pyspark says that it does not support pandas 3 in full, of which nothing is used here.
        warnings.simplefilter("ignore", FutureWarning)
        if kind == SPARK:
            from audit.spark import open_spark

            return open_spark(source, master=where or None, threads=threads)
        if engine.startswith(IBIS):
            from audit.warehouse import open_warehouse

            return open_warehouse(source, url=where)
    raise _unknown(engine)


def _unknown(engine: str) -> InputError:
    return InputError(f"unknown engine {engine!r}; {nearest(engine, (DUCKDB, SPARK, 'ibis:URL'))}")
