"""What lies in a tar file, and where: one pass over its headers, nothing extracted.

A member's name is never joined to a path of the disk, so it cannot lead anywhere; one that tries to
(absolute, or with `..`) is listed as a fault all the same.
"""

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from audit.gzip_blocks import GzipBlocks

_MARK = b"\0" * tarfile.BLOCKSIZE  # a tar ends in two of these
Fault = tuple[str, str, str]  # name (empty: the tar itself), status, reason


@dataclass
class TarIndex:
    """Where the plain files of a tar lie.

    places: name -> offset and bytes; of a name that is there twice, its first. again: the further
    ones. faults: what cannot be used, and why. read_at: bytes of the tar from an offset on.
    """

    read_at: Callable[[int, int], bytes]
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    again: list[tuple[str, int, int]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def tar_index(path: Path) -> TarIndex:
    """The index of a `.tar`, `.tar.gz` or `.tgz`. Raises OSError when it cannot be opened.

    What is no tar, or was cut, gives the members that can be read and a fault that says so.
    """
    with path.open("rb") as plain:
        packed = GzipBlocks(path) if plain.read(2) == b"\x1f\x8b" else None
        plain.seek(0, io.SEEK_END)
        length = packed.length if packed else plain.tell()
        index = TarIndex(packed.read_at if packed else _reader(path))
        handle: IO[bytes] = packed or plain  # type: ignore[assignment]
        handle.seek(0)
        end, why = _fill(index, handle, length)
    why = why or (packed.fault if packed else "")
    if not why and index.read_at(end, 2 * len(_MARK)) != 2 * _MARK:
        why = f"its end mark is missing from byte {end:,} on: it was cut there or is damaged"
    if why:
        index.faults.append(("", "truncated" if index.places else "unreadable", why))
    return index


def _reader(path: Path) -> Callable[[int, int], bytes]:
    def read_at(offset: int, size: int) -> bytes:
        with path.open("rb") as handle:
            handle.seek(offset)
            return handle.read(size)

    return read_at


def _fill(index: TarIndex, handle: IO[bytes], length: int) -> tuple[int, str]:
    """Enter every member; where the last one ends, and why there may be no more of them."""
    end = 0
    try:
        with tarfile.open(fileobj=handle, mode="r:", errors="surrogateescape") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # the index alone is kept
                _enter(index, member, length)
            end = tar.offset
    except (tarfile.TarError, EOFError, ValueError) as error:
        # tarfile looks for a member's last byte before it reads the next header
        n = len(index.places)
        return (
            end,
            f"only its first {n:,} files can be read ({error})" if n else f"no tar ({error})",
        )
    return end, ""


def _enter(index: TarIndex, member: tarfile.TarInfo, length: int) -> None:
    name = PurePosixPath(member.name).as_posix()
    parts = name.split("/")
    if any(part.startswith(".") and part != ".." for part in parts) or member.isdir():
        return
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        index.faults.append((name, "not_a_file", "name is not UTF-8; rename it"))
        return
    if name.startswith("/") or ".." in parts:
        index.faults.append((name, "name", "path leads out of the tar"))
    elif not member.isreg() or member.issparse():
        index.faults.append((name, "not_a_file", "not a regular file"))
    elif member.offset_data + member.size > length:
        index.faults.append((name, "truncated", "the tar ends in the midst of it"))
    elif name in index.places:
        index.again.append((name, member.offset_data, member.size))
    else:
        index.places[name] = (member.offset_data, member.size)
