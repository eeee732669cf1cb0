"""The contract of the predictions table: its column names, and how a foreign table is read by them.

Everything here turns the relation `raw` into `typed`: one row per face, in the contract's columns,
with numbers that are finite, infinite (no number at all) or NULL (empty).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from audit.columns import Column
from audit.config import AuditSettings
from audit.errors import InputError
from audit.levels import UNKNOWN, code_sql, is_missing
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
CONDITION_WORDS = ("picture_skin_tone", "picture_copy")  # the others are numbers
IMAGES_KEY = "faceaudit.images"  # in the metadata of a Parquet: the folder of its pictures
PART = "recalibration_part"  # column of a corrected table: who taught the maps, who judged them
TALLY_KEY = "faceaudit.tally"  # in the metadata of a Parquet: it holds counts, not rows
EXACT_ROWS = 5_000_000  # up to here ids and persons are counted exactly without being asked to


@dataclass(frozen=True)
class Table:
    """A source with its names mapped: contract name -> column of `raw`.

    genders: levels of gender_true (female and male first). words: of gender_true, gender_pred and
    split, raw text -> level or part. Both are empty until `read_words_of` has read them.
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


def _two_way(table: Table, name: str) -> str:
    """SQL: 1 for female, 0 for male, NULL for anything else in column `name` of `raw`."""
    if not table.has(name):
        return "NULL::TINYINT"
    digit = {"male": "0", "female": "1"}
    words = {w: digit.get(level, UNKNOWN) for w, level in table.words[name].items()}
    code = code_sql(table.columns[name], words, ("0", "1", UNKNOWN))
    return f"nullif({code}, 2)::TINYINT"
