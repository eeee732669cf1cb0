"""What a reader must know of a table before its figures: what was assumed, passed over, is odd."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from audit.contract import CONTRACT, Table
from audit.marked import marked_notes
from audit.words import agreed

FAR = 10_000  # years; a reading further off counts as this far off (so that sums stay in 63 bits)
LEAKY = "subject_also_in_training"  # counted by `leaky_rows`
UNMET = "marks_of_no_row"  # marked faces that the table does not hold
WITHHELD = "cells_withheld"  # counted by `audit.predictions.open_predictions`, with `min_cell`
# Whether ages are read in years: the median of read to true age, as counts that add up over sites.
# From ten years of age on, for a poor model may well read every infant as thirty.
_TIMES = 6
UNIT_SQL = {
    "age_ten_or_more": "age_true >= 10",
    "age_pred_many_times": f"age_true >= 10 AND age_pred > {_TIMES} * age_true",
    "age_pred_a_fraction": f"age_true >= 10 AND {_TIMES} * age_pred < age_true",
}

_HAVE = ("row has", "rows have")
# What is counted: its words for one, for many, and what follows.
_COUNTED = {
    "age_pred_not_finite": (*_HAVE, "no finite age_pred: not in the age figures."),
    "age_pred_far": (
        *("row is", "rows are"),
        f"read more than {FAR:,} years off: counted as {FAR:,}.",
    ),
    "interval_missing": (*_HAVE, "no finite interval: not in coverage and width."),
    "gender_unknown": (*_HAVE, "no gender_true: not in the gender figures."),
    "gender_other": (
        *_HAVE,
        (
            "a gender_true other than female and male: levels of their own, not in the two-way "
            "gender figures."
        ),
    ),
    "gender_not_called": (*_HAVE, "no gender call: not in the gender figures."),
    "score_and_pred_disagree": (
        *_HAVE,
        "a gender_pred that differs from the score's call: the score decides.",
    ),
    "subject_missing": (*_HAVE, "no subject_id: each is taken as a person of its own."),
    WITHHELD: (
        *("cell", "cells"),
        (
            "(one level of every feature) held too few people to be handed over: their rows were "
            "withheld where they were read."
        ),
    ),
    LEAKY: (
        *("audited row shows", "audited rows show"),
        (
            "people who are among the training rows too: this audit is leaky, strangers may be "
            "read worse than its figures say."
        ),
    ),
}


@dataclass(frozen=True)
class Facts:
    """What a reader must know of a table, as counts that add up over tables (see audit.sites).

    unread: columns that were not read, in sentences. unfit: columns that are no feature, likewise.
    counts: of audited rows by name (see _COUNTED), and the rows of each head. constants: columns of
    the model with one value in all rows, and that value. places: reason -> its first rows.
    """

    unread: tuple[str, ...]
    unfit: tuple[str, ...]
    ids_made: bool
    ids_checked: bool
    subjects_assumed: bool
    left_out: Mapping[str, int]
    counts: Mapping[str, int]
    constants: Mapping[str, float]
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def heads(self) -> tuple[str, ...]:
        """Of `age`, `interval`, `gender`, `score`: those with rows."""
        return tuple(head for head in _HEADS if self.counts.get(f"{head}_rows"))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed and what was passed over, in sentences."""
        notes = [*self.unread]
        if self.ids_made:
            notes.append(
                "There is no sample_id: rows are named by file and number, so equal results need "
                "an equal order."
            )
        if self.subjects_assumed:
            notes.append("There is no subject_id: one photo per person is assumed.")
        counts = self.counts
        notes += [
            self._left_out(why) for why in sorted(self.left_out) if why.startswith("age_true")
        ]
        notes += [
            f"{n:,} {agreed(n, one, many)} {rest}"
            for key, (one, many, rest) in _COUNTED.items()
            if (n := counts.get(key, 0))
        ]
        if 2 * counts.get("gender_right", 0) < counts.get("gender_rows", 0):
            notes.append(
                "Fewer than half of the gender calls agree with the label: is one of the two coded "
                "the other way round? 1 is read as female, 0 as male; gender_score is P(female)."
            )
        notes += [*_unit(counts), *_constant(counts, self.constants)]
        notes += marked_notes(self.left_out, counts.get(UNMET, 0))
        return (*notes, *self.unfit)

    def _left_out(self, why: str) -> str:
        at = f" (first: {self.places[why]})." if why in self.places else ""
        n = self.left_out[why]
        return f"Left out, {why}: {n:,} {agreed(n, 'row', 'rows')}{at}"


_HEADS = ("age", "interval", "gender", "score")


def without_lines(note: str) -> str:
    """A note without the lines it points to: those depend on the order of the rows."""
    return note.partition(" (first: ")[0]


def table_facts(
    table: Table,
    *,
    left_out: Mapping[str, int],
    counts: Mapping[str, int],
    constants: Mapping[str, float],
    why: Sequence[tuple[str, str]],
    unfit: Sequence[str],
    ids_checked: bool,
) -> Facts:
    """The facts of a table. why: reasons for which rows are left out, and their SQL on `typed`."""
    unread = [f"{what} was not read." for what in table.source.skipped]
    for ours, theirs in table.settings.columns.items():
        own = {c.name for c in table.source.columns}
        if ours in CONTRACT and ours != theirs and ours in own:
            unread.append(f"The table's own {ours!r} was not read: {ours} is its {theirs!r}.")
    pair = ("age_low", "age_high")
    unread += [
        f"{one} was not read: there is no {other}."
        for one, other in (pair, pair[::-1])
        if table.has(one) and not table.has(other)
    ]
    unread += _half_heads(table)
    return Facts(
        unread=tuple(unread),
        unfit=tuple(unfit),
        ids_made=not table.has("sample_id"),
        ids_checked=ids_checked,
        subjects_assumed=not table.has("subject_id"),
        left_out=left_out,
        counts=counts,
        constants=constants,
        places=_places(table, left_out, why),
    )


def _half_heads(table: Table) -> list[str]:
    """Readings without the label they are of, and names that are ours but for capital letters."""
    lacking = [
        (said, truth)
        for said, truth in (
            ("age_pred", "age_true"),
            ("gender_score", "gender_true"),
            ("gender_pred", "gender_true"),
        )
        if table.has(said) and not table.has(truth)
    ]
    alike = {name.lower(): name for name in table.own}
    return [
        *(
            f"{said} is not audited: there is no {truth}; name its column with "
            f"--column {truth}={alike.get(truth, 'THEIRS')}."
            for said, truth in lacking
        ),
        *(
            f"{alike[ours]!r} is a column of the table's own: --column {ours}={alike[ours]} reads "
            f"it as {ours}."
            for ours in CONTRACT
            if ours in alike and not table.has(ours)
        ),
    ]


def leaky_rows(table: Table, why: Sequence[tuple[str, str]]) -> int:
    """Rows of `faces` whose person (by subject_id) has a photo among the training rows.

    0 where the table names no people, or no training rows are left out.
    """
    training = next((sql for reason, sql in why if reason == "split is train"), None)
    if training is None or not table.has("subject_id"):
        return 0
    return int(
        table.source.one(
            "SELECT count(*) AS n FROM faces WHERE person IN "
            f"(SELECT person FROM typed WHERE {training})"
        )["n"]
    )


def _places(
    table: Table, left_out: Mapping[str, int], why: Sequence[tuple[str, str]]
) -> dict[str, str]:
    """The first rows left out for a true age that is none: where to look."""
    places, before = {}, ""
    for reason, sql in why:
        if reason in left_out and reason.startswith("age_true") and table.source.ordered:
            first = table.source.rows(
                f"SELECT row_at FROM typed WHERE {before} {sql} ORDER BY row_at LIMIT 3"
            )
            places[reason] = ", ".join(table.source.place(at) for (at,) in first)
        before += f"NOT coalesce({sql}, false) AND "
    return places


def _unit(counts: Mapping[str, int]) -> list[str]:
    """A question where most ages are read as many times what they are, or as a small part of it."""
    faces = counts.get("age_ten_or_more", 0)
    ways = {
        "age_pred_many_times": f"more than {_TIMES} times as old as they are: is age_pred in "
        "months, or a year of birth?",
        "age_pred_a_fraction": f"less than 1/{_TIMES} as old as they are: is age_pred in decades, "
        "or scaled to 0 to 1?",
    }
    return [
        f"{counts[way]:,} of {faces:,} faces of 10 years and more are read as {words} It must be "
        "in years, as age_true is."
        for way, words in ways.items()
        if 2 * counts.get(way, 0) > faces
    ]


def _constant(counts: Mapping[str, int], constants: Mapping[str, float]) -> list[str]:
    """A model that says the same of every face has figures, but none that mean anything."""
    notes = []
    if "age_pred" in constants:
        notes.append(
            f"Every face is read as {constants['age_pred']:g} years old: the model's age does not "
            "depend on the face."
        )
    if "gender_score" in constants:
        notes.append(
            f"Every face has the same P(female), {constants['gender_score']:g}: the model's score "
            "does not depend on the face."
        )
    elif counts.get("gender_rows", 0) > 1 and counts["called_female"] in (0, counts["gender_rows"]):
        word = "female" if counts["called_female"] else "male"
        notes.append(f"Every face is called {word}.")
    return notes
