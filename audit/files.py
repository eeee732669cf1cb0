"""Writes that leave the old file or the new one, never half of either; settings read from TOML."""

import errno
import os
import secrets
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit.errors import InputError, MachineError


def write_atomic(path: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a file beside `path`, flush it to disk, then put it in the place of `path`.

    A kill or a full disk leaves the previous file as it was and no temporary file behind (a
    SIGKILL may leave the temporary one, whose name starts with a dot and ends in `.part`).

    Raises MachineError when the disk is full, InputError when the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        with beside.open("rb") as handle:
            os.fsync(handle.fileno())
        size = beside.stat().st_size
        beside.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = beside.stat().st_size if beside.exists() else 0
            raise MachineError(
                f"no space left while writing {path} (more than {size:,} bytes are needed); "
                "free some or choose another --out; the old file is intact"
            ) from error
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            raise InputError(
                f"cannot write {path}: {error.strerror}; choose another --out"
            ) from error
        if isinstance(error, (NotADirectoryError, FileExistsError)):
            raise InputError(
                f"cannot write {path}: a file stands where a folder is needed"
            ) from error
        raise
    finally:
        if beside.exists():
            beside.unlink()
    return path


def write_text(path: Path, text: str) -> Path:
    """Write `text` as UTF-8 with `\\n` line ends on every system, atomically."""

    def write(beside: Path) -> None:
        beside.write_bytes(text.encode("utf-8"))

    return write_atomic(path, write)


def read_toml(path: Path, *, option: str) -> dict[str, Any]:
    """What a TOML file says. option: who asks, for the error where there is no such file.

    Raises InputError, naming the file, for one that cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {option} wants a TOML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
