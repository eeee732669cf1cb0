"""The contract of the predictions table: its names, its words for gender, what breaks it.

Everything here turns the relation `raw` into `typed`: one row a face, in the contract's columns,
with numbers that are finite, infinite (no number at all) or NULL (empty).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from audit.columns import Column, quoted
from audit.config import OLDEST, AuditSettings
from audit.errors import InputError
from audit.levels import (
    UNKNOWN,
    code_sql,
    is_missing,
    number_of,
    read_words,
    sorted_levels,
    words_of,
)
from audit.shards import key_sql
from audit.source import Source
from audit.words import nearest

NUMBERS = ("age_true", "age_pred", "age_low", "age_high", "age_std", "gender_score")
_TEXTS = ("sample_id", "subject_id", "image", "split", "gender_true", "gender_pred")
CONTRACT = (*_TEXTS, *NUMBERS)
# What `predict` writes of the picture itself (docs/conditions.md). Nine more features and their
# crossings would drown the comparisons asked for, so they are features only when named.
CONDITIONS = (
    *("picture_brightness", "picture_contrast", "picture_sharpness", "picture_colourfulness"),
    *("picture_ita", "picture_skin_tone", "picture_side", "picture_bits_per_pixel"),
    "picture_copy",
)
IMAGES_KEY = "faceaudit.images"  # in the metadata of a Parquet: the folder of its pictures
TALLY_KEY = "faceaudit.tally"  # in the metadata of a Parquet: it holds counts, not rows
CONDITION_WORDS = ("picture_skin_tone", "picture_copy")  # the others are numbers
FEMALE = frozenset({"1", "f", "female", "woman"})
MALE = frozenset({"0", "m", "male", "man"})
# Beside the two, words that people mean as they stand there.
_NEITHER = {"other", "nonbinary", "non-binary", "diverse", "x", "unsure", "none", "n/a"}
_PARTS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
EXACT_ROWS = 5_000_000  # up to here ids and persons are counted exactly without being asked to
_ID_BITS = 2**27  # ids of whole numbers within such a range are checked by bits, 16 MB of them


@dataclass(frozen=True)
class Table:
    """A source with its names mapped: contract name -> column of `raw`.

    genders: levels of gender_true (female and male first). genders_true, genders_pred: raw text ->
    level. splits: raw text -> part. Filled by `map_names` and `read_genders`.
    """

    source: Source
    settings: AuditSettings
    columns: Mapping[str, Column]
    genders: tuple[str, ...] = ()
    words: Mapping[str, Mapping[str | None, str]] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        """Whether the table has all these columns of the contract."""
        return all(name in self.columns for name in names)

    @property
    def own(self) -> dict[str, Column]:
        """The table's own columns: neither of the contract nor mapped away, in table order."""
        taken = {c.sql for c in self.columns.values()}
        return {
            c.name: c for c in self.source.columns if c.sql not in taken and c.name not in CONTRACT
        }


def map_names(source: Source, settings: AuditSettings) -> Table:
    """The columns of the contract, by their own names or by `settings.columns`.

    A name that is not the contract's gives a feature that name. Raises InputError for a name on
    either side that is wrong, with the nearest right one, and for a table of which neither head
    can be read.
    """
    if TALLY_KEY in source.metadata:
        raise InputError(
            f"{source.label} holds a tally, counts without rows: `faceaudit merge` adds tallies "
            "up, `faceaudit audit FILE` audits one"
        )
    theirs = {c.name: c for c in source.columns}
    for name, their in settings.columns.items():
        _check_pair(name, their, source)
    taken = set(settings.columns.values())
    plain = {n: theirs[n] for n in CONTRACT if n in theirs and n not in taken}
    mapped = {name: theirs[their] for name, their in settings.columns.items()}
    table = Table(
        _rename_features(source, settings),
        settings,
        plain | {name: column for name, column in mapped.items() if name in CONTRACT},
    )
    gender = table.has("gender_true") and (table.has("gender_score") or table.has("gender_pred"))
    if not (gender or table.has("age_true", "age_pred")):
        alike = {n.lower(): n for n in theirs if n not in CONTRACT}
        meant = [f"{n}={alike[n]}" for n in CONTRACT if n in alike] or ["age_pred=THEIRS"]
        raise InputError(
            f"{source.label} has neither age_true and age_pred nor gender_true and gender_score "
            f"(or gender_pred); found: {', '.join(theirs) or 'no column'}; map a foreign name "
            f"with --column {' '.join(meant)}"
        )
    return table


def _check_pair(name: str, their: str, source: Source) -> None:
    """Raise InputError for a `--column` that names what is not there, or renames onto another."""
    asked, names = f"--column {name}={their}", [c.name for c in source.columns]
    if their not in names:
        raise InputError(
            f"{asked}: {source.label} has no column {their!r}; {nearest(their, names)}"
        )
    if name in CONTRACT:
        return
    if get_close_matches(name, CONTRACT, n=1, cutoff=0.8):  # `age_prd` is no feature
        raise InputError(f"{asked}: there is no column {name!r}; {nearest(name, CONTRACT)}")
    if name in names and name != their:
        raise InputError(f"{asked}: {source.label} has a column {name!r} of its own; rename one")


def _rename_features(source: Source, settings: AuditSettings) -> Source:
    """The source with its features under the names that `--column` gives them."""
    names = {their: name for name, their in settings.columns.items() if name not in CONTRACT}
    columns = tuple(replace(c, name=names.get(c.name, c.name)) for c in source.columns)
    return replace(source, columns=columns)


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


def typed_sql(table: Table, parts: Sequence[str], raw: str = "raw") -> str:
    """SQL of `typed`: `raw` (what follows FROM), and beside it the contract's columns.

    These are sample_id, subject_id, image, split, the numbers, face and person (keys below 2^60: of
    the sample, or its row; of the subject, or the face), gender_true and gender_pred as they stand
    there, gender_level (code into `table.genders`), y (1 true female, 0 true male, else NULL),
    called (the same for the call: by the score, else by gender_pred) and called_pred (by
    gender_pred alone). parts: those of `typed_parts`.
    """
    threshold = f"{table.settings.threshold!r}::DOUBLE"
    return (
        f"SELECT *, coalesce(CASE WHEN isfinite(gender_score) "
        f"THEN (gender_score >= {threshold})::TINYINT END, called_pred) AS called "
        f"FROM (SELECT {', '.join(parts)} FROM {raw})"
    )


def typed_parts(table: Table) -> list[str]:
    """SQL on `raw` of the columns of `typed`, but for `called`; what ids look like is asked."""
    parts = raw_columns(table)
    for name in _TEXTS:
        column = table.columns.get(name)
        id_ = column is not None and name.endswith("_id")
        text = "NULL::VARCHAR" if column is None else id_text(table, name) if id_ else column.text
        parts.append(f"{text} AS {name}")
    for name in NUMBERS:
        column = table.columns.get(name)
        number = "NULL::DOUBLE" if column is None else f"nullif({column.number}, 'nan'::DOUBLE)"
        parts.append(f"{number} AS {name}")
    face = _key(table, "sample_id") if table.has("sample_id") else "row_at"
    person = face
    if table.has("subject_id"):
        missing = no_id(table, "subject_id", text=id_text(table, "subject_id"))
        person = f"CASE WHEN {missing} THEN {face} ELSE {_key(table, 'subject_id')} END"
    parts += [f"{face} AS face", f"{person} AS person"]
    level = "NULL::SMALLINT"
    if table.has("gender_true"):
        level = code_sql(table.columns["gender_true"], table.words["gender_true"], table.genders)
    parts.append(f"{level} AS gender_level")
    parts.append(f"{_two_way(table, 'gender_true')} AS y")
    parts.append(f"{_two_way(table, 'gender_pred')} AS called_pred")
    return parts


def raw_columns(table: Table) -> list[str]:
    """The columns of `raw`."""
    return ["row_at", *(c.sql for c in table.source.columns)]


def typed_columns(table: Table) -> list[str]:
    """The columns of `typed`, in their order."""
    made = ("face", "person", "gender_level", "y", "called_pred", "called")
    return [*raw_columns(table), *CONTRACT, *made]


def refuse_texts(table: Table) -> None:
    """InputError where a column of ages holds texts that are none, with the first of them.

    A stray word passes as a missing number; decimal commas, or more than half of all, do not. A
    score must be one in every row (`breaches`).
    """
    ages = {n: table.columns[n] for n in NUMBERS if table.has(n) and n != "gender_score"}
    texts = {n: column for n, column in ages.items() if column.kind in {"text", "other"}}
    if not texts:
        return
    asked = []
    for column in texts.values():
        commas = f"regexp_full_match(trim({column.text}), '[-+]?[0-9]+,[0-9]+')"
        wrong = f"coalesce({_no_number(column)}, false)"
        asked += [
            f"count(*) FILTER ({wrong})",
            f"count(*) FILTER ({wrong} AND {commas})",
            f"count({column.number})",
        ]
    [found] = table.source.rows(f"SELECT {', '.join(asked)} FROM raw")
    for i, column in enumerate(texts.values()):
        wrong_n, commas_n, given = map(int, found[3 * i : 3 * i + 3])
        if not commas_n and 2 * wrong_n <= given:
            continue
        order = " ORDER BY row_at" if table.source.ordered else ""
        at, word = table.source.rows(
            f"SELECT row_at, {column.text} FROM raw WHERE {_no_number(column)}{order} LIMIT 1"
        )[0]
        place = f"{table.source.place(at)}, " if table.source.ordered else ""
        hint = "; decimals are written with a point" if commas_n else ""
        raise InputError(
            f"{table.source.label}: {column.name} is no number in {wrong_n:,} of {given:,} rows "
            f"(first: {place}{word!r}){hint}"
        )


def _no_number(column: Column) -> str:
    infinite = "('inf', '-inf', '+inf', 'infinity', '-infinity')"
    return f"NOT isfinite({column.number}) AND lower(trim({column.text})) NOT IN {infinite}"


def reasons(table: Table) -> list[tuple[str, str]]:
    """Why a row is left out: words, and SQL on `typed`; a row has the first reason that holds."""
    found = []
    for part in _parts_left_out(table):
        words = [w for w, p in table.words["split"].items() if p == part]
        found.append((f"split is {part}", _is_word("split", words)))
    heads = []
    if table.has("age_true", "age_pred"):
        heads.append("coalesce(isfinite(age_pred), false)")
    if table.has("age_true"):
        found.append(("age_true is empty", "age_true IS NULL"))
        found.append(
            (f"age_true is not from 0 to {OLDEST}", f"NOT age_true BETWEEN 0 AND {OLDEST}")
        )
    if table.has("gender_true"):
        heads.append("(y IS NOT NULL AND called IS NOT NULL)")
    found.append(("no finite age and no gender call", f"NOT ({' OR '.join(heads)})"))
    return found


@dataclass(frozen=True)
class Breach:
    """Rows that make the whole table wrong: SQL on `typed`, and the words for (rows, place, value).

    `shown` names the columns whose values are shown of the first such row, as they stand there.
    """

    sql: str
    shown: tuple[str, ...]
    words: Callable[[str, str, str], str]


def breaches(table: Table) -> dict[str, Breach]:
    """What the contract forbids, for the columns that the table has."""
    found = {
        "gender_score": Breach(
            "NOT gender_score BETWEEN 0 AND 1",
            ("gender_score",),
            lambda n, at, value: (
                f"gender_score is not from 0 to 1 in {n} (first: {at}, {value}); it is P(female): "
                "turn logits by 1 / (1 + exp(-x)), divide percent by 100"
            ),
        ),
        "age_low": Breach(
            "age_low > age_high",
            ("age_low", "age_high"),
            lambda n, at, value: (
                f"age_low is above age_high in {n} (first: {at}, {value}); are the two swapped?"
            ),
        ),
        "age_std": Breach(
            "NOT (age_std > 0 AND isfinite(age_std))",
            ("age_std",),
            lambda n, at, value: (
                f"age_std is not above 0 in {n} (first: {at}, {value}); "
                "it is a standard deviation in years, empty where there is none"
            ),
        ),
        "sample_id": Breach(
            no_id(table, "sample_id"),
            ("sample_id",),
            lambda n, at, _: (
                f"sample_id is empty in {n} (first: {at}); give every face its own, "
                "or leave the whole column out"
            ),
        ),
    }
    return {name: breach for name, breach in found.items() if table.has(name)}


def refuse(table: Table, name: str, rows: int) -> InputError:
    """The error for `rows` rows that breach the contract in column `name`."""
    breach = breaches(table)[name]
    place, values = _first_breach(table, breach)
    value = " to ".join(map(repr, map(str, values))) if None not in values else "empty"
    many = f"{rows:,} row{'s' if rows > 1 else ''}"
    words = breach.words(many, place, value)
    return InputError(f"{table.source.label}: {words}")


def _first_breach(table: Table, breach: Breach) -> tuple[str, tuple[object, ...]]:
    """Where the first row stands that breaches the contract, and its values there."""
    source = table.source
    if not source.ordered:
        shown = ", ".join(breach.shown)
        first = f"SELECT sample_id, {shown} FROM typed WHERE {breach.sql} ORDER BY 1 LIMIT 1"
        name, *given = source.rows(first)[0]
        return f"sample_id {name}", tuple(given)
    first = f"SELECT row_at FROM typed WHERE {breach.sql} ORDER BY row_at LIMIT 1"
    at = source.rows(first)[0][0]
    texts = ", ".join(table.columns[c].text for c in breach.shown)
    return source.place(at), source.rows(f"SELECT {texts} FROM raw WHERE row_at = {at}")[0]


def check_ids(table: Table, rows: int) -> bool:
    """Whether `sample_id` is known to be unique; False where the table is too long to look.

    Raises InputError that lists the first ten ids which are not.
    """
    if not table.has("sample_id"):
        return True
    if rows > EXACT_ROWS and not table.settings.check_ids:
        return False
    if _distinct_ids(table) == rows:
        return True
    twins = table.source.rows(
        "SELECT sample_id, count(*), count(*) OVER () FROM typed GROUP BY 1 HAVING count(*) > 1 "
        "ORDER BY 1 LIMIT 10"
    )
    if not twins:
        return True
    shown = ", ".join(f"{word} ({n} times)" for word, n, _ in twins)
    ids = twins[0][2]
    more = f" and {ids - len(twins):,} more" if ids > len(twins) else ""
    raise InputError(
        f"{table.source.label}: sample_id is not unique, {ids:,} stand in several rows: "
        f"{shown}{more}; give every face its own (a person goes in subject_id)"
    )


def _distinct_ids(table: Table) -> int:
    """How many ids there are, or hashes of ids: equal ids have equal hashes, and they are cheaper.

    Whole numbers that lie close together are marked in a row of bits, far cheaper again.
    """
    column = table.columns["sample_id"]
    if column.kind != "whole":
        return int(table.source.one("SELECT count(DISTINCT hash(sample_id)) AS n FROM typed")["n"])
    counted = f"count(DISTINCT {column.sql})"
    ends = table.source.one(f"SELECT min({column.sql}) AS low, max({column.sql}) AS high FROM raw")
    low, high = ends["low"], ends["high"]
    if low is not None and high - low < _ID_BITS:
        counted = f"bit_count(bitstring_agg({column.sql}, {low}, {high}))"
    return int(table.source.one(f"SELECT {counted} AS n FROM raw")["n"])


def id_text(table: Table, name: str) -> str:
    """SQL of an id of `raw` as text: 12, '12' and 12.0 (pandas, where some are missing) are one."""
    column = table.columns[name]
    if column.kind == "whole":
        return column.text
    if column.kind not in {"number", "single"}:
        rows = table.source.rows(f"SELECT {column.text} FROM raw WHERE {column.sql} <> '' LIMIT 99")
        if not all(w.endswith(".0") and w[:-2].isdecimal() for (w,) in rows if not is_missing(w)):
            return column.text
    text = column.text
    whole = f"regexp_full_match({text}, '[0-9]+[.]0')"
    return f"CASE WHEN {whole} THEN left({text}, length({text}) - 2) ELSE {text} END"


def _key(table: Table, name: str) -> str:
    """SQL of the key of an id of `raw`; whole numbers need no detour through their text."""
    column, text = table.columns[name], id_text(table, name)
    if column.kind != "whole":
        return key_sql(text)
    plain = f"{column.sql} BETWEEN 0 AND 999999999999999999"
    return f"CASE WHEN {plain} THEN {column.sql}::BIGINT ELSE {key_sql(text)} END"


def no_id(table: Table, name: str, *, text: str | None = None) -> str:
    """SQL: whether an id is missing. text: SQL of it as text, where it does not go by its name."""
    column = table.columns.get(name)
    if column is not None and column.kind == "whole":
        if text is None and name == "sample_id":
            # A number without a key is missing. The key is made of the number itself, four times as
            # fast as its text.
            return "face IS NULL"
        return f"{text or name} IS NULL"
    text = text or name
    return f"coalesce(trim({text}) = '' OR lower(trim({text})) IN ('nan', '<na>'), true)"


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
        raise InputError(
            f"{name} holds 1 and 2; it reads 1 as female and 0 as male: recode the column"
        )
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


def _two_way(table: Table, name: str) -> str:
    """SQL: 1 for female, 0 for male, NULL for anything else in column `name` of `raw`."""
    if not table.has(name):
        return "NULL::TINYINT"
    digit = {"male": "0", "female": "1"}
    words = {w: digit.get(level, UNKNOWN) for w, level in table.words[name].items()}
    code = code_sql(table.columns[name], words, ("0", "1", UNKNOWN))
    return f"nullif({code}, 2)::TINYINT"


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


def unread_parts(table: Table) -> list[str]:
    """A note on a column `split` that holds none of the three parts: nothing is left out for it."""
    parts = set(table.words.get("split", {}).values()) - {UNKNOWN}
    if not parts or parts & set(_PARTS.values()) or table.settings.split is not None:
        return []
    shown = ", ".join(map(repr, sorted(parts)[:5]))
    return [
        f"split holds {shown}, not train, valid or test: no row was left out as one of training."
    ]


def _parts_left_out(table: Table) -> list[str]:
    chosen = table.settings.split
    found = sorted(set(table.words.get("split", {}).values()))
    if chosen == "all":
        return []
    return [p for p in found if (p == "train" if chosen is None else p != chosen)]


def _is_word(name: str, words: Sequence[str | None]) -> str:
    texts = ", ".join(quoted(w) for w in words if w is not None)
    tests = [f"{name} IN ({texts})"] if texts else []
    if None in words:
        tests.append(f"{name} IS NULL")
    return f"coalesce({' OR '.join(tests)}, false)"
