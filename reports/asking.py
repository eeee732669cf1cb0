"""What one can narrow the faces by: columns, their names in the URL, their levels or spans."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from audit.result import AuditResult
from audit.rows import FaceRows
from audit.where import AREA, DERIVED, Asked, Members, Span
from audit.words import CROSS
from reports import ranges

# What the pages keep in the URL under names of their own.
OWN = {"sort": "error", "page": "1", "face": "", "from": ""}  # of the Errors page, and the usual
CHOICES = {
    "calibration": ("by", "groups", "part", "threshold", "limit", "judged"),
    "cohorts": ("first", "second"),
}
_RESERVED = {
    *(*OWN, *(name for names in CHOICES.values() for name in names)),
    *(AREA, "cohort", "pictures", "embed", "embed_options"),
}
# Numbers of the contract, and what they are called where their own names have no unit.
_NUMBERS = {
    "age_true": "true age, years",
    "age_pred": "age read, years",
    "error": "age error, years",
    "gender_score": "P(female)",
    "picture_ita": "skin tone angle (ITA), degrees",
    "picture_side": "shorter side of the picture, pixels",
}


@dataclass(frozen=True)
class Filter:
    """A column one can narrow by: its name in the URL, its label, its levels and their words.

    ends: of a column of numbers, which has no levels: its smallest and largest.
    group: whether its levels are groups that the audit compares. members: the sample ids of each
    level, where it is no column of the table.
    """

    column: str
    label: str
    levels: tuple[str, ...]
    words: Mapping[str, str] = field(default_factory=dict)
    ends: Span | None = None
    group: bool = False
    members: Mapping[str, tuple[str, ...]] | None = None

    @property
    def param(self) -> str:
        """The filter's name in the URL; a column named as a setting of ours gets a dot."""
        return f"{self.column}." if self.column in _RESERVED else self.column

    @property
    def key(self) -> str:
        """Where the session keeps the chosen levels, or the span."""
        return f"filter {self.column}"

    @property
    def open(self) -> bool:
        """Whether any level can be asked for, also one that no face has."""
        return self.ends is None and self.members is None

    def read(self, words: list[str]) -> list[str] | Span | None:
        """What the URL's `words` ask for; what does not exist is passed over."""
        if self.ends is None:
            return [level for level in self.levels if level in words]
        return ranges.read_span(words[-1], self.ends) if words else None

    @staticmethod
    def write(asked: list[str] | Span) -> list[str]:
        """What is asked for as the URL says it."""
        return [ranges.span_url(asked)] if isinstance(asked, Span) else list(asked)

    def word(self, level: str) -> str:
        """The level as people read it."""
        return self.words.get(level, level)

    def asked(self, kept: Sequence[str] | Span | None) -> Asked | None:
        """What the session keeps of it, as a question to the rows; None for nothing."""
        if isinstance(kept, Span):
            return kept
        if not kept:
            return None
        if self.members is None:
            return tuple(kept)
        return Members(tuple(kept), tuple(i for level in kept for i in self.members[level]))

    @staticmethod
    def kept(asked: tuple[str, ...] | Span | Members) -> list[str] | Span:
        """What `asked` made a question of, as the session keeps it."""
        if isinstance(asked, Members):
            return list(asked.levels)
        return list(asked) if isinstance(asked, tuple) else asked

    def said(self, asked: Asked) -> str:
        """What is asked for as people read it."""
        if isinstance(asked, Span):
            return ranges.span_words(asked)
        levels = asked.levels if isinstance(asked, Members) else asked
        return " or ".join(map(self.word, levels)) if isinstance(levels, tuple) else ""


def filters_of(result: AuditResult, rows: FaceRows) -> tuple[Filter, ...]:
    """The audit's own features, the age group as read, what went wrong, every other column.

    Those that the audit does not compare are offered too: words by level, numbers by a span.
    """
    found = [
        Filter(str(f["name"]), label_of(str(f["name"])), tuple(map(str, f["levels"])), group=True)
        for f in result.info["features"]
        if not f.get("crossing") and f["name"] in rows.columns
    ]
    ages = tuple(map(str, result.info.get("age_groups") or ()))
    if ages and "age_group_pred" in rows.columns:
        found.append(Filter("age_group_pred", label_of("age_group_pred"), ages))
    for name, derived in DERIVED.items():
        if set(derived.needs) <= set(rows.columns):
            found.append(Filter(name, derived.label, tuple(derived.levels), derived.levels))
    named = {f.column for f in found} | {"age_group"}
    found += [
        Filter(column, label_of(column), levels)
        for column, levels in rows.words.items()
        if column not in named and len(levels) > 1
    ]
    found += [
        Filter(column, column_label(column), (), ends=ends)
        for column, ends in rows.numbers.items()
        if (column in _NUMBERS or column.startswith("picture_")) and ends.low < ends.high
    ]
    return tuple(found)


def column_label(column: str) -> str:
    """A column of the faces as people read it, numbers with their unit."""
    return _NUMBERS.get(column) or label_of(column)


def label_of(feature: str) -> str:
    """A feature's name as people read it, in the report's words: `gender_true` is a label."""
    names = {
        "gender_true": "labelled gender",
        "age_group": "true age",
        "age_group_pred": "predicted age",
        "gender_pred": "called",
    }
    parts = (names.get(part, part.replace("_", " ")) for part in feature.split(CROSS))
    return CROSS.join(parts)


def widget_label(feature: str) -> str:
    """`label_of` for a widget."""
    return ranges.plain_label(label_of(feature))
