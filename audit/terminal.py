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


def plainer(error: UnicodeError) -> tuple[str, int]:
    """What stands for the characters that could not be encoded (an error handler of `codecs`)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(sign: str) -> str:
    if sign in _PLAINER:
        return _PLAINER[sign]
    letters = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return letters or "?"  # é is e, a sign of another script is told to be there


codecs.register_error("plainer", plainer)
