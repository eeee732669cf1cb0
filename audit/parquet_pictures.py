"""Pictures in a Parquet file: a column `image` of bytes, or of Hugging Face's {bytes, path}.

A picture is its row: row groups are read one by one and kept for a while, never the whole file.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import InputError
from audit.recent import RECENT

IMAGE = "image"
MOST_BYTES = 2**30  # of the pictures of one row group, which is read whole
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


@dataclass(frozen=True)
class ParquetPictures:
    """Where the pictures of a Parquet file lie.

    column: the path of the bytes, `image` or `image.bytes`. starts: first row of every row group,
    then the number of rows. key: names the file's content.
    """

    path: Path
    column: str
    starts: tuple[int, ...]
    key: tuple[str, int, int]

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.starts[-1]

    def read(self, row: int) -> bytes:
        """Bytes of the picture in `row`, empty where there is none. KeyError for no such row."""
        if not 0 <= row < self.rows:
            raise KeyError(row)
        group = bisect_right(self.starts, row) - 1
        cell = self._group(group)[row - self.starts[group]].as_py()
        return cell or b""

    def _group(self, group: int) -> "pa.ChunkedArray":
        def make() -> tuple[pa.ChunkedArray, int]:
            # A value that a file holds once and names in many rows is held once here too, so that
            # the bytes a row group declares bound the memory that it takes.
            with pq.ParquetFile(self.path, read_dictionary=[self.column]) as file:
                column = file.read_row_group(group, columns=[self.column]).column(0)
            if pa.types.is_struct(column.type):
                column = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks])
            return column, column.nbytes

        return RECENT.get((*self.key, group), make)


def holds_pictures(schema: pa.Schema) -> bool:
    """Whether `image` is bytes, or a struct with them."""
    return _bytes_column(schema) is not None


def parquet_pictures(path: Path) -> ParquetPictures:
    """Where the pictures of `path` lie.

    Raises InputError: no Parquet file, one without pictures, or row groups too large to read.
    """
    try:
        with pq.ParquetFile(path) as file:
            meta, schema = file.metadata, file.schema_arrow
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} is cut or no Parquet file: {str(error)[:120]}") from error
    column = _bytes_column(schema)
    if column is None:
        raise InputError(f"{path} has no column `{IMAGE}` of bytes or of {{bytes, path}}")
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    for number, group in enumerate(groups):
        parts = [group.column(i) for i in range(group.num_columns)]
        size = sum(p.total_uncompressed_size for p in parts if p.path_in_schema == column)
        if size > MOST_BYTES:
            raise InputError(
                f"{path}: row group {number} holds {size:,} bytes of pictures; at most "
                f"{MOST_BYTES:,} are read at once: write it again with row_group_size=1000"
            )
    starts = (0, *accumulate(group.num_rows for group in groups))
    facts = path.stat()
    return ParquetPictures(path, column, starts, (str(path), facts.st_mtime_ns, facts.st_size))


def class_names(schema: pa.Schema) -> Mapping[str, list[str]]:
    """The words behind whole numbers: Hugging Face's ClassLabel columns, by name."""
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features: Any = json.loads(text)["info"]["features"]
        return {
            name: [str(word) for word in kind["names"]]
            for name, kind in features.items()
            if isinstance(kind, dict) and kind.get("_type") == "ClassLabel" and "names" in kind
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def _bytes_column(schema: pa.Schema) -> str | None:
    if IMAGE not in schema.names:
        return None
    kind = schema.field(IMAGE).type
    if any(is_bytes(kind) for is_bytes in _BYTES):
        return IMAGE
    fields = [kind.field(i) for i in range(kind.num_fields)] if pa.types.is_struct(kind) else []
    held = [f for f in fields if f.name == "bytes" and any(is_(f.type) for is_ in _BYTES)]
    return f"{IMAGE}.bytes" if held else None
