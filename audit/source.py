"""A table wherever it lies (CSV, Parquet, many files, a DataFrame) as one lazy relation."""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.checksums import verify_pages
from audit.columns import (
    Column,
    columns_of,
    columns_of_csv,
    identifier,
    quoted,
    refuse_twins,
)
from audit.csv_header import SAVE_AS_UTF8, common_header, unpacked_bytes
from audit.errors import InputError, MachineError
from audit.files import files_of, no_pattern
from audit.words import counted

if TYPE_CHECKING:
    from audit.engine import Engine

# A CSV up to this size is parsed once and held (text, about twice its size in memory); a larger one
# is parsed again in each scan, so that memory stays flat.
HELD_BYTES = 512 * 2**20
OURS = "faceaudit"  # the metadata that `predict` writes, with page checksums
ROWS_KEY = "faceaudit.hash_of_rows"  # in that of an audit's rows: which audit's

_Found = TypeVar("_Found")
_MORE_FIELDS = "does line 1 name the columns, and is each value with a comma in quotes?"


@dataclass(frozen=True)
class Source:
    """The relation `raw` of connection `con`: columns `c0, c1, ...` and `row_at`, the row's place.

    `row_at` counts rows from 0 in the order of the files; with several Parquet files the number of
    the file stands above bit 40. `metadata` is the key-value metadata of the first Parquet file.
    `engine` holds the relation where DuckDB does not: what it answers passes through `con`, so
    that its types are DuckDB's. `ordered` is False for rows that have no place: `row_at` is NULL.
    """

    con: duckdb.DuckDBPyConnection
    label: str
    columns: tuple[Column, ...]
    files: tuple[str, ...] = ()
    header_lines: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    engine: "Engine | None" = None
    ordered: bool = True

    def lay(self, relation: str, sql: str) -> None:
        """Let `relation` be the rows of a query."""
        if self.engine is None:
            self.con.execute(f"CREATE VIEW {relation} AS {sql}")
        else:
            self.engine.lay(relation, sql)

    def hold(self, relation: str, sql: str) -> None:
        """As `lay`, for few rows that are asked for in every scan: DuckDB finds them once."""
        if self.engine is None:
            table = f"CREATE OR REPLACE TABLE {relation} AS {sql}"
            with _told(self.label):
                heard(lambda: self.con.execute(table), self.stop)
        else:
            self.engine.lay(relation, sql)

    def stop(self) -> None:
        """End the query that is running."""
        if self.engine is None:
            self.con.interrupt()
        else:
            self.engine.stop()

    def _answer(self, sql: str) -> duckdb.DuckDBPyConnection | duckdb.DuckDBPyRelation:
        if self.engine is None:
            return heard(lambda: self.con.execute(sql), self.stop)
        return self._theirs(self.engine, sql)

    def _theirs(self, engine: "Engine", sql: str) -> duckdb.DuckDBPyRelation:
        """What another engine answers, as a relation of `con`, sorted as the query says."""
        table, order = engine.ask(sql)
        found = self.con.from_arrow(table)
        ways = (f"{identifier(found.columns[i])}{' DESC' * down}" for i, down in order)
        return found.order(", ".join(ways)) if order else found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises as `reading_error` says."""
        with _told(self.label):
            return self._answer(sql).fetchall()

    def one(self, sql: str) -> dict[str, Any]:
        """The only row of a query, by column name."""
        with _told(self.label):
            cursor = self._answer(sql)
            [row] = cursor.fetchall()
        return dict(zip([d[0] for d in cursor.description or ()], row, strict=True))

    def frame(self, sql: str) -> pd.DataFrame:
        """A query's rows as a DataFrame: for aggregates, never for the table itself."""
        with _told(self.label):
            return self._answer(sql).df()

    def batches(self, sql: str, rows: int, *, ordered: bool = True) -> Iterator[pa.RecordBatch]:
        """A query's rows as Arrow batches of `rows`; not `ordered`, as they come to hand."""
        # rows of a CSV are numbered as they come, and may be known by their numbers
        freely = not (ordered or self.header_lines or self.engine is not None)
        with _told(self.label):
            try:
                if self.engine is not None:
                    yield from self._theirs(self.engine, sql).to_arrow_reader(rows)
                    return
                if freely:
                    self.con.execute("SET preserve_insertion_order = false")
                yield from self.con.sql(sql).to_arrow_reader(rows)
            finally:
                if freely:
                    self.con.execute("SET preserve_insertion_order = true")

    def place(self, at: int) -> str:
        """Where a row stands, in the words of its file: `line 5`, `row 4`, `part.parquet row 4`."""
        if self.header_lines:
            return f"line {at + 1 + self.header_lines}"
        number, row = at >> 40, at & (2**40 - 1)
        name = f"{Path(self.files[number]).name} " if len(self.files) > 1 else ""
        return f"{name}row {row + 1}"


def heard(work: Callable[[], _Found], stop: Callable[[], None]) -> _Found:
    """What `work` of a DuckDB connection finds; Ctrl-C ends it at once, by `stop`.

    It runs in a thread of its own: DuckDB hears a signal between two files, not within one.
    """
    with ThreadPoolExecutor(1) as beside:
        found = beside.submit(work)
        try:
            while not wait([found], timeout=0.1).done:  # Windows hears no signal in a longer wait
                pass
            return found.result()
        except KeyboardInterrupt:
            while not wait([found], timeout=0.1).done:  # a query not begun yet hears nothing
                stop()
            raise


@contextmanager
def _told(label: str) -> Iterator[None]:
    """What fails in DuckDB is told as `reading_error` says."""
    try:
        yield
    except duckdb.Error as error:
        raise reading_error(error, label) from error


def reading_error(error: duckdb.Error, label: str) -> Exception:
    """What the user is told when DuckDB fails: InputError, MachineError, or the bug itself."""
    text = str(error).strip()
    if isinstance(error, duckdb.OutOfMemoryException):
        return MachineError(f"not enough memory to scan {label}: {text.splitlines()[0]}")
    if isinstance(error, (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)):
        return error
    if line := re.search(r"CSV Error on Line: (\d+)", text):
        named = re.search(r"^\s*file = (.+)$", text, re.M)
        file = Path(named[1]).name if named else label
        fields = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
        why = "it cannot be read; is the file cut off there?"
        if fields:
            wanted, there = int(fields[1]), int(fields[2])
            why = f"{counted(there, 'field', 'fields')} where the header has {wanted}; "
            why += "is the file cut off there?" if there < wanted else _MORE_FIELDS
        elif "unterminated quote" in text:
            why = "a quote is opened and never closed; is the file cut off there?"
        elif "unicode" in text:
            why = f"not UTF-8; {SAVE_AS_UTF8}"
        return InputError(f"{file}, line {line[1]}: {why}")
    if "state machine" in text:
        return InputError(
            f"{label}: its lines end in two ways, or a quote is out of place; save it anew"
        )
    first = text.splitlines()[0] if text else type(error).__name__
    return InputError(f"{label} cannot be read, is it cut off or damaged? ({first})")


def open_source(source: Path | pd.DataFrame, *, threads: int | None = None) -> Source:
    """Make `source` the lazy relation `raw`. Nothing but headers and schemas is read.

    A path may be a CSV (`.csv`, `.tsv`, also `.gz`), a Parquet file, a glob, or a folder of
    Parquet. Raises InputError for a missing, empty, cut or mixed source, naming file and place.
    """
    con = connect()
    # who reads batches works on one while the engine fills the next
    con.execute("SET streaming_buffer_size = '64MB'")
    if threads:
        con.execute(f"SET threads = {int(threads)}")
    if isinstance(source, pd.DataFrame):
        return _open_frame(con, source)
    files = files_of(Path(source))
    label = Path(source).name or str(source)
    return (_open_parquet if all_parquet(files, source) else _open_csv)(con, files, label)


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB of this process: it fetches no extension and leaves nothing where one works."""
    con = duckdb.connect(config={"autoinstall_known_extensions": False})
    con.execute("SET enable_progress_bar = false")
    con.execute(f"SET temp_directory = {quoted(tempfile.gettempdir())}")
    return con


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its name or its first bytes."""
    if path.suffix.lower() in {".parquet", ".pq"}:
        return True
    try:
        with path.open("rb") as handle:
            return handle.read(4) == b"PAR1"
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def all_parquet(files: Sequence[Path], source: Path) -> bool:
    """Whether the files of `source` are Parquet, not CSV. InputError: both kinds, or an empty one.

    Of CSV an empty one is told by its missing header.
    """
    kinds = {is_parquet(path) for path in files}
    if len(kinds) > 1:
        raise InputError(f"{source} mixes CSV and Parquet files; give one kind")
    if False in kinds:
        return False
    for path in files:
        if path.stat().st_size == 0:
            raise InputError(f"{path.name} is empty (0 bytes); was its writing interrupted?")
    return True


def _open_parquet(con: duckdb.DuckDBPyConnection, files: Sequence[Path], label: str) -> Source:
    # whole and plain: where a name holds a sign of patterns, DuckDB tells the shortest way to it
    whole = [f.resolve() for f in files]
    exact = ", ".join(quoted(no_pattern(f)) for f in whole)
    union = ", union_by_name = true" if len(files) > 1 else ""
    scan = f"read_parquet([{exact}]{union})"
    at = "file_row_number"
    if len(files) > 1:
        names = ", ".join(quoted(str(f)) for f in whole)
        at = f"((list_position([{names}], filename) - 1)::BIGINT << 40) + file_row_number"
    with _told(label):
        schema = con.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
        pairs = con.execute(
            f"SELECT key, value FROM parquet_kv_metadata({quoted(no_pattern(whole[0]))})"
        ).fetchall()
    metadata = {_plain(k): _plain(v) for k, v in pairs}
    if OURS in metadata:  # others write no checksums, and a long table takes its time
        for path in files:
            verify_pages(path)
    # DuckDB tells `site` beside `Site` apart by renaming it; the file knows its name.
    named = pq.read_schema(files[0]).names if len(files) == 1 else []
    theirs = named if len(named) == len(schema) else [name for name, *_ in schema]
    columns, skipped = columns_of(
        [(n, kind) for n, (_, kind, *_) in zip(theirs, schema, strict=True)]
    )
    chosen = ", ".join(f"{identifier(name)} AS c{i}" for i, (name, *_) in enumerate(schema))
    con.execute(f"CREATE VIEW raw AS SELECT {chosen}, {at} AS row_at FROM {scan}")
    return Source(con, label, columns, tuple(map(str, files)), 0, metadata, skipped)


def _open_csv(con: duckdb.DuckDBPyConnection, files: Sequence[Path], label: str) -> Source:
    names, delimiter = common_header(files)
    spec = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(names)))
    listed = ", ".join(quoted(no_pattern(f.resolve())) for f in files)
    scan = (
        f"read_csv([{listed}], auto_detect = false, header = true, delim = {quoted(delimiter)}, "
        f"quote = '\"', escape = '\"', strict_mode = true, columns = {{{spec}}})"
    )
    with _told(label):
        if unpacked_bytes(files) <= HELD_BYTES:
            heard(lambda: con.execute(f"CREATE TABLE held AS SELECT * FROM {scan}"), con.interrupt)
            con.execute("CREATE VIEW raw AS SELECT *, rowid AS row_at FROM held")
        else:
            con.execute(
                f"CREATE VIEW raw AS SELECT *, row_number() OVER () - 1 AS row_at FROM {scan}"
            )
    columns, skipped = columns_of_csv(names, delimiter)
    return Source(con, label, columns, tuple(map(str, files)), 1, {}, skipped)


def _open_frame(con: duckdb.DuckDBPyConnection, frame: pd.DataFrame) -> Source:
    own = [str(c) for c in frame.columns]
    # an index that has a name is a column, as in the CSV or Parquet that pandas writes of it
    index = {
        str(name): frame.index.get_level_values(i).to_series()
        for i, name in enumerate(frame.index.names)
        if name is not None and str(name) not in own
    }
    names = [*index, *own]
    refuse_twins(names)
    arrays = [_array(v) for v in (*index.values(), *(frame.iloc[:, i] for i in range(len(own))))]
    arrays.append(pa.array(np.arange(len(frame), dtype=np.int64)))
    fields = [*(f"c{i}" for i in range(len(names))), "row_at"]
    con.register("raw", pa.table(arrays, names=fields))
    schema = con.execute("DESCRIBE SELECT * FROM raw").fetchall()[:-1]
    kinds = [(name, kind) for name, (_, kind, *_) in zip(names, schema, strict=True)]
    columns, skipped = columns_of(kinds)
    return Source(con, "the table", columns, (), 0, {}, skipped)


def _array(values: "pd.Series[Any]") -> pa.Array | pa.ChunkedArray:
    """A pandas column as Arrow; mixed objects and categories become what their values are."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.dtype.categories.dtype if len(values) else object)
    if isinstance(values.dtype, (pd.IntervalDtype, pd.PeriodDtype)):
        values = values.astype(object)  # `(0, 18]` of `pd.cut`, `2024-01`: levels as a CSV has them
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, UnicodeError):  # mixed, 2**70, half a character
        text = [None if _is_missing(v) else str(v) for v in values]
        well = [t if t is None else t.encode("utf-8", "backslashreplace").decode() for t in text]
        array = pa.array(well, pa.string())
    if pa.types.is_float16(array.type):  # the engine has none
        return array.cast(pa.float32())
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def _is_missing(value: Any) -> bool:
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def key_values(path: Path) -> dict[str, str]:
    """The key-value metadata of a Parquet file that another engine reads."""
    held = pq.read_metadata(path).metadata or {}
    return {_plain(k): _plain(v) for k, v in held.items()}


def _plain(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
