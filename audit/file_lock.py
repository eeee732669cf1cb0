"""Files that several programs hold in turn, opened where they stand and nowhere else."""

import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FAR = 2**30  # Windows locks bytes: one past any that is read, so that readers are never kept out
_PAUSE = 0.05  # seconds between two tries, where the system cannot wait


@contextmanager
def locked_file(path: Path, *, wait: bool = True) -> Iterator[IO[bytes]]:
    """Open a file to read and to append, made where it is not there, while no other program has it.

    The system holds the lock for the process, so that a killed one leaves none behind. Not `wait`:
    raises BlockingIOError where another has it. A link, or what is no file, is not followed to
    where it leads (somebody else may have laid it there): OSError, as where it cannot be written.
    """
    with open(path, "ab+", opener=_in_place) as handle:
        _lock(handle, wait=wait)
        try:
            yield handle
        finally:
            _let_go(handle)


def _in_place(path: str, flags: int) -> int:
    for name in ("O_NOFOLLOW", "O_NONBLOCK"):  # Windows has neither
        flags |= getattr(os, name, 0)
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "a link, which is not followed", path) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return handle


if sys.platform == "win32":

    def _lock(handle: IO[bytes], *, wait: bool) -> None:
        while True:
            handle.seek(_FAR)
            try:
                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EDEADLK):  # a disk without locks
                    raise
                if not wait:
                    raise BlockingIOError(error.errno, "another program has it") from error
                time.sleep(_PAUSE)
            else:
                return

    def _let_go(handle: IO[bytes]) -> None:
        handle.seek(_FAR)
        msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)

else:

    def _lock(handle: IO[bytes], *, wait: bool) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def _let_go(handle: IO[bytes]) -> None:
        del handle  # closing the file lets go
