"""A gzip file read at any place: decompression goes on from marks set in one first pass.

A mark is zlib's own state (some 40 KB) at a place of the content. To read, the block from the last
mark before is decompressed again and kept for a while; nothing is written to the disk.
"""

import contextlib
import errno
import io
import os
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from audit.recent import RECENT

SPACING = 2**20  # bytes of content between two marks, doubled where a file has too many
MOST = 128  # marks of one file, unless it is so long that they would be too far apart
WIDEST = 32 * 2**20  # bytes between two marks at most: what lies between is unpacked as a whole
_STEP = 2**16  # bytes decompressed at once: a small file of a huge content never fills the memory
_GZIP = 31  # zlib's word for a gzip header and its largest window


@dataclass(frozen=True)
class Mark:
    """Where decompression can start: at `place` of the content, `packed` of the file."""

    place: int
    packed: int
    state: Any  # zlib's


class GzipBlocks(io.RawIOBase):
    """The content of a gzip file as a stream that can be read and sought, also by many threads.

    `length` is that of what can be read; `fault` says why it may be less than was packed, or is
    empty. Reading by `read_at` has no position and is safe from any thread.
    """

    def __init__(
        self, path: Path, *, spacing: int = SPACING, most: int = MOST, widest: int = WIDEST
    ) -> None:
        super().__init__()
        self.path, self.length, self.fault = path, 0, ""
        spacing = max(spacing, _STEP)  # marks are no closer
        facts = path.stat()
        self._key = (str(path), facts.st_mtime_ns, facts.st_size)
        marks = [Mark(0, 0, zlib.decompressobj(_GZIP))]
        with path.open("rb") as handle:
            try:
                for data, mark in _unpacked(handle, marks[0]):
                    self.length += len(data)
                    if mark.place - marks[-1].place >= spacing:
                        marks.append(Mark(mark.place, mark.packed, mark.state.copy()))
                    if len(marks) > most and spacing < widest:
                        marks, spacing = marks[::2], 2 * spacing
            except EOFError:
                self.fault = "its gzip data end too early"
            except zlib.error as error:
                self.fault = f"its gzip data are damaged ({error})"
        self.marks = marks
        if self.fault:  # the readable length, as found from the last mark on: so it will be read
            self.length = marks[-1].place + _length_from(path, marks[-1])
        self._place = 0

    def read_at(self, place: int, size: int) -> bytes:
        """At most `size` bytes of the content from `place` on; fewer only at its end."""
        parts = []
        while size > 0 and place < self.length:
            number = bisect_right(self.marks, place, key=lambda mark: mark.place) - 1
            start = place - self.marks[number].place
            part = self._block(number)[start : start + size]
            if not part:
                raise OSError(errno.EIO, f"{self.path} changed while it was read")
            parts.append(part)
            place, size = place + len(part), size - len(part)
        return b"".join(parts)

    def _block(self, number: int) -> bytes:
        """The content from one mark to the next."""
        start, last = self.marks[number].place, number + 1 == len(self.marks)
        end = self.length if last else self.marks[number + 1].place

        def make() -> tuple[bytes, int]:
            parts, place = [], start
            with self.path.open("rb") as handle:
                for data, _ in _unpacked(handle, self.marks[number]):
                    parts.append(data[: end - place])
                    place += len(parts[-1])
                    if place == end:
                        break
            return b"".join(parts), end - start

        return RECENT.get((*self._key, start, end), make)

    # What `tarfile` asks of a file.

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place of the content."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.length}[whence]
        self._place = max(0, start + offset)
        return self._place

    def tell(self) -> int:
        """The place that is read next."""
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes; all that are left without a number."""
        size = self.length if size is None or size < 0 else size
        data = self.read_at(self._place, size)
        self._place += len(data)
        return data


def _length_from(path: Path, mark: Mark) -> int:
    length = 0
    with path.open("rb") as handle, contextlib.suppress(EOFError, zlib.error):
        for data, _ in _unpacked(handle, mark):
            length += len(data)
    return length


def _unpacked(handle: IO[bytes], mark: Mark) -> Iterator[tuple[bytes, Mark]]:
    """The content from `mark` on in small parts, each with the mark behind it.

    A mark's state is still at work: copy it to keep it. Raises EOFError where the file is cut,
    zlib.error where it is damaged.
    """
    place, packed, state = mark.place, mark.packed, mark.state.copy()
    handle.seek(packed)
    data = b""
    while True:
        data = data or handle.read(_STEP)
        if not data:
            raise EOFError
        out = state.decompress(data, _STEP)
        left = state.unused_data if state.eof else state.unconsumed_tail
        packed += len(data) - len(left)
        data, place = left, place + len(out)
        if state.eof:  # of one member; pigz and bgzip join several
            data = data or handle.read(_STEP)
            state = zlib.decompressobj(_GZIP)
            if not data.strip(b"\0"):
                yield out, Mark(place, packed, state)
                return
        yield out, Mark(place, packed, state)
