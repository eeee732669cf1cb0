"""A table that Spark reads: files that it can see, or a table of its catalogue.

Needs pyspark and Java 17; the extra `spark` brings the first.
"""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlparse

import duckdb
import pyarrow as pa
from pyspark import SparkConf, SparkContext
from pyspark.errors import AnalysisException, ParseException, PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession
from pyspark.sql import functions as f
from pyspark.sql.pandas.types import to_arrow_schema

from audit.columns import columns_of_arrow, columns_of_csv
from audit.csv_header import common_header, unpacked_bytes
from audit.engine import TABLE, Engine
from audit.errors import InputError
from audit.files import files_of
from audit.source import HELD_BYTES, Source, all_parquet, connect, key_values

Frame = Any  # a DataFrame of Spark's

MOST_FILES = 500  # more Parquet files are read without saying which of them a row stands in
INSTALL_JAVA = "Spark needs Java 17 or newer (on Debian: apt-get install openjdk-17-jre-headless)"
_ROW_BITS = 2**33 - 1  # of monotonically_increasing_id: the row within its part

# The user's session may be set otherwise: these decide what a text or a sum means.
_MEANING = {
    "spark.sql.ansi.enabled": "false",  # so that a text which is no number is NULL, not an error
    "spark.sql.caseSensitive": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.groupByOrdinal": "true",
    "spark.sql.orderByOrdinal": "true",
    "spark.sql.csv.parser.columnPruning.enabled": "false",  # a short line is an error in any scan
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
}


def open_spark(source: Path, *, master: str | None = None, threads: int | None = None) -> Source:
    """`source` as the relation `raw` of a Spark session; nothing but headers and schemas is read.

    source: a path as for `audit.source.open_source`; an address that Spark knows (`s3a://...`) of
    Parquet; or `table:NAME` of the catalogue. master: of the cluster; the active session, if there
    is one, or this machine with `threads` threads where it is None.

    Raises InputError where Java or the table is missing.
    """
    spark = _session(master, threads)
    for key, value in _MEANING.items():
        spark.conf.set(key, value)
    # as Path leaves an address
    named = re.sub(r"^(\w[\w+.-]+):/(?=[^/])", r"\1://", source.as_posix())
    con = connect()
    if named.startswith(TABLE):
        name = named.removeprefix(TABLE)
        return _laid(spark, con, _read(lambda: spark.table(name), name), label=name)
    if "://" in named:
        label = named.rstrip("/").rpartition("/")[2]
        frame = _read(lambda: spark.read.option("mergeSchema", "true").parquet(named), named)
        return _laid(spark, con, frame, label=label)
    files = files_of(source)
    label = source.name or str(source)
    return (_parquet if all_parquet(files, source) else _csv)(spark, con, files, label)


def _session(master: str | None, threads: int | None) -> Any:
    """A session of its own beside the active one, or the first of a new Spark."""
    active = SparkSession.getActiveSession()
    if active is not None:
        if master is not None and active.sparkContext.master != master:
            raise InputError(
                f"--master {master}: Spark runs on {active.sparkContext.master} in this process"
            )
        return active.newSession()
    if SparkContext._active_spark_context is not None:  # begun in another thread of this process
        return SparkSession(SparkContext._active_spark_context).newSession()
    return _started(master or f"local[{threads or '*'}]")


def _started(master: str) -> Any:
    if not _java():
        raise InputError(f"{INSTALL_JAVA}; there is none on PATH and JAVA_HOME names none")
    settings = {
        "spark.master": master,
        "spark.app.name": "faceaudit",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.maxResultSize": "0",  # up to two million faces are fetched for the dashboard
    }
    if master.startswith("local"):  # no name of this machine need be known, nor any network be up
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        settings["spark.sql.shuffle.partitions"] = "8"  # what is shuffled are sums, not rows
        # Spark makes this folder at once, by default where the command is run.
        folder = tempfile.mkdtemp(prefix="faceaudit-spark-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        settings["spark.sql.warehouse.dir"] = folder
    conf = SparkConf().setAll(list(settings.items()))
    # What Java and Spark say on their own goes to no screen; it is read where they fail to start.
    with tempfile.TemporaryFile() as said:
        try:
            gateway = launch_gateway(conf, popen_kwargs={"stdout": said, "stderr": said})
            context = SparkContext(conf=conf, gateway=gateway)
        except (PySparkException, OSError) as error:
            raise InputError(f"Spark did not start: {_last(said)}; {INSTALL_JAVA}") from error
        except Exception as error:
            if type(error).__module__.startswith("py4j"):
                raise InputError(f"Spark did not start on {master}: {_first(error)}") from error
            raise
    context.setLogLevel("OFF")
    return SparkSession(context)


def _java() -> bool:
    home = os.environ.get("JAVA_HOME")
    return bool(shutil.which("java") or (home and (Path(home) / "bin" / "java").exists()))


def _last(said: BinaryIO) -> str:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else "Java said nothing"


def _first(error: BaseException) -> str:
    """The words of an error of Spark's, without the trace of Java's that follows them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("Caused by:", ": "))] or lines
    return told[-1].removeprefix("Caused by:").lstrip(": ") if told else type(error).__name__


def _read(frame: Any, label: str) -> Frame:
    """What a call of Spark's gives; InputError, naming `label`, where it does not."""
    try:
        return frame()
    except PySparkException as error:
        raise InputError(f"Spark cannot read {label}: {_first(error)}") from error


def _parquet(
    spark: Any, con: duckdb.DuckDBPyConnection, files: Sequence[Path], label: str
) -> Source:
    paths = [_address(path) for path in files]
    reader = spark.read.option("mergeSchema", "true")
    plain = _read(lambda: reader.parquet(*paths), label)
    at = f.col("_metadata.row_index")
    if 1 < len(files) <= MOST_FILES:
        place = {_place(path.resolve().as_uri()): i for i, path in enumerate(files)}
        theirs = [row[0] for row in plain.select("_metadata.file_path").distinct().collect()]
        number = reduce(
            lambda case, uri: case.when(
                f.col("_metadata.file_path") == uri, f.lit(place[_place(uri)])
            ),
            theirs,
            f,
        )
        at = number.cast("bigint") * f.lit(2**40) + at
    return _laid(
        spark,
        con,
        plain,
        label=label,
        at=at if len(files) <= MOST_FILES else None,
        files=tuple(map(str, files)),
        metadata=key_values(files[0]),
    )


def _address(path: Path) -> str:
    """A file as Spark takes it: not percent-encoded, and what would be a pattern escaped."""
    there = re.sub(r"([*?\[\]{}\\])", r"\\\1", path.resolve().as_posix())
    return f"file:///{there.lstrip('/')}"


def _place(uri: str) -> str:
    """The path in a file's URI: engines write their beginnings differently."""
    return unquote(urlparse(uri).path)


def _csv(spark: Any, con: duckdb.DuckDBPyConnection, files: Sequence[Path], label: str) -> Source:
    """CSV as text, quoted as DuckDB reads it: a field may hold lines, so a file is not parted."""
    names, delimiter = common_header(files)
    fields = [f"c{i}" for i in range(len(names))]
    reader = (
        spark.read.schema(", ".join(f"{name} STRING" for name in fields))
        .option("sep", delimiter)
        .option("header", "true")
        .option("quote", '"')
        .option("escape", '"')
        .option("multiLine", "true")
        .option("mode", "FAILFAST")
        .option("maxCharsPerColumn", "-1")
    )
    row = f.monotonically_increasing_id().bitwiseAND(f.lit(_ROW_BITS))
    parts, before = [], 0
    for path in files:
        part = _read(partial(reader.csv, _address(path)), path.name)
        part = part.select("*", (row + f.lit(before)).alias("at"))
        parts.append(part)
        if len(files) > 1:
            before += _read(part.count, path.name)
    whole = reduce(lambda a, b: a.unionAll(b), parts)
    texts = [f.nullif(f.col(name), f.lit("")).alias(name) for name in fields]
    raw = whole.select(*texts, f.col("at").alias("row_at"))
    if unpacked_bytes(files) <= HELD_BYTES:
        raw = raw.cache()
    raw.createOrReplaceTempView("raw")
    columns, skipped = columns_of_csv(names, delimiter)
    engine = _engine(spark, label)
    return Source(con, label, columns, tuple(map(str, files)), 1, {}, skipped, engine=engine)


def _laid(
    spark: Any,
    con: duckdb.DuckDBPyConnection,
    plain: Frame,
    *,
    label: str,
    at: Any = None,
    files: tuple[str, ...] = (),
    metadata: dict[str, str] | None = None,
) -> Source:
    """A typed DataFrame as `raw`. at: the row's place; None where rows have none."""
    place = f.lit(None).cast("bigint") if at is None else at
    names = [f"c{i}" for i in range(len(plain.columns))]
    raw = plain.select("*", place.alias("row_at")).toDF(*names, "row_at")
    raw.createOrReplaceTempView("raw")
    schema = to_arrow_schema(raw.schema)
    kinds = pa.schema(
        [schema.field(n).with_name(o) for n, o in zip(names, plain.columns, strict=True)]
    )
    columns, skipped = columns_of_arrow(con, kinds)
    doubles = frozenset(n for n in names if pa.types.is_float64(schema.field(n).type))
    engine = _engine(spark, label, doubles)
    return Source(
        con, label, columns, files, 0, metadata or {}, skipped, engine, ordered=at is not None
    )


def _engine(spark: Any, label: str, doubles: frozenset[str] = frozenset()) -> Engine:
    def run(sql: str) -> pa.Table:
        try:
            return spark.sql(sql).toArrow()
        except (AnalysisException, ParseException):
            raise
        except PySparkException as error:
            raise _damaged(label, error) from error
        except Exception as error:
            if type(error).__module__.startswith("py4j"):
                raise _damaged(label, error) from error
            raise

    def stop() -> None:
        spark.sparkContext.cancelAllJobs()

    return Engine(f"spark {spark.version}", "spark", run, stop, doubles=doubles)


def _damaged(label: str, error: BaseException) -> InputError:
    return InputError(f"{label} cannot be read, is it cut off or damaged? ({_first(error)})")
