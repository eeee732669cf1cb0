"""Pictures that lie inside a file: `faces.tar/26_1_2_x.jpg`, `faces.parquet/0000017`.

A tar or Parquet file is read as if it were a folder: a picture's path continues after the file's
name. Both `model` and `reports` read such pictures, so this stands in `audit`.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from audit.errors import InputError
from audit.parquet_pictures import ParquetPictures, parquet_pictures
from audit.tar_members import TarIndex, tar_index

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
PARQUET_SUFFIXES = (".parquet", ".pq")
_OPEN = 64  # indices kept: shards are read one after the other


@dataclass(frozen=True)
class Held:
    """A picture inside `file`: how to read its bytes, and how many there are where that is known.

    `read` raises OSError or ValueError for a file that cannot be read.
    """

    file: Path
    size: int | None
    read: Callable[[], bytes]


def is_tar(path: Path | str) -> bool:
    """Whether a name ends like a tar file."""
    return str(path).lower().endswith(TAR_SUFFIXES)


def row_name(row: int) -> str:
    """The name of a picture that is row `row` of a Parquet file; sorted, they are in its order."""
    return f"{row:07}"


def held(path: Path | str) -> Held | None:
    """The picture at `path` inside a tar or Parquet file; None for a path that leads into none.

    Raises OSError when the file has no such picture or cannot be read.
    """
    parts = Path(path).parts
    for number, part in enumerate(parts[:-1], start=1):
        if part.lower().endswith((*TAR_SUFFIXES, *PARQUET_SUFFIXES)):
            file = Path(*parts[:number])
            if file.is_file():  # a folder may be called faces.tar
                return _held(file, "/".join(parts[number:]))
    return None


def _held(file: Path, name: str) -> Held:
    facts = file.stat()
    stamp = (facts.st_mtime_ns, facts.st_size)
    try:
        return _of_tar(file, name, stamp) if is_tar(file) else _of_parquet(file, name, stamp)
    except InputError as error:
        raise OSError(errno.EIO, str(error)) from error
    except (KeyError, ValueError) as error:
        raise FileNotFoundError(errno.ENOENT, f"{file.name} holds no picture {name}") from error


def _of_tar(file: Path, name: str, stamp: tuple[int, int]) -> Held:
    index = _tar(file, stamp)
    offset, size = index.places[name]
    return Held(file, size, lambda: index.read_at(offset, size))


def _of_parquet(file: Path, name: str, stamp: tuple[int, int]) -> Held:
    pictures, row = _parquet(file, stamp), int(name)
    if not (0 <= row < pictures.rows and row_name(row) == name):
        raise KeyError(name)
    return Held(file, None, lambda: pictures.read(row))


@lru_cache(_OPEN)
def _tar(file: Path, _stamp: tuple[int, int]) -> TarIndex:
    """The index of a tar, made anew when the file's time or size is another."""
    return tar_index(file)


@lru_cache(_OPEN)
def _parquet(file: Path, _stamp: tuple[int, int]) -> ParquetPictures:
    return parquet_pictures(file)
