"""Marks: faces that a person who looked at them holds to be mislabelled, or out of scope.

A file of marks is only ever appended to (`audit.lines`): the last line of a face holds, and taking
a mark back is another line. Nobody's name is in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.columns import quoted
from audit.errors import InputError
from audit.lines import Line, read_lines

KINDS = ("mislabelled", "out of scope")
TAKEN_BACK = "taken back"
LONGEST = 500  # characters of a reason
LEFT_OUT = "marked "  # what the reason of a row that is left out starts with


@dataclass(frozen=True)
class Mark:
    """One line: when (ISO 8601, UTC), which face, what it is held to be, and why in words."""

    time: str
    sample_id: str
    kind: str
    reason: str

    def record(self) -> dict[str, str]:
        """The mark as a line of the file."""
        return asdict(self)


def new_mark(sample_id: str, kind: str, reason: str = "") -> Mark:
    """A mark of now. Its reason is one line of text, cut at LONGEST characters."""
    words = " ".join("".join(c if c.isprintable() else " " for c in reason).split())
    return Mark(datetime.now(UTC).isoformat(timespec="seconds"), sample_id, kind, words[:LONGEST])


def mark_of(line: Line) -> Mark:
    """The mark of a line. Raises InputError, whose words follow on `line 3: it`, for damage."""
    if line.record is None:
        raise InputError(line.why)
    values = {name: line.record.get(name) for name in Mark.__dataclass_fields__}
    for name, value in values.items():
        if not isinstance(value, str):
            raise InputError(f"has no {name}" if value is None else f"has a {name} that is no text")
    mark = Mark(**{name: str(value) for name, value in values.items()})
    if mark.kind not in (*KINDS, TAKEN_BACK):
        known = ", ".join(map(repr, (*KINDS, TAKEN_BACK)))
        raise InputError(f"has the kind {mark.kind!r}; there are: {known}")
    if not mark.sample_id:
        raise InputError("has an empty sample_id")
    return mark


def standing(marks: Iterable[Mark]) -> dict[str, Mark]:
    """The marks in force, by sample_id, in the order they were set."""
    found: dict[str, Mark] = {}
    for mark in marks:
        found.pop(mark.sample_id, None)
        if mark.kind != TAKEN_BACK:
            found[mark.sample_id] = mark
    return found


def read_marks(path: Path) -> dict[str, Mark]:
    """The marks in force of a file. Raises InputError, naming the line, where one is damaged."""
    try:
        lines = read_lines(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if not path.exists():
        raise InputError(f"no marks at {path}; the dashboard writes them to DIR/user/marks.jsonl")
    marks = []
    for line in lines:
        try:
            marks.append(mark_of(line))
        except InputError as error:
            raise InputError(
                f"{path}, line {line.number}: it {error}; repair the line or take it out"
            ) from error
    return standing(marks)


def reasons_of(marks: Mapping[str, Mark], name: str) -> list[tuple[str, str]]:
    """Why marked rows are left out: words, and SQL where `name` is the SQL of the sample_id."""
    found = []
    for kind in KINDS:
        ids = sorted(i for i, mark in marks.items() if mark.kind == kind)
        if ids:
            found.append((f"{LEFT_OUT}{kind}", f"{name} IN ({', '.join(map(quoted, ids))})"))
    return found


def marked_notes(left_out: Mapping[str, int], missing: int) -> Sequence[str]:
    """What a reader must know of an audit without marked faces.

    left_out: rows by reason. missing: how many of the marked faces the table does not hold.
    """
    rows = {why: n for why, n in left_out.items() if why.startswith(LEFT_OUT)}
    notes = []
    if rows:
        listed = ", ".join(f"{n:,} {why}" for why, n in rows.items())
        notes.append(
            f"Faces were left out by hand: {listed}. Faces are looked at where a model errs most, "
            "so its errors are smaller without them for that reason alone."
        )
    if missing:
        are = "marked face is" if missing == 1 else "marked faces are"
        notes.append(f"{missing:,} {are} not in this table.")
    return notes


def table_of(marks: Mapping[str, Mark]) -> list[dict[str, Any]]:
    """The marks in force as rows: time, sample_id, kind, reason."""
    return [mark.record() for mark in marks.values()]
