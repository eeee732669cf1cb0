"""The checksums of Parquet pages, which DuckDB passes over: a flipped bit is found before use."""

import os
from errno import EACCES
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import InputError

MOST_BYTES = 2**30  # a larger file is not read once more for its checksums


def verify_pages(path: Path) -> None:
    """Read every page of a Parquet once. Raises InputError where one does not match its checksum.

    Pages without a checksum pass: few other writers give any.
    """
    if path.stat().st_size > MOST_BYTES:
        return
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass
    except PermissionError as error:  # somebody else's audit, say
        words = os.strerror(error.errno or EACCES)
        raise InputError(f"cannot read {path}: {words}; make it readable") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"cannot read {path}: its bytes are not those that were written; make or copy it again"
        ) from error
