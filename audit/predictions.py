"""Predictions: a table of any model, read, checked, and laid out as the view `faces`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from audit.breaches import breaches, check_ids, reasons, refuse, refuse_range, refuse_texts
from audit.columns import quoted
from audit.config import AuditSettings
from audit.contract import (
    CONTRACT,
    Table,
    map_names,
    no_id,
    raw_columns,
    typed_columns,
    typed_parts,
    typed_sql,
)
from audit.engines import DUCKDB, open_table
from audit.errors import InputError
from audit.features import Feature, choose_features
from audit.levels import UNKNOWN, cut_sql
from audit.marked import LEFT_OUT, Mark, read_marks, reasons_of
from audit.notes import FAR, LEAKY, UNIT_SQL, UNMET, WITHHELD, Facts, leaky_rows, table_facts
from audit.shards import sharded
from audit.source import Source
from audit.table_words import read_words_of, unread_parts


@dataclass(frozen=True)
class Predictions:
    """A checked table, laid out as the view `faces` of `con`; no row of a Parquet is held.

    columns: names of the contract that the table has. codes: for each feature the column of `faces`
    with its level codes. `rows_left_out` (reason -> rows) and `rows_audited` add up to `rows_read`.
    facts: what else was counted, assumed and passed over. metadata: of the (first) Parquet.
    table: the source with its names mapped, of which `typed` holds every row; kept: SQL on `typed`,
    whether a row is audited; parts: SQL on `raw` of the columns of `typed`; coding: SQL on `typed`
    of the codes.

    `faces` holds the audited rows: row_at, sample_id, subject_id, face and person (their keys, see
    `audit.shards`), image, split, the numbers of the contract (NULL where not finite), gender_level
    (code into `gender_levels`), y (1 true female, 0 true male), called (the same for the call), f
    (the score where y is known), error (age_pred - age_true, whole 1/100 years), age_group,
    age_group_pred (codes, -1 for none) and the features' codes. Columns that the table lacks are
    NULL.
    """

    source: Source
    columns: tuple[str, ...]
    features: tuple[Feature, ...]
    codes: tuple[str, ...]
    age_groups: tuple[str, ...]
    gender_levels: tuple[str, ...]
    rows_read: int
    rows_audited: int
    rows_left_out: Mapping[str, int]
    facts: Facts
    table: Table
    kept: str
    parts: tuple[str, ...]
    coding: Mapping[str, str]

    def few(self, where: str, *, key: str) -> str:
        """What follows FROM for the few rows of `sharded("faces", key)` that fulfil `where`.

        DuckDB computes every column of a view before it applies a condition on some of them. Here
        the condition comes first, so that the other columns are computed for these rows alone.
        """
        rows = sharded("faces", key)
        if self.source.engine is not None:  # a planner of its own
            return f"(SELECT * FROM {rows} WHERE {where})"
        raw = f"(SELECT {', '.join(raw_columns(self.table))} FROM {rows} WHERE {where})"
        typed = f"({typed_sql(self.table, self.parts, raw)})"
        return sharded(f"({_faces_sql(self.table, 'true', self.coding, typed)})", key)

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The connection whose view `faces` holds the audited rows."""
        return self.source.con

    @property
    def metadata(self) -> Mapping[str, str]:
        """Key-value metadata of the Parquet file (`model`, `images` ... as `predict` writes it)."""
        return self.source.metadata

    @property
    def heads(self) -> tuple[str, ...]:
        """Of `age`, `interval`, `gender`, `score`: those with rows."""
        return self.facts.heads

    @property
    def counts(self) -> Mapping[str, int]:
        """What was counted: readings passed over, other gender words ..."""
        return self.facts.counts

    @property
    def notes(self) -> tuple[str, ...]:
        """What was counted and what was assumed, in sentences."""
        return self.facts.notes

    @property
    def ids_checked(self) -> bool:
        """Whether sample_id is known to be unique."""
        return self.facts.ids_checked

    @property
    def ids_made(self) -> bool:
        """Whether rows are named by their number, for want of a sample_id."""
        return self.facts.ids_made

    @property
    def subjects_assumed(self) -> bool:
        """Whether one photo per person is assumed, for want of a subject_id."""
        return self.facts.subjects_assumed


def open_predictions(
    source: Path | pd.DataFrame,
    settings: AuditSettings,
    *,
    min_cell: int = 1,
    engine: str = DUCKDB,
) -> Predictions:
    """Read, map and check a predictions table; `docs/predictions.md` is its contract.

    source: a path (CSV, also .gz; Parquet; a glob; a folder of Parquet) or a DataFrame. min_cell:
    rows of a cell (one level of every feature) with fewer people than this are left out. engine:
    where the table is read and added up, see `audit.engines`.

    Raises InputError where the table breaks the contract, naming the column, how many rows and the
    first of them; with `settings.strict` also where a row would be left out.
    """
    _refuse_kinds(source, settings)
    opened = open_table(source, threads=settings.threads, engine=engine)
    rows = int(opened.one("SELECT count(*) AS n FROM raw")["n"])
    table = map_names(opened, settings)
    if not rows:
        raise InputError(f"{opened.label} has no rows")
    if not (opened.ordered or table.has("sample_id")):
        raise InputError(
            f"{opened.label} has no sample_id, and its rows have no order to name them by; give "
            "each face an id"
        )
    refuse_texts(table)
    table = read_words_of(table)
    parts = typed_parts(table)
    opened.lay("typed", typed_sql(table, parts))
    marks = read_marks(Path(settings.without_marked)) if settings.without_marked else {}
    why = [*reasons(table), *reasons_of(marks, _name(table))]
    cells, small = _small_cells(table, why, min_cell) if min_cell > 1 else (0, [])
    why += small
    left_out, counts, constants = _count(table, why)
    for name in breaches(table):
        if broken := counts.pop(f"bad_{name}"):
            raise refuse(table, name, broken)
    audited = rows - sum(left_out.values())
    refuse_range(table, left_out, rows)
    _hold(table, left_out, audited, rows)
    ids_checked = check_ids(table, rows)
    # Conditions that held for no row need not be asked again in every scan.
    kept = _none_of([(r, sql) for r, sql in why if r in left_out])
    coded, notes = choose_features(table, f"typed WHERE {kept}")
    codes = tuple(f"f{i}" for i in range(len(coded)))
    coding = dict(zip(codes, (c.sql for c in coded), strict=True))
    opened.lay("faces", _faces_sql(table, kept, coding))
    counts[WITHHELD] = cells
    counts[UNMET] = len(marks) - _marked_rows(table, marks)
    counts[LEAKY] = leaky_rows(table, [pair for pair in why if pair[0] in left_out])
    return Predictions(
        source=opened,
        columns=tuple(name for name in CONTRACT if table.has(name)),
        features=tuple(c.feature for c in coded),
        codes=codes,
        age_groups=settings.age_labels,
        gender_levels=table.genders,
        rows_read=rows,
        rows_audited=audited,
        rows_left_out=left_out,
        facts=table_facts(
            table,
            left_out=left_out,
            counts=counts,
            constants=constants,
            why=why,
            unfit=[*notes, *unread_parts(table)],
            ids_checked=ids_checked,
        ),
        table=table,
        kept=kept,
        parts=tuple(parts),
        coding=coding,
    )


def _refuse_kinds(source: object, settings: object) -> None:
    """InputError where Python hands over what is no table, or no settings."""
    if not isinstance(source, (Path, pd.DataFrame)):
        kind = type(source)
        raise InputError(
            "a predictions table is a path or a pandas DataFrame, not "
            f"{kind.__module__}.{kind.__name__}; does it have a to_pandas()?"
        )
    if not isinstance(settings, AuditSettings):
        raise InputError(
            f"settings is a {type(settings).__name__}, not AuditSettings; AuditSettings.from_plain "
            "makes them of a dict"
        )


_STATED = ("age_pred", "gender_score")  # what a model says; a constant says nothing


def _count(
    table: Table, why: Sequence[tuple[str, str]]
) -> tuple[dict[str, int], dict[str, int], dict[str, float]]:
    """Rows per reason, all else that is counted, and constant columns: one scan of `typed`."""
    flags = _flags(table) | {f"bad_{name}": b.sql for name, b in breaches(table).items()}
    steps = " ".join(f"WHEN {sql} THEN {i + 1}" for i, (_, sql) in enumerate(why))
    stated = ", ".join(f"min({name}), max({name})" for name in _STATED)
    counted = "".join(f", coalesce(sum(({sql})::TINYINT), 0)" for sql in flags.values())
    rows = table.source.rows(
        f"SELECT CASE {steps} ELSE 0 END AS reason, count(*), {stated}{counted} "
        "FROM typed GROUP BY 1"
    )
    got = {reason: found for reason, *found in rows}
    left_out = {words: got[i][0] for i, (words, _) in enumerate(why, start=1) if i in got}
    first = 1 + 2 * len(_STATED)
    counts = {
        name: sum(int(r[i]) for k, r in got.items() if k == 0 or name.startswith("bad_"))
        for i, name in enumerate(flags, start=first)
    }
    audited, *ends = got.get(0, [0])[:first]
    constants = {
        name: float(low)
        for name, low, high in zip(_STATED, ends[::2], ends[1::2], strict=False)
        if audited > 1 and low is not None and low == high and math.isfinite(low)
    }
    return left_out, counts, constants


def _flags(table: Table) -> dict[str, str]:
    """What is counted among the audited rows: name -> SQL on `typed`."""
    flags: dict[str, str] = {}
    if table.has("age_true", "age_pred"):
        finite = "coalesce(isfinite(age_pred), false)"
        flags["age_rows"] = finite
        flags["age_pred_not_finite"] = f"NOT {finite}"
        flags["age_pred_far"] = f"{finite} AND abs(age_pred - age_true) > {FAR}"
        flags |= {name: f"{finite} AND {sql}" for name, sql in UNIT_SQL.items()}
        if table.has("age_low", "age_high"):
            both = "coalesce(isfinite(age_low) AND isfinite(age_high), false)"
            flags["interval_rows"] = f"{finite} AND {both}"
            flags["interval_missing"] = f"{finite} AND NOT {both}"
    if table.has("gender_true"):
        unknown = table.genders.index(UNKNOWN) if UNKNOWN in table.genders else -1
        flags["gender_rows"] = "y IS NOT NULL AND called IS NOT NULL"
        flags["gender_right"] = "y = called"
        flags["called_female"] = "y IS NOT NULL AND called = 1"
        flags["gender_unknown"] = f"gender_level = {unknown}"
        flags["gender_other"] = f"y IS NULL AND gender_level <> {unknown}"
        if table.has("gender_score") or table.has("gender_pred"):
            flags["gender_not_called"] = "y IS NOT NULL AND called IS NULL"
        flags["score_rows"] = "y IS NOT NULL AND isfinite(gender_score)"
    if table.has("gender_score", "gender_pred"):
        flags["score_and_pred_disagree"] = "isfinite(gender_score) AND called_pred <> called"
    if table.has("subject_id"):
        flags["subject_missing"] = no_id(table, "subject_id")
    return flags


def _none_of(why: Sequence[tuple[str, str]]) -> str:
    return " AND ".join(f"NOT coalesce({sql}, false)" for _, sql in why) or "true"


_SMALL = "withheld: a cell of fewer than"


def _small_cells(
    table: Table, why: Sequence[tuple[str, str]], least: int
) -> tuple[int, list[tuple[str, str]]]:
    """How many cells of features hold fewer than `least` people, and the reason for their rows.

    The features are chosen anew without those rows, so that no level of theirs is named either.
    """
    rows = f"typed WHERE {_none_of(why)}"
    coded, _ = choose_features(table, rows)
    if not coded:
        return 0, []
    cell = f"concat_ws(' ', {', '.join(f'({c.sql})::VARCHAR' for c in coded)})"
    table.source.hold(
        "small_cells",
        f"SELECT {cell} AS cell FROM {rows} GROUP BY 1 HAVING count(DISTINCT person) < {least}",
    )
    cells = int(table.source.one("SELECT count(*) AS n FROM small_cells")["n"])
    held = "SELECT cell FROM small_cells"
    if table.source.engine is not None:  # not every engine can look a CASE up in a query
        held = ", ".join(quoted(name) for (name,) in table.source.rows(f"{held} ORDER BY 1"))
    return cells, [(f"{_SMALL} {least} people", f"{cell} IN ({held})")] if cells else []


def _hold(table: Table, left_out: Mapping[str, int], audited: int, rows: int) -> None:
    """Refuse a table of which nothing is left or, with --strict, something is left out."""
    label = table.source.label
    meant = ("split is", _SMALL, LEFT_OUT)  # asked for: no fault of the rows
    chosen = {why: n for why, n in left_out.items() if not why.startswith(meant)}
    if not audited:
        listed = "; ".join(f"{why}: {n:,}" for why, n in left_out.items())
        raise InputError(f"{label}: none of the {rows:,} rows can be audited ({listed})")
    if table.settings.strict and chosen:
        listed = "; ".join(f"{why}: {n:,}" for why, n in chosen.items())
        raise InputError(
            f"{label}: rows would be left out ({listed}); repair them, or audit without --strict"
        )


def _faces_sql(table: Table, kept: str, coding: Mapping[str, str], typed: str = "typed") -> str:
    """SQL of `faces`; each expression is computed only where it is asked for.

    coding: SQL on `typed` of every feature's code. typed: what follows FROM.
    """
    edges = table.settings.age_groups[1:]
    bounded = "isfinite(age_low) AND isfinite(age_high) AND isfinite(age_pred)"
    sample = _name(table)
    coded = "".join(f", {sql} AS {name}" for name, sql in coding.items())
    finite = {
        "sample_id": sample,
        "age_pred": "CASE WHEN isfinite(age_pred) THEN age_pred END",
        **{n: f"CASE WHEN {bounded} THEN {n} END" for n in ("age_low", "age_high")},
    }
    columns = ", ".join(
        f"{finite[name]} AS {name}" if name in finite else name for name in typed_columns(table)
    )
    near = f"greatest(least(age_pred - age_true, {FAR}), -{FAR})"
    # `least` passes over NULL, so a missing reading must be told apart first.
    error = f"CASE WHEN age_pred IS NOT NULL THEN floor({near} * 100 + 0.5)::INTEGER END"
    group_pred = cut_sql("age_pred", edges)
    return f"""
        SELECT *,
          {error} AS error,
          {cut_sql("age_true", edges)} AS age_group,
          CASE WHEN age_pred IS NULL THEN -1 ELSE {group_pred} END::SMALLINT AS age_group_pred
        FROM (
          SELECT {columns}, CASE WHEN y IS NOT NULL THEN gender_score END AS f{coded}
          FROM {typed} WHERE {kept}
        )
        """


def _name(table: Table) -> str:
    """SQL on `typed` of a row's sample_id, given or made."""
    return "sample_id" if table.has("sample_id") else _row_name(table.source)


def _marked_rows(table: Table, marks: Mapping[str, Mark]) -> int:
    """How many of the marked faces the table holds, whether audited or left out for any reason."""
    here = " OR ".join(sql for _, sql in reasons_of(marks, _name(table)))
    sql = f"SELECT count(DISTINCT {_name(table)}) AS n FROM typed WHERE {here}"
    return int(table.source.one(sql)["n"]) if here else 0


def _row_name(source: Source) -> str:
    """SQL of a made sample_id: `predictions.csv 17`, the file and the number of the row in it."""
    names = ", ".join(quoted(Path(f).name) for f in source.files)
    if not names:
        return "'row ' || (row_at + 1)::VARCHAR"
    file = f"([{names}])[(row_at >> 40) + 1]"
    return f"{file} || ' ' || ((row_at & {2**40 - 1}) + 1)::VARCHAR"
