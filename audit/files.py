"""Writes that leave the old file or the new one, never half of either; TOML and JSON, read."""

import contextlib
import errno
import json
import os
import re
import secrets
import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from audit.errors import InputError, MachineError


def write_atomic(path: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a file beside `path`, flush it to disk, then put it in the place of `path`.

    A kill or a full disk leaves the previous file as it was and no temporary file behind (a
    SIGKILL may leave the temporary one, whose name starts with a dot and ends in `.part`).

    Raises MachineError when the disk is full, InputError when the folder cannot be written.
    """
    with staged(path, write):
        return path


@contextlib.contextmanager
def staged(path: Path, write: Callable[[Path], None]) -> Iterator[None]:
    """`write_atomic` in two halves: written on entering, put in the place of `path` on leaving.

    Where the block fails, `path` stays as it was.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _told(path, beside):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(beside)
            with beside.open("r+b") as handle:  # Windows flushes none that was opened to read only
                os.fsync(handle.fileno())
        yield
        with _told(path, beside):
            beside.replace(path)
    finally:
        if beside.exists():
            with contextlib.suppress(PermissionError):  # Windows removes no file that is open
                beside.unlink()


@contextlib.contextmanager
def _told(path: Path, beside: Path) -> Iterator[None]:
    """Errors of the system in words of ours, which name `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = beside.stat().st_size if beside.exists() else 0
            # Arrow removes what it could not finish: nobody knows how much that was
            needed = f" (more than {size:,} bytes are needed)" if size else ""
            kept = "; the old file is intact" if path.exists() else ""
            raise MachineError(
                f"no space left while writing {path}{needed}; "
                f"free some or write to another disk{kept}"
            ) from error
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            words = os.strerror(error.errno or errno.EACCES)  # Arrow's own name the hidden file
            raise InputError(
                f"cannot write {path}: {words}; write elsewhere, or make that place writable"
            ) from error
        if isinstance(error, IsADirectoryError):
            raise InputError(f"cannot write {path}: a folder of that name stands there") from error
        if isinstance(error, (NotADirectoryError, FileExistsError)):
            raise InputError(
                f"cannot write {path}: a file stands where a folder is needed"
            ) from error
        raise


def left_halves(folder: Path, names: Collection[str]) -> list[Path]:
    """What a SIGKILL in the midst of a write has left in `folder` of the files called `names`."""
    shape = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part")
    found = folder.iterdir() if folder.is_dir() else ()
    return [p for p in found if (named := shape.fullmatch(p.name)) and named[1] in names]


def write_text(path: Path, text: str, *, drawn: Collection[Path] = ()) -> Path:
    """Write `text` as UTF-8 with `\\n` line ends on every system, atomically.

    drawn: pages drawn from what stood in `path`. They are taken away once the text is on the disk,
    so that none of them ever stands beside other figures than its own.
    """

    def write(beside: Path) -> None:
        beside.write_bytes(text.encode("utf-8"))

    with staged(path, write):
        for page in drawn:
            if page.is_file() or page.is_symlink():
                with _told(page, page):
                    page.unlink()
    return path


def files_of(path: Path) -> tuple[Path, ...]:
    """The files that a path, a glob or a folder names, in order; InputError where there is none."""
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*.parquet")) if not p.name.startswith((".", "_"))]
        if not found:
            raise InputError(f"no .parquet file in the folder {path}; give a table, or its glob")
        return tuple(found)
    if path.exists():
        return (path,)
    if any(c in str(path) for c in "*?["):
        root = Path(path.anchor) if path.is_absolute() else Path()
        found = sorted(root.glob(str(path.relative_to(root))))
        if found:
            return tuple(found)
        raise InputError(f"no file matches {path}")
    raise InputError(f"{path}: no such file; give the predictions table (CSV or Parquet)")


def no_pattern(path: Path) -> str:
    """A file's name for who takes `*`, `?` and `[` for a pattern: `p[1].csv`, not `p1.csv`."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def present_files(source: Path) -> tuple[Path, ...]:
    """What `files_of` finds; nothing where that is an error, which who reads them tells."""
    try:
        return files_of(source)
    except InputError:
        return ()


def refuse_overwriting(out: Path, sources: Sequence[Path]) -> None:
    """InputError for a file to write that is a folder, or is or would be among what is read.

    A source is a file, a glob, or a folder of Parquet.
    """
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a file in it")
    refuse_unwritable(out)
    for source in sources:
        refuse_within(out, source, written="it")
        if out.exists() and any(out.samefile(path) for path in present_files(source)):
            raise InputError(f"--out {out} is what is read; choose another file")


def refuse_unwritable(path: Path) -> None:
    """InputError for a file that could not be written: before the work, not after it."""
    above = next(p for p in path.absolute().parents if os.path.lexists(p))
    if not above.is_dir():
        raise InputError(f"cannot write {path}: a file stands where a folder is needed")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(
            f"cannot write {path}: no right to write in {above}; write elsewhere, or make that "
            "place writable"
        )


def refuse_within(out: Path, source: Path, *, written: str) -> None:
    """InputError where `out` lies in the folder `source`; written: what would be read there."""
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"--out {out} lies in the folder that is read, where {written} would be read as more "
            "rows; choose another folder"
        )


def read_toml(path: Path | str, *, option: str) -> dict[str, Any]:
    """What a TOML file says. option: who asks, for the error where there is no such file.

    Raises InputError, naming the file, for one that cannot be read.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {option} wants a TOML file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error


def read_json(path: Path, *, again: str) -> Any:
    """What a JSON file that we wrote holds. again: what mends one that is cut off or damaged.

    Raises InputError, naming the file, for such a one; FileNotFoundError where there is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not whole (it holds bytes that are no text): {again}"
        ) from error
    return parsed_json(text, name=path, again=again)


def parsed_json(text: str, *, name: Path | str, again: str) -> Any:
    """What the text of such a file holds, likewise."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{name} is not whole (line {error.lineno}): {again}") from error
    except RecursionError as error:
        raise InputError(f"{name} is nested too deeply: {again}") from error
