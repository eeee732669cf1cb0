"""What a picture may be, and where it may lie: the same for the faces learned and those shown."""

import os
from pathlib import Path

from PIL import (  # the readers register themselves; left to themselves, they race in threads
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from audit.errors import InputError

_READERS = (  # no format that runs code or needs a helper program
    JpegImagePlugin.JpegImageFile,  # reads MPO, the two-picture JPEG of phones, too
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    GifImagePlugin.GifImageFile,
    BmpImagePlugin.BmpImageFile,
)
FORMATS = tuple(reader.format for reader in _READERS)
MAX_BYTES = 256 * 2**20

VARIABLE = "FACEAUDIT_MAX_PIXELS"
_USUAL = 64_000_000  # by the header, before anything is decoded; Pillow itself warns at 89 million


def pixel_limit() -> int:
    """The limit: 64 million, or what the environment says. InputError where that is no number."""
    said = os.environ.get(VARIABLE, "").replace("_", "").strip()
    if not said:
        return _USUAL
    if not said.isdecimal() or int(said) < 1:
        raise InputError(f"{VARIABLE}={os.environ[VARIABLE]}: not a number of pixels")
    return int(said)


def is_remote(folder: str) -> bool:
    """Whether a folder that a file names lies on another machine, which would learn who looks."""
    return folder.startswith(("\\\\", "//")) and not folder.startswith("\\\\?\\")


def holds_all(folder: Path) -> bool:
    """Whether a folder is a user's home, or one above it: all that they have.

    A file that names its folder of pictures may be somebody else's: such a one is not searched.
    """
    try:
        return Path.home().resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # no home, a loop of links, a NUL in the name
        return True
