"""Signs that a terminal, a pipe or a log cannot take are said in plainer ones.

Windows hands a pipe its old code page (cp1252: no `−`, no `→`), a bare container plain ASCII, and a
file name may hold bytes that are no text at all: none of them may cost the figures that were asked
for.
"""

import codecs
import io
import sys
import unicodedata

_PLAINER = {
    "−": "-", "–": "-", "×": "x", "·": "-", "→": "->", "←": "<-", "≥": ">=", "≤": "<=",
    "“": '"', "”": '"', "’": "'", "…": "...", "±": "+/-", "°": " degrees", "σ": "sigma",
}  # fmt: skip


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
