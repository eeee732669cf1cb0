"""The words of a table's genders and parts: what each stands for, and which are refused."""

from collections.abc import Sequence

from audit.columns import quoted
from audit.contract import Table
from audit.errors import InputError
from audit.levels import UNKNOWN, is_missing, number_of, read_words, sorted_levels, words_of
from audit.words import CODED_1_2, FEMALE, MALE

# Beside the two, words that people mean as they stand there.
_NEITHER = {"other", "nonbinary", "non-binary", "diverse", "x", "unsure", "none", "n/a"}
_PARTS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}


def read_words_of(table: Table) -> Table:
    """The table with the words of its genders and splits read.

    Raises InputError where a gender column holds no word for female or male, is coded 1 and 2, or
    holds more words than `max_groups`; where `settings.split` names a part that does not exist.
    """
    words = {n: _gender_words(table, n) for n in ("gender_true", "gender_pred") if table.has(n)}
    others = set(words.get("gender_true", {}).values()) - {"female", "male"}
    genders = ("female", "male", *sorted_levels(others)) if table.has("gender_true") else ()
    if table.has("split"):
        words["split"] = _split_words(table)
    elif table.settings.split not in {None, "all"}:
        raise InputError(
            f"--split {table.settings.split}: {table.source.label} has no column 'split'"
        )
    return Table(table.source, table.settings, table.columns, genders, words)


def unread_parts(table: Table) -> list[str]:
    """A note on a column `split` that holds none of the three parts: nothing is left out for it."""
    parts = set(table.words.get("split", {}).values()) - {UNKNOWN}
    if not parts or parts & set(_PARTS.values()) or table.settings.split is not None:
        return []
    shown = ", ".join(map(repr, sorted(parts)[:5]))
    return [
        f"split holds {shown}, not train, valid or test: no row was left out as one of training."
    ]


def parts_left_out(table: Table) -> list[str]:
    """The parts of `split` whose rows are not audited: `train`, or all but the one asked for."""
    chosen = table.settings.split
    found = sorted(set(table.words.get("split", {}).values()))
    if chosen == "all":
        return []
    return [p for p in found if (p == "train" if chosen is None else p != chosen)]


def is_word(name: str, words: Sequence[str | None]) -> str:
    """SQL on `typed`: whether column `name` holds one of `words` (None: nothing)."""
    texts = ", ".join(quoted(w) for w in words if w is not None)
    tests = [f"{name} IN ({texts})"] if texts else []
    if None in words:
        tests.append(f"{name} IS NULL")
    return f"coalesce({' OR '.join(tests)}, false)"


def _gender_words(table: Table, name: str) -> dict[str | None, str]:
    """Raw text -> `female`, `male`, `unknown` or the word itself."""
    most = table.settings.max_groups
    rows = words_of(table.source, table.columns[name], "raw", most=most)
    if rows is None or len(rows) > most:
        raise InputError(f"{name} holds more than {most} different words; is it the right column?")
    words = {w: _gender(level) for w, level in read_words(list(rows)).items()}
    given = sorted(set(words.values()) - {UNKNOWN})
    if given and not {"female", "male"} & set(given):
        shown = ", ".join(map(repr, given[:5]))
        raise InputError(
            f"{name} holds no word for female or male, only {shown}; it reads female/male, F/M, "
            "woman/man and 1/0, in any case"
        )
    if "2" in given and any(w is not None and number_of(w) == 1 for w in words):
        raise InputError(f"{name} {CODED_1_2}")
    unread = [g for g in given if g not in {"female", "male"} and g.lower() not in _NEITHER]
    if unread and not {"female", "male"} <= set(given):
        found = next(g for g in given if g in {"female", "male"})
        shown = ", ".join(map(repr, unread[:5]))
        raise InputError(
            f"{name} holds a word for {found}, none for the other, and {shown}, which it does not "
            "read; it reads female/male, F/M, woman/man and 1/0, in any case: recode the column"
        )
    return words


def _gender(level: str) -> str:
    lower = level.lower()
    return "female" if lower in FEMALE else "male" if lower in MALE else level


def _split_words(table: Table) -> dict[str | None, str]:
    rows = words_of(table.source, table.columns["split"], "raw", most=table.settings.max_groups)
    if rows is None:
        raise InputError("split holds hundreds of different words; is it the right column?")
    parts = {w: UNKNOWN if w is None or is_missing(w) else _part(w) for w in rows}
    chosen = table.settings.split
    if chosen not in {None, "all"} and chosen not in parts.values():
        found = ", ".join(sorted(set(parts.values())))
        raise InputError(f"--split {chosen}: {table.source.label} has no such rows; split: {found}")
    return parts


def _part(word: str) -> str:
    lower = word.strip().lower()
    return _PARTS.get(lower, lower)
