"""The predictions table: read it, map its names, check it, and lay it out as the view `faces`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.config import AuditSettings
from audit.errors import InputError
from audit.features import (
    EXACT_ROWS,
    UNKNOWN,
    Coded,
    Feature,
    code_sql,
    cut_sql,
    is_missing,
    nearest,
    own_feature,
    read_words,
    sorted_levels,
    words_of,
)
from audit.files import write_atomic
from audit.source import Column, Source, open_source, quoted

CONTRACT = tuple(
    "sample_id subject_id image age_true age_pred age_low age_high age_std gender_true "
    "gender_score gender_pred split".split()
)
# Names that the tables of a tally use beside its features.
RESERVED = frozenset("age_group_pred shard bin n female score error overall".split())
FEMALE = frozenset({"1", "1.0", "f", "female", "woman"})
MALE = frozenset({"0", "0.0", "m", "male", "man"})
OLDEST = 120
FAR = 10_000  # years; a reading further off than this counts as this far off (sums stay in 63 bits)


@dataclass(frozen=True)
class Predictions:
    """A checked table, laid out as the view `faces` of `source.con`; no row is held here.

    columns: names of the contract that the table has. heads: of `age`, `interval`, `gender`,
    `score`, those with rows. features, with `codes` the name of each one's column of level codes in
    `faces`. `rows_left_out` is reason -> rows; with `rows_audited` it adds up to `rows_read`.
    counts: what else was counted (excluded readings, other gender words, disagreements ...).
    notes: sentences on what was assumed or passed over. metadata: of the Parquet file.

    `faces` holds the audited rows: sample_id, subject_key (60-bit integer), image, split, age_true,
    age_pred, age_low, age_high, age_std, gender_level (code into `gender_levels`), y (1 for a true
    female, 0 male), called (1 for called female), gender_score, f (the score where y is known),
    error (1/100 year), age_group and age_group_pred (codes, -1 for none), row_at, and the codes.
    Columns that the table lacks are NULL.
    """

    source: Source
    columns: tuple[str, ...]
    features: tuple[Feature, ...]
    codes: tuple[str, ...]
    heads: tuple[str, ...]
    age_groups: tuple[str, ...]
    gender_levels: tuple[str, ...]
    rows_read: int
    rows_audited: int
    rows_left_out: Mapping[str, int]
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    ids_checked: bool
    subjects_assumed: bool
    ids_made: bool
    metadata: Mapping[str, str]

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The connection whose view `faces` holds the audited rows."""
        return self.source.con


def open_predictions(source: Path | pd.DataFrame, settings: AuditSettings) -> Predictions:
    """Read, map and check a predictions table. The contract of the columns is `docs/contract.md`.

    `source` is a path (CSV, also .gz; Parquet; a glob; a folder of Parquet) or a DataFrame. Raises
    InputError where the table breaks the contract, naming the column, how many rows and the first.
    """
    opened = open_source(source, threads=settings.threads)
    table = _Table(opened, _mapped(opened, settings.columns), settings)
    rows = opened.one("SELECT count(*) AS n FROM raw")["n"]
    if not rows:
        raise InputError(f"{opened.label} has no rows")
    _need_a_head(table)
    genders = _Genders.read(table)
    reasons = _reasons(table, genders)
    counted = _count(table, genders, reasons)
    _refuse_broken(table, counted)
    ids_checked = _check_ids(table, rows)
    left_out = {r: counted[f"left_{i}"] for i, (r, _) in enumerate(reasons) if counted[f"left_{i}"]}
    audited = rows - sum(left_out.values())
    if not audited:
        listed = "; ".join(f"{n:,} {reason}" for reason, n in left_out.items())
        raise InputError(f"{opened.label}: none of its {rows:,} rows can be audited ({listed})")
    where = _kept(reasons)
    coded, notes = _features(table, genders, where, rows=audited)
    codes = tuple(f"f{i}" for i in range(len(coded)))
    _lay_out(table, genders, where, dict(zip(codes, coded, strict=True)))
    heads = _heads(table, counted)
    result = Predictions(
        source=opened,
        columns=tuple(n for n in CONTRACT if n in table.columns),
        features=tuple(c.feature for c in coded),
        codes=codes,
        heads=heads,
        age_groups=settings.age_labels,
        gender_levels=genders.levels if "gender_true" in table.columns else (),
        rows_read=rows,
        rows_audited=audited,
        rows_left_out=left_out,
        counts={k: v for k, v in counted.items() if not k.startswith(("left_", "bad_"))},
        notes=(*_notes(table, counted, left_out, reasons), *notes),
        ids_checked=ids_checked,
        subjects_assumed="subject_id" not in table.columns,
        ids_made="sample_id" not in table.columns,
        metadata=opened.metadata,
    )
    chosen = sum(n for reason, n in left_out.items() if not reason.startswith("split"))
    if settings.strict and chosen:
        listed = "; ".join(f"{n:,} {reason}" for reason, n in left_out.items())
        raise InputError(f"--strict: {chosen:,} of {rows:,} rows would be left out ({listed})")
    return result


@dataclass(frozen=True)
class _Table:
    """The source with its names mapped: contract name -> column, and the columns left over."""

    source: Source
    columns: Mapping[str, Column]
    settings: AuditSettings

    def number(self, name: str) -> str:
        """SQL of a contract column as DOUBLE; NULL where the table lacks it."""
        return self.columns[name].number if name in self.columns else "NULL::DOUBLE"

    def text(self, name: str) -> str:
        return self.columns[name].text if name in self.columns else "NULL::VARCHAR"

    def own(self) -> dict[str, Column]:
        """The table's own columns: everything that is neither of the contract nor mapped away."""
        taken = {c.name for c in self.columns.values()}
        return {
            c.name: c for c in self.source.columns if c.name not in taken and c.name not in CONTRACT
        }


def _mapped(source: Source, mapping: Mapping[str, str]) -> dict[str, Column]:
    theirs = {c.name: c for c in source.columns}
    for name, their in mapping.items():
        if name not in CONTRACT:
            raise InputError(
                f"--column {name}={their}: no column {name!r}; {nearest(name, CONTRACT)}"
            )
        if their not in theirs:
            raise InputError(
                f"--column {name}={their}: {source.label} has no column {their!r}; "
                f"{nearest(their, list(theirs))}"
            )
    taken = set(mapping.values())
    plain = {n: theirs[n] for n in CONTRACT if n in theirs and n not in taken}
    return plain | {name: theirs[their] for name, their in mapping.items()}


def _need_a_head(table: _Table) -> None:
    has = table.columns.keys()
    age = {"age_true", "age_pred"} <= has
    gender = "gender_true" in has and bool({"gender_score", "gender_pred"} & has)
    if age or gender:
        return
    names = [c.name for c in table.source.columns]
    raise InputError(
        f"{table.source.label} has neither age_true and age_pred nor gender_true and gender_score "
        f"(or gender_pred); found: {', '.join(names) or 'no column'}; map a foreign name with "
        "--column age_pred=THEIRS"
    )


@dataclass(frozen=True)
class _Genders:
    """The words of `gender_true` and `gender_pred`, and SQL of what they mean."""

    levels: tuple[str, ...]
    level: str  # SQL: code into levels
    y: str  # SQL: 1 true female, 0 true male, else NULL
    called: str  # SQL: 1 called female, 0 male, else NULL
    pred: str  # SQL: the call of gender_pred alone

    @classmethod
    def read(cls, table: _Table) -> "_Genders":
        true = _gender_words(table, "gender_true")
        pred = _gender_words(table, "gender_pred")
        found = sorted_levels(set(true.values()) - {"female", "male"})
        levels = ("female", "male", *found)
        column = table.columns.get("gender_true")
        level = code_sql(column, true, levels) if column else "NULL::SMALLINT"
        called = _two_way(table, "gender_pred", pred)
        if "gender_score" in table.columns:
            f = table.number("gender_score")
            threshold = f"{table.settings.threshold!r}::DOUBLE"
            called = f"coalesce(CASE WHEN isfinite({f}) THEN ({f} >= {threshold})::TINYINT END, {called})"
        y = _two_way(table, "gender_true", true)
        return cls(levels, level, y, called, _two_way(table, "gender_pred", pred))


def _gender_words(table: _Table, name: str) -> dict[str | None, str]:
    """Raw text -> `female`, `male`, `unknown` or the word itself; InputError for a wrong column."""
    column = table.columns.get(name)
    if column is None:
        return {}
    most = table.settings.max_groups
    words = words_of(table.source, column, "true", most=most)
    if words is None or len(words) > most:
        raise InputError(f"{name} holds more than {most} different words; is it the right column?")
    read = read_words([w for w, _ in words])
    known = {w: _gender(w, level) for w, level in read.items()}
    given = sorted({v for v in known.values() if v != UNKNOWN})
    if given and not {"female", "male"} & set(given):
        shown = ", ".join(map(repr, given[:5]))
        raise InputError(
            f"{name} holds no word for female or male ({shown}); it reads female/male, F/M, "
            "woman/man, 1/0 in any case"
        )
    if "2" in given and "0" not in {(w or "").strip() for w in read} and "female" in given:
        raise InputError(
            f"{name} holds 1 and 2 but no 0; it reads 1 as female and 0 as male: recode the column"
        )
    return known


def _gender(word: str | None, level: str) -> str:
    if is_missing(word):
        return UNKNOWN
    lower = level.lower()
    if lower in FEMALE:
        return "female"
    return "male" if lower in MALE else level


def _two_way(table: _Table, name: str, words: Mapping[str | None, str]) -> str:
    column = table.columns.get(name)
    if column is None:
        return "NULL::TINYINT"
    code = code_sql(
        column, {w: _DIGIT.get(v, UNKNOWN) for w, v in words.items()}, ("0", "1", UNKNOWN)
    )
    return f"nullif({code}, 2)::TINYINT"


_DIGIT = {"female": "1", "male": "0"}


def _reasons(table: _Table, genders: _Genders) -> list[tuple[str, str]]:
    """Why a row is left out: words and SQL condition; a row has the first that holds."""
    reasons = _split_reasons(table)
    heads = []
    if {"age_true", "age_pred"} <= table.columns.keys():
        heads.append(f"coalesce(isfinite({table.number('age_pred')}), false)")
    if "age_true" in table.columns:
        a = table.number("age_true")
        empty = f"({a} IS NULL OR isnan({a}))"
        reasons.append(("age_true is empty", empty))
        reasons.append((f"age_true is not from 0 to {OLDEST}", f"NOT ({a} BETWEEN 0 AND {OLDEST})"))
    if "gender_true" in table.columns:
        heads.append(f"({genders.y} IS NOT NULL AND {genders.called} IS NOT NULL)")
    reasons.append(
        ("no head can be read (no finite age, no gender call)", f"NOT ({' OR '.join(heads)})")
    )
    return reasons


def _split_reasons(table: _Table) -> list[tuple[str, str]]:
    """Rows of the parts that are not audited, one reason for each part."""
    column, chosen = table.columns.get("split"), table.settings.split
    if column is None:
        if chosen not in {None, "all"}:
            raise InputError(f"--split {chosen}: {table.source.label} has no column 'split'")
        return []
    words = words_of(table.source, column, "true", most=table.settings.max_groups)
    if words is None:
        raise InputError("split holds hundreds of different words; is it the right column?")
    parts = {w: UNKNOWN if is_missing(w) else str(w).strip().lower() for w, _ in words}
    found = sorted(set(parts.values()))
    if chosen not in {None, "all"} and chosen not in found:
        raise InputError(f"--split {chosen}: split holds {', '.join(found)}, no {chosen}")
    if chosen == "all":
        return []
    out = [p for p in found if (p == "train" if chosen is None else p != chosen)]
    return [(f"split is {p}", _is_word(column, [w for w in parts if parts[w] == p])) for p in out]


def _is_word(column: Column, words: Sequence[str | None]) -> str:
    texts = ", ".join(quoted(w) for w in words if w is not None)
    tests = [f"{column.text} IN ({texts})"] if texts else []
    if None in words:
        tests.append(f"{column.sql} IS NULL")
    return f"coalesce({' OR '.join(tests)}, false)"


def _kept(reasons: Sequence[tuple[str, str]]) -> str:
    return " AND ".join(f"NOT coalesce({sql}, false)" for _, sql in reasons) or "true"


def _count(table: _Table, genders: _Genders, reasons: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Everything that is counted in one scan: reasons, broken rows, what each head lacks."""
    columns = table.columns
    wheres: dict[str, str] = {}
    before = "true"
    for i, (_, sql) in enumerate(reasons):
        wheres[f"left_{i}"] = f"{before} AND coalesce({sql}, false)"
        before += f" AND NOT coalesce({sql}, false)"
    kept = _kept(reasons)
    f = table.number("gender_score")
    if {"age_true", "age_pred"} <= columns.keys():
        finite = f"coalesce(isfinite({table.number('age_pred')}), false)"
        wheres["age_rows"] = f"{kept} AND {finite}"
        wheres["age_pred_not_finite"] = f"{kept} AND NOT {finite}"
        far = f"abs({table.number('age_pred')} - {table.number('age_true')}) > {FAR}"
        wheres["age_pred_far"] = f"{kept} AND {finite} AND {far}"
        for low, high in _BOUNDS:
            if {low, high} <= columns.keys():
                a, b = table.number(low), table.number(high)
                both = f"coalesce(isfinite({a}) AND isfinite({b}), false)"
                wheres["interval_rows"] = f"{kept} AND {finite} AND {both}"
                wheres["interval_missing"] = f"{kept} AND {finite} AND NOT {both}"
    if "gender_true" in columns:
        wheres["gender_rows"] = (
            f"{kept} AND {genders.y} IS NOT NULL AND {genders.called} IS NOT NULL"
        )
        wheres["gender_unknown"] = f"{kept} AND {genders.level} = {_place(genders, UNKNOWN)}"
        wheres["gender_other"] = (
            f"{kept} AND {genders.y} IS NULL AND {genders.level} <> {_place(genders, UNKNOWN)}"
        )
        wheres["gender_not_called"] = (
            f"{kept} AND {genders.y} IS NOT NULL AND {genders.called} IS NULL"
        )
        wheres["score_rows"] = (
            f"{kept} AND {genders.y} IS NOT NULL AND coalesce(isfinite({f}), false)"
        )
    if {"gender_score", "gender_pred"} <= columns.keys():
        wheres["score_and_pred_disagree"] = (
            f"{kept} AND isfinite({f}) AND {genders.pred} <> {genders.called}"
        )
    if "subject_id" in columns:
        wheres["subject_missing"] = f"{kept} AND {_no_id(table, 'subject_id')}"
    wheres |= {f"bad_{name}": sql for name, (sql, _) in _broken(table).items()}
    listed = ", ".join(f"count(*) FILTER ({sql}) AS {name}" for name, sql in wheres.items())
    return {k: int(v) for k, v in table.source.one(f"SELECT {listed} FROM raw").items()}


_BOUNDS = (("age_low", "age_high"),)


def _place(genders: _Genders, level: str) -> int:
    return genders.levels.index(level) if level in genders.levels else -1


def _no_id(table: _Table, name: str) -> str:
    text = table.text(name)
    return f"coalesce(trim({text}) = '' OR lower(trim({text})) IN ('nan', '<na>'), true)"


def _broken(table: _Table) -> dict[str, tuple[str, Callable[[int, str, str], str]]]:
    """Rows that make the whole table wrong: name -> SQL, and the words for (rows, place, value)."""
    columns = table.columns
    broken: dict[str, tuple[str, Callable[[int, str, str], str]]] = {}
    if "gender_score" in columns:
        f = table.number("gender_score")
        broken["gender_score"] = (
            f"coalesce(NOT isnan({f}) AND NOT ({f} BETWEEN 0 AND 1), false)",
            lambda n, at, v: (
                f"gender_score lies outside 0 to 1 in {n:,} rows (first: {at}, {v}); it is "
                "P(female): logits want 1 / (1 + exp(-x)), percent a division by 100"
            ),
        )
    if {"age_low", "age_high"} <= columns.keys():
        low, high = table.number("age_low"), table.number("age_high")
        broken["age_low"] = (
            f"coalesce({low} > {high} AND NOT isnan({low}) AND NOT isnan({high}), false)",
            lambda n, at, v: (
                f"age_low is above age_high in {n:,} rows (first: {at}, age_low {v}); "
                "are the two columns swapped?"
            ),
        )
    if "age_std" in columns:
        s = table.number("age_std")
        broken["age_std"] = (
            f"coalesce(NOT isnan({s}) AND NOT ({s} > 0 AND isfinite({s})), false)",
            lambda n, at, v: (
                f"age_std is not a number above 0 in {n:,} rows (first: {at}, {v}); "
                "leave the cell empty where there is none"
            ),
        )
    if "sample_id" in columns:
        broken["sample_id"] = (
            _no_id(table, "sample_id"),
            lambda n, at, _: (
                f"sample_id is empty in {n:,} rows (first: {at}); give every face its own, "
                "or leave the whole column out"
            ),
        )
    return broken


def _refuse_broken(table: _Table, counted: Mapping[str, int]) -> None:
    for name, (sql, words) in _broken(table).items():
        if n := counted[f"bad_{name}"]:
            at, value = table.source.rows(
                f"SELECT row_at, {table.text(name)} FROM raw WHERE {sql} ORDER BY row_at LIMIT 1"
            )[0]
            raise InputError(
                f"{table.source.label}: {words(n, table.source.place(at), str(value))}"
            )


def _check_ids(table: _Table, rows: int) -> bool:
    """Whether `sample_id` was found unique; False where the table is too long to look."""
    if "sample_id" not in table.columns:
        return True
    if rows > EXACT_ROWS and not table.settings.check_ids:
        return False
    key = id_text(table.columns["sample_id"])
    # Equal ids have equal hashes: as many hashes as rows is proof, and cheaper than the ids.
    if table.source.one(f"SELECT count(DISTINCT hash({key})) AS n FROM raw")["n"] == rows:
        return True
    twins = table.source.rows(
        f"SELECT {key} AS id, count(*) AS n FROM raw GROUP BY 1 HAVING count(*) > 1 ORDER BY 1"
    )
    if not twins:
        return True
    shown = ", ".join(f"{word} ({n}×)" for word, n in twins[:10])
    more = f" and {len(twins) - 10:,} more" if len(twins) > 10 else ""
    raise InputError(
        f"{table.source.label}: sample_id is not unique, {len(twins):,} ids stand in several rows: "
        f"{shown}{more}; give every face its own id (persons go in subject_id)"
    )


def id_text(column: Column) -> str:
    """SQL of an id as text: 12, '12' and a float 12.0 are the same id."""
    if column.kind in {"number", "single"}:
        return f"regexp_replace({column.text}, '\\.0$', '')"
    return column.text


def _features(
    table: _Table, genders: _Genders, where: str, *, rows: int
) -> tuple[list[Coded], list[str]]:
    """The features asked for (or those the table offers), and notes on columns that are none."""
    settings = table.settings
    made = _made_features(table, genders)
    own = table.own()
    for name in settings.cuts:
        if name not in own:
            raise InputError(f"--cuts names {name!r}; {nearest(name, list(own))}")
    asked = (*(settings.by or ()), *settings.control)
    names = tuple(dict.fromkeys(asked if settings.by else (*own, *made, *settings.control)))
    coded, notes = [], []
    for name in names:
        if name in made:
            coded.append(made[name])
            continue
        _check_feature(table, name, own, made, asked=name in asked)
        if name in RESERVED or name not in own:
            notes.append(f"{name!r} is no feature: the name is taken")
            continue
        found = own_feature(
            table.source,
            own[name],
            where,
            cuts=settings.cuts.get(name),
            most=settings.max_groups,
            rows=rows,
            asked=name in asked,
        )
        if isinstance(found, str):
            if name in asked:
                raise InputError(f"feature {found}")
            notes.append(found)
        elif name in asked or len(found.feature.levels) > 1:
            coded.append(found)
        else:
            notes.append(f"{name!r} holds one level only and is no feature")
    return coded, notes


def _check_feature(
    table: _Table, name: str, own: Mapping[str, Column], made: Mapping[str, Coded], *, asked: bool
) -> None:
    if not asked:
        return
    if name in RESERVED:
        raise InputError(
            f"a feature cannot be named {name!r}: the name is taken; rename the column"
        )
    if name not in own:
        theirs = {c.name: ours for ours, c in table.columns.items()}
        known = [*own, *made]
        if name in theirs and theirs[name] in made:
            raise InputError(f"{name!r} is read as {theirs[name]}: --by {theirs[name]}")
        if name in theirs or name in CONTRACT:
            raise InputError(f"{name!r} cannot be a feature; there are: {', '.join(known)}")
        raise InputError(f"{table.source.label} has no feature {name!r}; {nearest(name, known)}")


def _made_features(table: _Table, genders: _Genders) -> dict[str, Coded]:
    """`gender_true` and `age_group`, where the table has their columns."""
    made = {}
    if "gender_true" in table.columns:
        made["gender_true"] = Coded(Feature("gender_true", genders.levels), genders.level)
    if "age_true" in table.columns:
        labels = table.settings.age_labels
        feature = Feature("age_group", labels, ordered=True)
        edges = table.settings.age_groups[1:]
        made["age_group"] = Coded(feature, cut_sql(table.number("age_true"), edges))
    return made


def _lay_out(table: _Table, genders: _Genders, where: str, coded: Mapping[str, Coded]) -> None:
    """Create the view `faces`: one expression for each column, computed only where it is used."""
    number, columns = table.number, table.columns
    pred = f"CASE WHEN isfinite({number('age_pred')}) THEN {number('age_pred')} END"
    finite = "isfinite(age_low) AND isfinite(age_high) AND error IS NOT NULL"
    made = quoted(table.source.label) if not table.source.files else "'row'"
    sample = (
        id_text(columns["sample_id"])
        if "sample_id" in columns
        else f"{made} || ' ' || (row_at + 1)"
    )
    subject = _subject_key(table)
    edges = table.settings.age_groups[1:]
    table.source.con.execute(
        f"""
        CREATE VIEW faces AS
        SELECT * REPLACE (
            CASE WHEN {finite} THEN age_low END AS age_low,
            CASE WHEN {finite} THEN age_high END AS age_high,
            CASE WHEN isfinite(gender_score) THEN gender_score END AS gender_score
          ),
          CASE WHEN y IS NOT NULL AND isfinite(gender_score) THEN gender_score END AS f,
          {cut_sql("age_true", edges)} AS age_group,
          CASE WHEN error IS NULL THEN -1 ELSE {cut_sql("age_pred", edges)} END::SMALLINT
            AS age_group_pred
        FROM (
          SELECT *, floor(greatest(least(age_pred - age_true, {FAR}), -{FAR}) * 100 + 0.5)::INTEGER
            AS error
          FROM (
            SELECT row_at, {sample} AS sample_id, {subject} AS subject_key,
              {id_text(columns["subject_id"]) if "subject_id" in columns else "NULL::VARCHAR"}
                AS subject_id,
              {table.text("image")} AS image, {table.text("split")} AS split,
              {number("age_true")} AS age_true, {pred} AS age_pred,
              {number("age_low")} AS age_low, {number("age_high")} AS age_high,
              {number("age_std")} AS age_std, {number("gender_score")} AS gender_score,
              {genders.level} AS gender_level, {genders.y} AS y, {genders.called} AS called,
              {"".join(f"{c.sql} AS {name}, " for name, c in coded.items())}
            FROM raw WHERE {where}
          )
        )
        """
    )


def _subject_key(table: _Table) -> str:
    """SQL of the person as an integer below 2^60: the id itself, or 60 bits of its md5."""
    column = table.columns.get("subject_id", table.columns.get("sample_id"))
    if column is None:
        return "row_at"
    key = id_key(column)
    if "subject_id" in table.columns:
        sample = table.columns.get("sample_id")
        alone = id_key(sample) if sample else "row_at"
        return f"CASE WHEN {_no_id(table, 'subject_id')} THEN {alone} ELSE {key} END"
    return key


def id_key(column: Column) -> str:
    """SQL of an id as an integer below 2^60: itself up to 18 digits, else the head of its md5."""
    text = id_text(column)
    md5 = f"('0x' || left(md5({text}), 15))::BIGINT"
    if column.kind == "whole":
        x = column.sql
        return f"CASE WHEN {x} BETWEEN 0 AND 999999999999999999 THEN {x}::BIGINT ELSE {md5} END"
    return (
        f"CASE WHEN regexp_full_match({text}, '[0-9]{{1,18}}') THEN TRY_CAST({text} AS BIGINT) "
        f"ELSE {md5} END"
    )


def _heads(table: _Table, counted: Mapping[str, int]) -> tuple[str, ...]:
    pairs = {
        "age": "age_rows",
        "interval": "interval_rows",
        "gender": "gender_rows",
        "score": "score_rows",
    }
    del table
    return tuple(head for head, name in pairs.items() if counted.get(name))


def _notes(
    table: _Table,
    counted: Mapping[str, int],
    left_out: Mapping[str, int],
    reasons: Sequence[tuple[str, str]],
) -> list[str]:
    """What was assumed and passed over, in sentences."""
    notes = [f"{s} was not read" for s in table.source.skipped]
    for ours in table.settings.columns:
        if any(c.name == ours and table.columns[ours] is not c for c in table.source.columns):
            theirs = table.settings.columns[ours]
            notes.append(f"The table's own {ours!r} was not read: {ours} is its {theirs!r}")
    if "sample_id" not in table.columns:
        notes.append(
            "No sample_id: rows are named by their number, so equal results need equal order"
        )
    if "subject_id" not in table.columns:
        notes.append("No subject_id: one photo per person is assumed")
    for reason, sql in reasons:
        if reason in left_out and reason.startswith("age_true"):
            first = table.source.rows(f"SELECT row_at FROM raw WHERE {sql} ORDER BY row_at LIMIT 3")
            places = ", ".join(table.source.place(at) for (at,) in first)
            notes.append(f"{left_out[reason]:,} rows left out: {reason} (first: {places})")
    words = {
        "age_pred_not_finite": "rows have no finite age_pred: left out of the age figures",
        "age_pred_far": f"rows are read more than {FAR:,} years off: counted as {FAR:,}",
        "interval_missing": "rows have no finite interval: left out of coverage and width",
        "gender_unknown": "rows have no gender_true: left out of the gender figures",
        "gender_other": "rows have a gender_true that is neither female nor male: a level of their "
        "own, left out of the two-way gender figures",
        "gender_not_called": "rows have no gender call: left out of the gender figures",
        "score_and_pred_disagree": "rows have a gender_pred that disagrees with the score: the score decides",
        "subject_missing": "rows have no subject_id: each is taken as a person of its own",
    }
    for key, sentence in words.items():
        if counted.get(key):
            notes.append(f"{counted[key]:,} {sentence}")
    return notes


_ROW_GROUP = 100_000
_NUMBERS = ("age_true", "age_pred", "age_low", "age_high", "gender_score")


def write_normalised(predictions: Predictions, path: Path, *, most: int = 2_000_000) -> int:
    """Write the audited rows as Parquet with page checksums, atomically; returns how many.

    Columns: sample_id, subject_id, image, split, the numbers and genders of the contract (NULL
    where the table lacks them), error (years), then every feature, `age_group` and
    `age_group_pred` as words. Rows stand in the order of the table. Above `most` rows: the faces
    read furthest off (a tenth of `most`) and, for the rest, persons drawn by lot.
    """
    words = _words(predictions)
    plain = [f"{sql} AS {name}" for name, sql in _PLAIN.items()]
    codes = [f"{code} AS w{i}" for i, (_, code, _) in enumerate(words)]
    rows = "faces" if predictions.rows_audited <= most else _chosen(predictions, most)
    sql = f"SELECT {', '.join([*plain, *codes])} FROM {rows}"

    def write(beside: Path) -> None:
        batches = predictions.source.batches(sql, _ROW_GROUP)
        with _writer(beside, words) as writer:
            for batch in batches:
                writer.write_table(_with_words(batch, words))

    write_atomic(path, write)
    return int(pq.ParquetFile(path).metadata.num_rows)


_PLAIN = {
    **{name: name for name in ("sample_id", "subject_id", "image", "split")},
    **{name: name for name in _NUMBERS},
    "error": "error / 100",
}


def _words(predictions: Predictions) -> list[tuple[str, str, tuple[str, ...]]]:
    """Columns written as words: (name, SQL of the code, words)."""
    calls = ("male", "female")
    found = [
        ("gender_true", "gender_level", predictions.gender_levels),
        ("gender_pred", "called", calls),
    ]
    pairs = zip(predictions.features, predictions.codes, strict=True)
    found += [(f.name, code, f.levels) for f, code in pairs if f.name != "gender_true"]
    if "age_group" not in [name for name, *_ in found] and "age_true" in predictions.columns:
        found.append(("age_group", "age_group", predictions.age_groups))
    found.append(("age_group_pred", "nullif(age_group_pred, -1)", predictions.age_groups))
    return found


def _schema(words: list[tuple[str, str, tuple[str, ...]]]) -> pa.Schema:
    kinds = [pa.string()] * 4 + [pa.float64()] * (len(_PLAIN) - 4)
    fields = [*zip(_PLAIN, kinds, strict=True)]
    coded = [(name, pa.dictionary(pa.int16(), pa.string())) for name, *_ in words]
    return pa.schema([*fields, *coded])


def _writer(path: Path, words: list[tuple[str, str, tuple[str, ...]]]) -> pq.ParquetWriter:
    # LZ4 writes five times faster than Snappy here; checksums because a flipped bit reads silently.
    return pq.ParquetWriter(
        path,
        _schema(words),
        compression="lz4",
        write_page_checksum=True,
        use_dictionary=[name for name, *_ in words],
    )


def _with_words(batch: pa.RecordBatch, words: list[tuple[str, str, tuple[str, ...]]]) -> pa.Table:
    columns = [batch.column(name) for name in _PLAIN]
    for i, (_, _, levels) in enumerate(words):
        codes = batch.column(f"w{i}").cast(pa.int16())
        columns.append(pa.DictionaryArray.from_arrays(codes, pa.array(levels, pa.string())))
    return pa.Table.from_arrays(columns, schema=_schema(words))


def _chosen(predictions: Predictions, most: int) -> str:
    """SQL of the rows written of a table too long to write: bounded memory, no sort of the whole."""
    far = most // 10
    got = predictions.source.rows(
        "SELECT bin, sum(n) OVER (ORDER BY bin DESC) AS above FROM "
        "(SELECT abs(error) AS bin, count(*) AS n FROM faces WHERE error IS NOT NULL GROUP BY 1) "
        "ORDER BY bin DESC"
    )
    limit = min((b for b, above in got if above <= far), default=2**31)
    share = (most - far) / predictions.rows_audited
    lot = int(share * 2**20)
    return f"faces WHERE abs(error) >= {limit} OR ((subject_key * 40503) >> 7) & 1048575 < {lot}"
