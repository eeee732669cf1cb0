"""How many pixels a picture may have: one limit, for the faces learned and those shown."""

import os

from audit.errors import InputError

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
