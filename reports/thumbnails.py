"""Small pictures for the gallery: made once, kept beside the audit, never outside its folders.

A picture is sent inside the page's own WebSocket message as a data URI, not from an address of its
own: whoever may not open the page cannot fetch a face either.
"""

import base64
import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageOps

from audit.errors import InputError, MachineError
from audit.files import write_atomic
from audit.held import held
from audit.picture_limits import FORMATS, MAX_BYTES, holds_all, is_remote, pixel_limit
from audit.result import AuditResult

CARD_SIDE = 208  # pixels: a card's picture on a screen of double density, to the next 16
LARGE_SIDE = 800
MOST_PIXELS = pixel_limit()  # read from the header; a larger picture is not decoded
_QUALITY = 82
_RULE = b"thumbnail 1"  # changes when the same picture would give other bytes


def images_folder(result: AuditResult, folder: Path) -> Path | None:
    """The folder that picture paths are relative to, as the audit in `folder` noted it.

    A relative one leads from there; older audits noted it from where they were run.
    None where it is not known or not there; and where it holds all that a user has (`holds_all`),
    unless the audit lies in it or is it, as where one works in one's home.
    """
    named = (result.info.get("run", {}).get("paths") or {}).get("images")
    if not named or is_remote(str(named)):
        return None
    path, here = Path(str(named)), folder.resolve()
    near = (here, here.parent)
    places = [p for p in (folder / path, path) if not holds_all(p) or p.resolve() in near]
    return next((place for place in places if place.is_dir()), None)


def picture_path(images: Path, image: str) -> Path | None:
    """The file of `image` inside the folder `images`; None where it is missing or lies outside.

    It may lie inside a tar or Parquet file (`audit.held`). Symbolic links are followed before the
    check, so that a link cannot lead out either.
    """
    try:
        root = images.resolve()
        path = (root / image).resolve()
        return path if path.is_relative_to(root) and _is_there(path) else None
    except (OSError, ValueError, RuntimeError):  # NUL bytes, names too long, loops of links
        return None


def _is_there(path: Path) -> bool:
    return path.is_file() or held(path) is not None


def thumbnails(
    images: Path | None, names: Sequence[str | None], *, cache: Path | None, side: int = CARD_SIDE
) -> list[str | None]:
    """Data URIs of the pictures `names` in the folder `images`, None where there is no picture.

    A thumbnail fits a square of `side` pixels. It is kept as a JPEG under `cache` when that can
    be written, and in memory in any case.
    """
    if images is None:
        return [None] * len(names)
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda name: _thumbnail(images, name, cache, side), names))


def _thumbnail(images: Path, name: str | None, cache: Path | None, side: int) -> str | None:
    path = picture_path(images, name) if name else None
    if path is None:
        return None
    try:
        inside = held(path)
        stat = (inside.file if inside else path).stat()
    except OSError:
        return None
    return _kept(path, stat.st_mtime_ns, stat.st_size, cache, side)


@lru_cache(maxsize=1024)
def _kept(path: Path, modified: int, size: int, cache: Path | None, side: int) -> str | None:
    seed = b"\0".join([_RULE, str(path).encode("utf-8", "surrogateescape"), b"%d" % modified])
    name = hashlib.sha256(seed + b"\0%d\0%d" % (size, side)).hexdigest()
    file = cache / name[:2] / f"{name}.jpg" if cache else None
    try:
        data = file.read_bytes() if file else b""
    except OSError:
        data = b""
    if not data:
        made = _encode(path, side)
        if made is None:
            return None
        data = made
        if file:
            _keep(file, data)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")


def _encode(path: Path, side: int) -> bytes | None:
    """The picture upright, in RGB, within `side` pixels, as JPEG without metadata."""
    try:
        inside = held(path)
        if inside and (inside.size or 0) > MAX_BYTES:
            return None
        source = io.BytesIO(inside.read()) if inside else path
        with Image.open(source, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                return None
            opened.draft("RGB", (side, side))  # JPEG: decodes at a fraction of the size
            picture = ImageOps.exif_transpose(opened).convert("RGB")
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=_QUALITY)
            return buffer.getvalue()
    except Exception:  # noqa: BLE001  (a decoder fails in its own ways; the card says "no picture")
        return None


def _keep(file: Path, data: bytes) -> None:
    def write(beside: Path) -> None:
        beside.write_bytes(data)

    try:
        write_atomic(file, write)
    except (InputError, MachineError, OSError):  # read-only or full: memory has to do
        return
