"""Files of JSON lines that several programs append to at once; no line is ever changed."""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.file_lock import locked_file


@dataclass(frozen=True)
class Line:
    """A line of such a file, counted from 1. record: None where it is damaged, and `why`."""

    number: int
    record: Mapping[str, Any] | None
    why: str = ""


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append `record` as one line, under a lock, flushed to disk: whole or not at all.

    The folder is made. A line that a killed program left unfinished is closed first, so that it
    spoils no other. Raises OSError where the file cannot be written, or leads elsewhere as a link.
    """
    text = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    if path.parent.is_symlink():
        raise OSError(errno.ELOOP, "its folder is a link", str(path.parent))
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked_file(path) as handle:
        size = handle.seek(0, os.SEEK_END)
        if size:
            handle.seek(size - 1)
            text = text if handle.read(1) == b"\n" else "\n" + text
        try:
            handle.write(text.encode("utf-8", errors="backslashreplace"))
            handle.flush()
        except OSError:  # a full disk: half a line is none
            os.truncate(path, size)
            raise
        os.fsync(handle.fileno())


def read_lines(path: Path) -> list[Line]:
    """The lines of a file, damaged ones too, empty ones passed over; none where there is no file.

    Raises OSError where it cannot be read.
    """
    if not path.exists():
        return []
    if not path.is_file():  # a pipe would be waited for
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    lines = enumerate(path.read_bytes().split(b"\n"), start=1)
    return [_line(number, raw) for number, raw in lines if raw.strip()]


def _line(number: int, raw: bytes) -> Line:
    try:
        record = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return Line(number, None, "is not UTF-8 text")
    except (json.JSONDecodeError, RecursionError):
        return Line(number, None, "is not JSON")
    if not isinstance(record, dict):
        return Line(number, None, "is not a JSON object")
    return Line(number, record)
