"""One decoder and one resize for training, prediction and exported models: Pillow only, no torch.

A picture becomes RGB bytes by content, not by suffix: orientation of EXIF applied, first frame of
an animation, 16-bit grey brought to 8, transparency laid on mid-grey. Then the whole picture is
fitted into a square, nothing cut and nothing squashed, the rest mid-grey: a detector's 3:4 box
would lose forehead and chin to a centre crop, and squashing makes a narrow face wide; both are age
cues. Mid-grey is the neutral ground: close to zero once normalised. Colour profiles are ignored.
"""

import contextlib
import hashlib
import io
import json
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, UnidentifiedImageError

from audit.errors import InputError
from audit.file_lock import locked_file
from audit.files import write_atomic
from audit.held import Held, held
from audit.picture_limits import FORMATS, MAX_BYTES, VARIABLE, pixel_limit
from model.threads import in_threads, tracked

Pixels = npt.NDArray[np.uint8]

DECODE_RULE = "pillow rgb, exif upright, fit into square on grey 128, bicubic; 1"
MAX_PIXELS = pixel_limit()
if Image.MAX_IMAGE_PIXELS and MAX_PIXELS > Image.MAX_IMAGE_PIXELS:  # asked for more than Pillow's
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
MIN_SIDE = 8  # pixels; below, no face can be seen
GROUND = (128, 128, 128)
FIT, CROP, SQUASH = RESIZES = ("fit", "crop", "squash")  # ours; what other people's models ask for
_UPRIGHT = {  # EXIF orientation -> what turns it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(ValueError):
    """A file that cannot be used as a picture: `status` is the word to count by."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def read_bytes(path: Path | str) -> bytes:
    """Bytes of a regular, non-empty file, or of a picture inside a tar or Parquet file.

    PictureError for anything else, and no hang on a FIFO.
    """
    path = Path(path)
    try:
        inside = held(path)
        if inside is not None:
            return _held_bytes(inside)
        _check_file(path.stat())
        return path.read_bytes()
    except PictureError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise PictureError("unreadable", f"cannot be read: {_why(error)}") from error


def _held_bytes(inside: Held) -> bytes:
    if inside.size is not None:
        _check_bytes(inside.size)
    data = inside.read()
    _check_bytes(len(data))
    return data


def _check_file(facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise PictureError("not_a_file", "not a regular file")
    _check_bytes(facts.st_size)


def _check_bytes(size: int) -> None:
    if size == 0:
        raise PictureError("empty", "empty (0 bytes)")
    if size > MAX_BYTES:
        raise PictureError("too_large", f"{size:,} bytes; at most {MAX_BYTES:,} are read")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


@contextlib.contextmanager
def pillow_silent() -> Iterator[None]:
    """Keep Pillow's warnings of odd metadata off the screen; what matters becomes a PictureError.

    Filters of warnings are shared by all threads: hold this around a pool, not inside a thread.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextlib.contextmanager
def opened(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """The picture in `data` with its header read and nothing decoded yet.

    Whatever goes wrong inside the `with` becomes a PictureError: decoders raise nearly every kind
    of exception on hostile bytes.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(*image.size, max_pixels=max_pixels)
            yield image
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = f"more than {max_pixels:,} pixels ({VARIABLE})"
        raise PictureError("too_large", reason) from error
    except UnidentifiedImageError as error:
        raise PictureError("decode_error", "not a picture in a known format") from error
    except MemoryError:
        raise
    except Exception as error:
        raise PictureError("decode_error", f"cannot be decoded: {str(error)[:120]}") from error


def _check_size(width: int, height: int, *, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PictureError(
            "too_large",
            f"{width:,} × {height:,} pixels; at most {max_pixels:,} are decoded ({VARIABLE})",
        )
    if min(width, height) < MIN_SIDE:
        raise PictureError(
            "too_small", f"{width} × {height} pixels; a face needs {MIN_SIDE} a side"
        )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - a broken EXIF block is no reason to refuse a good picture
        return 1


def rgb(image: Image.Image) -> Image.Image:
    """Decode `image` (first frame) to upright 8-bit RGB."""
    turn = _UPRIGHT.get(_orientation(image))
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips instead of scaling
        deep = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        image = Image.fromarray((deep >> 8).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (*GROUND, 255))
        image = Image.alpha_composite(ground, image)
    image = image.convert("RGB")
    return image.transpose(turn) if turn is not None else image


def _fit(image: Image.Image, size: int) -> Image.Image:
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    if width == height:
        return image
    square = Image.new("RGB", (size, size), GROUND)
    square.paste(image, ((size - width) // 2, (size - height) // 2))
    return square


def _square(image: Image.Image, size: int, *, resize: str) -> Image.Image:
    """The picture as a square: fitted in, or its middle (`crop`), or pressed into it (`squash`)."""
    if resize == FIT:
        return _fit(image, size)
    if resize == CROP:
        side = min(image.size)
        left, top = ((length - side) // 2 for length in image.size)
        image = image.crop((left, top, left + side, top + side))
    return image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)


def decode_picture(
    data: bytes, *, size: int, max_pixels: int = MAX_PIXELS, resize: str = FIT
) -> Pixels:
    """Decode the bytes of a picture into uint8 [size, size, 3], RGB; PictureError when it fails."""
    with opened(data, max_pixels=max_pixels) as image:
        # A JPEG at least four times too large is decoded at half its size or less: the same
        # picture to within rounding, at a fraction of the work.
        if min(image.size) >= 4 * size:
            image.draft(None, (2 * size, 2 * size))
        return np.array(_square(rgb(image), size, resize=resize))


def read_picture(path: Path | str, *, size: int, resize: str = FIT) -> Pixels:
    """Read a picture file into uint8 [size, size, 3], RGB: the only way a picture enters a network.

    `resize` is one of RESIZES; ours is `fit`, the whole picture on mid-grey.

    Raises
    ------
    PictureError
        Empty, unreadable, truncated, too many pixels by its header (then never decoded), or no
        picture at all. Its `status` is one of `empty`, `unreadable`, `not_a_file`, `too_large`,
        `too_small`, `decode_error`.
    """
    return decode_picture(read_bytes(path), size=size, resize=resize)


def open_cache(
    faces: pd.DataFrame,
    *,
    root: Path,
    size: int,
    folder: Path,
    progress: bool = False,
) -> Pixels:
    """Pictures of `faces` as a read-only memory map, uint8 [len(faces), size, size, 3], row by row.

    The file `folder/pictures-KEY.npy` is built when it is not there; KEY is a hash of the decode
    rule, the size and the content hashes in order, so a changed picture, rule or order can never
    meet an old cache. A killed build leaves no cache: it is written beside and moved into place,
    and what a kill -9 leaves is removed by the next build. Two processes that want the same cache
    take turns, and the second finds it ready.

    Parameters
    ----------
    faces
        Rows with `image` (path below `root`) and `content_hash`, as in `FaceTable.faces`.
    folder
        Where the cache lies; n·size²·3 bytes (930 MB for 18,911 faces at 128 pixels).

    Raises
    ------
    InputError
        Pictures that are gone, changed or broken since they were scanned: how many, and the first.
    MachineError
        No space left on the disk (found before the first picture is decoded).
    """
    images, hashes = list(faces["image"]), list(faces["content_hash"])
    key = hashlib.sha256(json.dumps([DECODE_RULE, size, hashes]).encode()).hexdigest()[:20]
    path = folder / f"pictures-{key}.npy"
    shape = (len(images), size, size, 3)

    def build(beside: Path) -> None:
        paths = [str(root / image) for image in images]
        # raised here, where no map holds the file any more: Windows removes none that is held
        if faults := _build_cache(beside, paths, hashes, shape, progress=progress):
            raise InputError(
                f"{len(faults):,} of {len(paths):,} pictures cannot be decoded, first "
                f"{faults[0]!r}; scan the faces again"
            )

    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # the ranks of a training, and a prediction beside it, build one cache
        with locked_file(folder / ".pictures.lock"):
            for left in folder.glob(".pictures-*.part"):
                left.unlink(missing_ok=True)
            if not path.exists():
                write_atomic(path, build)
    try:
        cache: Pixels = np.lib.format.open_memmap(path, mode="r")
        good = cache.shape == shape and cache.dtype == np.uint8
    except (ValueError, EOFError):  # no array, or one that was cut off
        good = False
    if not good:
        raise InputError(f"{path} is not the picture cache its name promises; delete it")
    return cache


def _build_cache(
    beside: Path,
    paths: Sequence[str],
    hashes: Sequence[str],
    shape: tuple[int, int, int, int],
    *,
    progress: bool,
) -> list[str]:
    """Fill the cache; what is wrong with which pictures."""
    cache = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):  # a full disk must say so here, not kill us with SIGBUS
        with beside.open("r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, beside.stat().st_size)

    def fill(rows: Sequence[int]) -> list[str]:
        faults = []
        for row in rows:
            try:
                data = read_bytes(paths[row])
                if hashlib.sha256(data).hexdigest() == hashes[row]:
                    cache[row] = decode_picture(data, size=shape[1])
                else:
                    faults.append(f"{paths[row]}: changed since it was scanned")
            except PictureError as error:
                faults.append(f"{paths[row]}: {error}")
        return faults

    work: Callable[[Sequence[int]], list[str]] = fill
    parts = in_threads(work, range(len(paths)), batch=32)
    shown = tracked(parts, total=len(paths), label="pictures decoded:", show=progress, step=32)
    with pillow_silent():
        faults = [fault for part in shown for fault in part]
    cache.flush()
    return faults
