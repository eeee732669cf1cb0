"""Names from the data among our words: how wide they are, and how they are kept in their place."""

import re
import unicodedata
from collections.abc import Callable, Iterable

# Letters written from right to left: Hebrew, Arabic and their kin.
_RIGHT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001eeff]"
)
_LEVEL = re.compile(r"[^\s×](?:[^×]*[^\s×])?")  # of a crossing
_ISOLATE = "\u2068{}\u2069"  # what is inside and what is outside do not move each other


def width(words: str) -> int:
    """How wide a text is, in Latin letters: a Chinese one counts twice, a mark not at all."""
    return sum(map(_width, words))


def _width(letter: str) -> int:
    if letter.isascii():
        return 1
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def shortened(name: str, longest: int) -> str:
    """A name at most `longest` letters wide: names that are alike often differ at their end."""
    if width(name) <= longest:
        return name
    kept = longest - 1
    end = _first(name[::-1], kept // 2)[::-1]
    return f"{_first(name, kept - kept // 2).rstrip()}…{end.lstrip()}"


def _first(words: str, longest: int) -> str:
    taken = 0
    for i, letter in enumerate(words):
        taken += _width(letter)
        if taken > longest:
            return words[:i]
    return words


def isolated(name: str) -> str:
    """A group's name in which each level that is written from right to left is an isolate.

    Without it, the number beside such a level changes sides: `70+` of a crossing becomes `+70`.
    """
    return _LEVEL.sub(lambda level: _isolate(level[0]), name)


def isolating(names: Iterable[str]) -> Callable[[str], str]:
    """A function that makes isolates of those `names` that are written from right to left."""
    right = sorted(filter(_RIGHT.search, names), key=len, reverse=True)
    if not right:
        return str
    found = re.compile("|".join(map(re.escape, right)))
    return lambda words: found.sub(lambda name: _isolate(name[0]), words)


def _isolate(name: str) -> str:
    return _ISOLATE.format(name) if _RIGHT.search(name) else name
