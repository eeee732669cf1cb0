"""Labels of faces: from file names, or from a table beside the pictures. Never guessed."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from audit.errors import InputError
from audit.words import FEMALE, IN_YEARS, MALE, no_age

RACES = ("White", "Black", "Asian", "Indian", "Other")  # UTKFace's third field, 0 to 4
GENDERS = {"0": "male", "1": "female"}
GENDER_WORDS = {
    **dict.fromkeys({*FEMALE, "1.0"}, "female"),
    **dict.fromkeys({*MALE, "0.0"}, "male"),
}
MAX_AGE = 120
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_ENDS_LIKE_A_PICTURE = re.compile(r"(jpe?g|png|webp)\s*$", re.IGNORECASE)
_FEW = 20  # a folder with fewer names says too little about how its names are built


@dataclass(frozen=True)
class Label:
    """What a name or a row says of one face."""

    age: float  # years, 0 to 120
    gender: str  # female or male
    race: str | None  # one of RACES from a name; any text from a table


def is_picture_name(name: str) -> bool:
    """Whether a name ends like a picture, also with the untidy tails of real folders."""
    return _ENDS_LIKE_A_PICTURE.search(name) is not None


def label_of_name(name: str) -> Label | str:
    """Label in `<age>_<gender>[_<race>]_*`, or the reason why there is none.

    A third field that is not 0 to 4 (a time stamp, say) is not a race.
    """
    age, *rest = name.split("_")
    if not rest or not (age.isascii() and age.isdigit()):
        return "name does not begin with an age and `_`"
    if len(age) > 3 or int(age) > MAX_AGE:
        return f"age {age[:20]} is not in 0 to {MAX_AGE}"
    gender = rest[0]
    if len(rest) == 1:
        return "name has no `_` after the gender: `<age>_<gender>[_<race>]_*` is expected"
    if gender == "":
        return "gender is empty"
    if gender not in GENDERS:
        return f"gender is {gender[:20]!r}, not 0 (male) or 1 (female)"
    has_race = len(rest) > 2 and rest[1] in ("0", "1", "2", "3", "4")
    return Label(int(age), GENDERS[gender], RACES[int(rest[1])] if has_race else None)


def labels_of_names(images: Sequence[str]) -> list[Label | str]:
    """Label of every path, where a name without race is refused if its neighbours have one.

    `39_1_2017.jpg` in a folder of `39_1_0_2017.jpg` lacks a field, and nobody can say which: the 1
    may be the gender or the race. It is refused where more than half of the names carry a race:
    the names of its own folder, or all names when that folder has fewer than 20. In a folder
    without races it is a name like any other.
    """
    labels = [label_of_name(image.rsplit("/", 1)[-1]) for image in images]
    folders = [image.rpartition("/")[0] for image in images]
    named: Counter[str] = Counter()
    with_race: defaultdict[str, int] = defaultdict(int)
    for folder, label in zip(folders, labels, strict=True):
        if isinstance(label, Label):
            named[folder] += 1
            with_race[folder] += label.race is not None
    all_named, all_with_race = sum(named.values()), sum(with_race.values())
    for row, (folder, label) in enumerate(zip(folders, labels, strict=True)):
        if isinstance(label, str) or label.race is not None:
            continue
        few = named[folder] < _FEW
        n, k = (all_named, all_with_race) if few else (named[folder], with_race[folder])
        if 2 * k > n:
            labels[row] = (
                "a field is missing: the other names carry a race, this one has two fields"
            )
    return labels


def label_of_row(age: object, gender: object, race: object) -> Label | str:
    """Label in one row of a label file, or the reason why there is none."""
    if pd.isna(age):  # type: ignore[call-overload]
        return "age is empty"
    years = _number(age)
    if years is None:
        why = no_age(str(age))
        return f"age {str(age)[:20]!r} is not a number{f': {why}' if why else ''}"
    if not 0 <= years <= MAX_AGE:  # also false for NaN
        return f"age {str(age)[:20]} is not in 0 to {MAX_AGE}"
    if pd.isna(gender) or not str(gender).strip():  # type: ignore[call-overload]
        return "gender is empty"
    word = GENDER_WORDS.get(str(gender).strip().lower())
    if word is None:
        return f"gender is {str(gender)[:20]!r}, not female or male"
    if pd.isna(race) or not str(race).strip():  # type: ignore[call-overload]
        return Label(years, word, None)
    # codes beside an empty cell come as floats
    code = int(race) if isinstance(race, float) and race.is_integer() else race
    return Label(years, word, str(code))


def refuse_ages(ages: Sequence[object], *, label: str, places: Sequence[str]) -> None:
    """InputError where most ages lie out of range, as `audit.breaches.refuse_range` has it.

    Of months, those of babies would pass for years. places: where each age stands, in words.
    """
    odd = [
        (place, age)
        for place, age in zip(places, ages, strict=True)
        if (years := _number(age)) is not None and not (pd.isna(years) or 0 <= years <= MAX_AGE)
    ]
    if 2 * len(odd) > len(ages):
        place, first = odd[0]
        raise InputError(
            f"{label}: age is not in 0 to {MAX_AGE} in {len(odd):,} of {len(ages):,} rows (first: "
            f"{place}, {str(first)[:20]!r}); {IN_YEARS}"
        )


def _number(age: object) -> float | None:
    """A value of a column of ages as a number, NaN where it is empty; None where it is none."""
    try:
        # Python reads 3_0 as 30; who knows what was meant
        return float(str(age).replace("_", "x")) if age is not None else math.nan
    except ValueError:
        return None
