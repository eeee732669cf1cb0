"""Files of a folder, and what each picture is: one read gives hash, size and fingerprint."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from audit.errors import InputError
from model.pictures import MAX_PIXELS, PictureError, opened, pillow_silent, read_bytes
from model.threads import in_threads, tracked

FOLDER = "a folder"
THUMB = 32  # side of the grey thumbnail near-identical pictures are compared on


@dataclass(frozen=True)
class Fingerprint:
    """What one read of a picture tells. `thumb` is grey, uint8 [THUMB, THUMB]."""

    content_hash: str  # SHA-256 of the file's bytes
    dhash: int  # 64 bits: is each of 8 × 8 grey cells darker than its right-hand neighbour?
    width: int
    height: int
    bytes: int
    thumb: npt.NDArray[np.uint8]


def fingerprint(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> Fingerprint:
    """Read a picture once. PictureError when it cannot be decoded to its last byte.

    A JPEG is decoded at the reduced size its format offers: every byte is still read (so a cut file
    is found), but an eighth of the picture's side is reconstructed.
    """
    data = read_bytes(path)
    with opened(data, max_pixels=max_pixels) as image:
        width, height = image.size
        image.draft("L", (THUMB, THUMB))
        if image.mode.startswith("I"):
            image.load()
            grey = Image.fromarray((np.clip(np.asarray(image), 0, 65535) // 257).astype(np.uint8))
        else:
            grey = image.convert("L")
        thumb = np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX))
        cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(cells[:, :-1] < cells[:, 1:])
    return Fingerprint(
        content_hash=hashlib.sha256(data).hexdigest(),
        dhash=int.from_bytes(bits.tobytes(), "big"),
        width=width,
        height=height,
        bytes=len(data),
        thumb=thumb,
    )


def fingerprints(
    paths: Sequence[str], *, max_pixels: int = MAX_PIXELS, progress: bool = False
) -> list[Fingerprint | PictureError]:
    """Fingerprint of every path, or why there is none, in the order given."""

    def work(part: Sequence[str]) -> list[Fingerprint | PictureError]:
        found: list[Fingerprint | PictureError] = []
        for path in part:
            try:
                found.append(fingerprint(path, max_pixels=max_pixels))
            except PictureError as error:
                # anew: its traceback would hold the bytes of every broken picture
                found.append(PictureError(error.status, str(error)))
        return found

    parts = in_threads(work, paths, batch=64)
    shown = tracked(parts, total=len(paths), label="pictures read:", show=progress, step=64)
    with pillow_silent():
        return [found for part in shown for found in part]


def files_below(root: Path) -> Iterator[tuple[str, str | None]]:
    """Every entry below `root`: its path relative to root, and None or why it is no file to read.

    Folders come with the fault `a folder` and are descended into. Links to files are followed;
    links to folders too, unless they lead back into what is read already (a loop). Hidden files
    and folders are passed over. Names that are not UTF-8 are spelled with escapes and come with a
    fault, for no table could hold them.
    """
    seen = {os.path.realpath(root)}
    waiting = [(root, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise InputError(f"cannot read the folder {root}: {error.strerror}") from error
            yield prefix.rstrip("/"), f"folder cannot be read: {error.strerror}"
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            image = prefix + entry.name
            try:
                image.encode("utf-8")
            except UnicodeEncodeError:
                shown = image.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                yield shown, "name is not UTF-8; rename it"
                continue
            fault = _fault(entry)
            if fault == FOLDER:
                real = os.path.realpath(entry.path)
                if not entry.is_symlink():
                    waiting.append((Path(entry.path), f"{image}/"))
                elif any(_within(real, known) for known in seen):
                    fault = "link to a folder that is read already (a loop)"
                else:
                    seen.add(real)
                    waiting.append((Path(entry.path), f"{image}/"))
            yield image, fault


def _within(path: str, folder: str) -> bool:
    """Whether one of the two folders lies in the other, or they are the same."""
    outer, inner = sorted((path.rstrip(os.sep), folder.rstrip(os.sep)), key=len)
    return inner == outer or inner.startswith(outer + os.sep)


def _fault(entry: os.DirEntry[str]) -> str | None:
    try:
        mode = entry.stat().st_mode
    except OSError as error:  # a link to itself, a link to nothing
        return f"cannot be read: {error.strerror or error}"
    if stat.S_ISDIR(mode):
        return FOLDER
    return None if stat.S_ISREG(mode) else "not a regular file"
