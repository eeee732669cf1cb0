"""Numbers and names as people read them: one rule for report, dashboard and terminal."""

import math
import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version

FEMALE = frozenset({"1", "f", "female", "woman"})  # in small letters
MALE = frozenset({"0", "m", "male", "man"})
CODED_1_2 = "holds 1 and 2; it reads 1 as female and 0 as male: recode the column"
# What stands in columns of ages and is no number of years: its pattern, and what to do.
_NO_AGES = (
    (
        r"\d+\s*([-–]|to)\s*\d+|(more than|over|under)\s*\d+|[<>≥]?\s*\d+\s*\+?",
        "it is a band of ages; a face needs one number of years",
    ),
    (
        r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([T ].*)?",
        "it is a date; give the age in years on the day of the picture",
    ),
    (r"\d+([.,]\d+)?\s*(y|yr|yrs|years?|m|mo|months?)\W*", "write years, without their unit"),
)
# What to do about a column of ages most of which are no years.
IN_YEARS = (
    "it is in years: divide months by 12, take a year of birth from that of the picture, leave "
    "empty what is unknown"
)
CROSS = " × "  # between the features of a crossing, and between their levels
GAP_UNITS = {"years": " years", "share": " points", "score": ""}  # shares differ by points
THIN = "\u202f"  # narrow no-break space: 18 911
MINUS = "\u2212"


def _bare(text: str) -> str:
    """Without the zero before a point: `.058`."""
    return re.sub(r"(?<![0-9])0(?=[.])", "", text)


def _sign(text: str) -> str:
    return text.replace("-", MINUS)


def count(n: float) -> str:
    """18911 -> `18 911` with thin spaces."""
    return f"{int(n):,}".replace(",", THIN)


def own_version() -> str:
    """Of faceaudit; a checkout that is not installed has none."""
    try:
        return version("faceaudit")
    except PackageNotFoundError:
        return "not installed"


def agreed(n: float, one: str, many: str) -> str:
    """The word that agrees with `n`: `one` with 1, `many` with every other number."""
    return one if int(n) == 1 else many


def counted(n: float, one: str, many: str) -> str:
    """1 -> `1 row`, 1200 -> `1 200 rows`, of whatever `one` and `many` are."""
    return f"{count(n)} {agreed(n, one, many)}"


def counted_rows(n: float) -> str:
    """1 -> `1 row`, 1200 -> `1 200 rows`."""
    return counted(n, "row", "rows")


def counted_faces(n: float) -> str:
    """1 -> `1 face`, 1200 -> `1 200 faces`."""
    return counted(n, "face", "faces")


def counted_people(n: float) -> str:
    """1 -> `1 person`, 1200 -> `1 200 people`."""
    return counted(n, "person", "people")


def years(x: float, *, signed: bool = False) -> str:
    """4.123 -> `4.1`; signed: `+4.1`, with a true minus sign."""
    if x is None or math.isnan(x):
        return "–"
    return with_sign(x, 1) if signed else with_sign(x, 1).removeprefix("+")


def with_sign(x: float, digits: int) -> str:
    """4.123 -> `+4.1`, with a true minus sign; -.04 -> `0.0`: -0.0 reads as a claim."""
    rounded = round(x, digits) + 0.0
    return _sign(f"{rounded:+.{digits}f}" if rounded else f"{rounded:.{digits}f}")


def percent(x: float) -> str:
    """.91234 -> `91.2 %`."""
    return "–" if x is None or math.isnan(x) else _sign(f"{100 * x:.1f}") + "\u00a0%"


def score(x: float) -> str:
    """.0584 -> `.058`."""
    return "–" if x is None or math.isnan(x) else _bare(_sign(f"{x:.3f}"))


def p_value(p: float) -> str:
    """`p = .003`, or `p < .001`."""
    if p is None or math.isnan(p):
        return "p –"
    return "p < .001" if p < 0.0005 else _bare(f"p = {p:.3f}")


def in_unit(x: float, unit: str, *, signed: bool = False) -> str:
    """A value in the words of its metric's unit (years, share, score), without the unit's name."""
    if unit == "years":
        return years(x, signed=signed)
    return percent(x) if unit == "share" else score(x)


def gap(x: float, unit: str, *, signed: bool = False, digits: int = 3) -> str:
    """A difference without its unit's name: `4.1` years, `2.3` points of a share, a score's `.058`.

    signed: `+4.1`. digits: of a score.
    """
    if x is None or math.isnan(x):
        return "–"
    if unit == "score":
        shown = _bare(with_sign(x, digits))
    else:
        shown = with_sign(100 * x if unit == "share" else x, 1)
    return shown if signed else shown.removeprefix("+")


def gap_words(x: float, unit: str, *, signed: bool = False) -> str:
    """A difference with its unit: `4.1 years`, `12.3 points`, `.012`."""
    return gap(x, unit, signed=signed) + GAP_UNITS[unit]


def gap_interval(
    low: float, high: float, unit: str, *, signed: bool = False, digits: int = 3
) -> str:
    """`[3.4, 4.8]`, of a difference."""
    ends = (gap(x, unit, signed=signed, digits=digits) for x in (low, high))
    return f"[{', '.join(ends)}]"


def interval(low: float, high: float, unit: str, *, signed: bool = False) -> str:
    """`[3.4, 4.8]`."""
    return f"[{in_unit(low, unit, signed=signed)}, {in_unit(high, unit, signed=signed)}]"


def no_age(text: str) -> str:
    """What a text in a column of ages is instead, and what to do; nothing where nobody can say."""
    word = text.strip().lower()
    return next((words for pattern, words in _NO_AGES if re.fullmatch(pattern, word)), "")


def nearest(name: str, known: Sequence[str]) -> str:
    """`did you mean 'race'?`, or the list of what there is."""
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
