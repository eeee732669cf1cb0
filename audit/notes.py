"""What a reader must know of a table before its figures: what was assumed, passed over, is odd."""

from collections.abc import Mapping, Sequence

from audit.contract import CONTRACT, Table

FAR = 10_000  # years; a reading further off counts as this far off (so that sums stay in 63 bits)
LEAKY = "subject_also_in_training"  # counted by `leaky_rows`

_COUNTED = {
    "age_pred_not_finite": "rows have no finite age_pred: not in the age figures.",
    "age_pred_far": f"rows are read more than {FAR:,} years off: counted as {FAR:,}.",
    "interval_missing": "rows have no finite interval: not in coverage and width.",
    "gender_unknown": "rows have no gender_true: not in the gender figures.",
    "gender_other": "rows have a gender_true other than female and male: levels of their own, "
    "not in the two-way gender figures.",
    "gender_not_called": "rows have no gender call: not in the gender figures.",
    "score_and_pred_disagree": "rows have a gender_pred that differs from the score's call: the "
    "score decides.",
    "subject_missing": "rows have no subject_id: each is taken as a person of its own.",
    LEAKY: "audited rows show people who are among the training rows too: this audit is leaky, "
    "strangers may be read worse than its figures say.",
}


def table_notes(
    table: Table,
    counts: Mapping[str, int],
    left_out: Mapping[str, int],
    why: Sequence[tuple[str, str]],
    constants: Mapping[str, float],
) -> list[str]:
    """What was assumed and what was passed over, in sentences.

    counts: of audited rows by name (see _COUNTED); left_out: rows by reason; why: reasons and their
    SQL on `typed`; constants: columns of the model with one value in all rows, and that value.
    """
    notes = [f"{what} was not read." for what in table.source.skipped]
    for ours, theirs in table.settings.columns.items():
        own = {c.name for c in table.source.columns}
        if ours in CONTRACT and ours != theirs and ours in own:
            notes.append(f"The table's own {ours!r} was not read: {ours} is its {theirs!r}.")
    if not table.has("sample_id"):
        notes.append(
            "There is no sample_id: rows are named by file and number, so equal results need "
            "an equal order."
        )
    if not table.has("subject_id"):
        notes.append("There is no subject_id: one photo per person is assumed.")
    notes += _out_of_range(table, left_out, why)
    notes += [f"{counts[key]:,} {words}" for key, words in _COUNTED.items() if counts.get(key)]
    if 2 * counts.get("gender_right", 0) < counts.get("gender_rows", 0):
        notes.append(
            "Fewer than half of the gender calls agree with the label: is one of the two coded the "
            "other way round? 1 is read as female, 0 as male; gender_score is P(female)."
        )
    return notes + _constant(counts, constants)


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


def _out_of_range(
    table: Table, left_out: Mapping[str, int], why: Sequence[tuple[str, str]]
) -> list[str]:
    notes, before = [], ""
    for reason, sql in why:
        if reason in left_out and reason.startswith("age_true"):
            first = table.source.rows(
                f"SELECT row_at FROM typed WHERE {before} {sql} ORDER BY row_at LIMIT 3"
            )
            places = ", ".join(table.source.place(at) for (at,) in first)
            notes.append(f"Left out, {reason}: {left_out[reason]:,} rows (first: {places}).")
        before += f"NOT coalesce({sql}, false) AND "
    return notes


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
