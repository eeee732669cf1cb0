"""CSV files before an engine reads them: names in the first line, delimiter, size, encoding."""

import csv
import gzip
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from audit.columns import refuse_twins
from audit.errors import InputError

SAVE_AS_UTF8 = "save the file as UTF-8"
_DELIMITERS = (",", ";", "\t", "|")
_KINDS = {
    b"PK\x03\x04": "a workbook (or zip)",
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel",
    b"ARROW1": "Feather (Arrow)",
    b"BZh": "packed by bzip2",
    b"\x28\xb5\x2f\xfd": "packed by zstandard",
    b"\xfd7zXZ": "packed by xz",
    b"\x1f\x8b": "packed by gzip, without .gz in its name",
    b"SQLite format 3": "a database of SQLite",
    **{b"\x80" + bytes([number]): "a pickle of Python" for number in range(2, 6)},
}


def common_header(files: Sequence[Path]) -> tuple[list[str], str]:
    """What `header_of` says of every one of some CSV files; InputError where it differs."""
    header = header_of(files[0])
    for other in files[1:]:
        if header_of(other) != header:
            raise InputError(f"{other.name} and {files[0].name} differ in their header line")
    return header


def header_of(path: Path) -> tuple[list[str], str]:
    """Names in the first line of a CSV, and the delimiter that parts most of them."""
    try:
        with _opened(path) as raw:
            head = raw.readline(2**20)
            if kind := _other_kind(head):
                raise InputError(f"{path.name} is {kind}; save the table as CSV or Parquet")
            if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
                raise InputError(f"{path.name} is no UTF-8 but looks like UTF-16; {SAVE_AS_UTF8}")
            # only the first line: a fault of another is told with that one's number
            first = re.split(r"\r\n?|\n", head.decode("utf-8-sig"), maxsplit=1)[0]
            if re.fullmatch("sep=.", first, re.IGNORECASE):
                raise InputError(
                    f"{path.name}, line 1: {first!r} is a word to Excel; remove the line, so that "
                    "line 1 names the columns"
                )
            delimiter = max(_DELIMITERS, key=re.sub(r'"[^"]*"', "", first).count)
            rest = io.StringIO(first)
            names = next(csv.reader(rest, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}, line 1: not UTF-8; {SAVE_AS_UTF8}") from error
    except (OSError, EOFError, csv.Error) as error:
        raise InputError(f"{path.name} cannot be read: {error}") from error
    names = [n.strip() for n in names]
    if not any(names):
        raise InputError(f"{path.name} has no rows: the file is empty")
    refuse_twins(names)
    return names, delimiter


def _other_kind(head: bytes) -> str | None:
    """What a file is that begins like none of text; None where it may be a CSV."""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return "JSON"
    return next((kind for first, kind in _KINDS.items() if head.startswith(first)), None)


def undecodable(path: Path) -> InputError:
    """What is told of a CSV that is not UTF-8: the first line that is not."""
    with _opened(path) as raw:
        for number, line in enumerate(raw, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return InputError(f"{path.name}, line {number}: not UTF-8; {SAVE_AS_UTF8}")
    return InputError(f"{path.name}: not UTF-8; {SAVE_AS_UTF8}")


def unpacked_bytes(files: Sequence[Path]) -> int:
    """About how many bytes some CSV files hold, unpacked."""
    return sum(path.stat().st_size * (8 if _is_packed(path) else 1) for path in files)


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if _is_packed(path) else path.open("rb")
