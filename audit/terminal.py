"""What a terminal is told: signs that it cannot take in plainer ones, and no orders of a table's.

Windows hands a pipe its old code page (cp1252: no `−`, no `→`), a bare container plain ASCII, and a
file name may hold bytes that are no text at all: none of them may cost the figures that were asked
for.
"""

import codecs
import io
import re
import sys
import unicodedata

_PLAINER = {
    "−": "-", "–": "-", "×": "x", "·": "-", "→": "->", "←": "<-", "≥": ">=", "≤": "<=",
    "“": '"', "”": '"', "’": "'", "…": "...", "±": "+/-", "°": " degrees", "σ": "sigma",
    "²": "^2", "½": " 1/2",
}  # fmt: skip


# Control characters (ESC hides what follows, BEL ends the window's name) and those that turn the
# direction of reading.
_ORDERS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"


def lines(text: str) -> str:
    """Words that may hold a table's own, without what a terminal would obey."""
    return re.sub(f"[{_ORDERS}]", _told, text)


def one_line(text: str) -> str:
    """The same in one line, whatever a level or a file's name holds."""
    return re.sub(f"[\n{_ORDERS}]", _told, text)


def _told(order: re.Match[str]) -> str:
    return order[0].encode("unicode_escape").decode()


def say_plainly() -> None:
    """Let stdout and stderr of this process take every text, whatever their encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # none at all under pythonw
            stream.reconfigure(errors="plainer")


def plainer(error: UnicodeError) -> tuple[bytes, int]:
    """What stands for the characters that could not be encoded (an error handler of `codecs`).

    A byte of a file's name that is no text stays that byte, so that a path is still the path.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return b"".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(sign: str) -> bytes:
    if "\udc80" <= sign <= "\udcff":
        return bytes([ord(sign) - 0xDC00])
    if sign in _PLAINER:
        return _PLAINER[sign].encode()
    # é is e, a thin space a space; x³ is no x3, and what has no letters is told to be there
    apart = unicodedata.normalize("NFKD", sign)
    plain = apart[0].isascii() and all(map(unicodedata.combining, apart[1:]))
    plain = plain and not apart[0].isdigit()
    return apart[0].encode() if plain else b"?"


codecs.register_error("plainer", plainer)
