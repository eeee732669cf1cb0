"""The audited rows as every reader of an audit finds them: `predictions.parquet`."""

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.contract import CONDITION_WORDS, CONDITIONS
from audit.files import staged
from audit.histograms import errors_beyond
from audit.predictions import Predictions
from audit.shards import SHARDS
from audit.source import ROWS_KEY

_ROW_GROUP = 100_000


def write_normalised(
    predictions: Predictions,
    path: Path,
    errors: pd.DataFrame,
    *,
    hash_of_rows: str = "",
    listed: Collection[int] = (),
    most: int = 2_000_000,
    held: ExitStack | None = None,
) -> int:
    """Write the audited rows as Parquet with page checksums, atomically; returns how many.

    Columns: sample_id, subject_id, image, split, the numbers of the contract (NULL where the table
    lacks them), error (years), the CONDITIONS that are no feature as they are, then gender_true,
    gender_pred, every feature, age_group and age_group_pred as words. Rows stand in the order of
    the table. Above `most` rows: those read furthest off (up to a tenth of `most`), those `listed`,
    and persons drawn by lot for the rest.

    errors: the tally's table of that name, of these rows. hash_of_rows: the tally's fingerprint, as
    `result.json` has it, stored so that who opens both sees whether they belong together. listed:
    keys (`face`) of rows that a report names, so that whoever looks for them finds them. held:
    puts the file in its place when it is closed without a failure; None: at once.
    """
    words = _words(predictions)
    plain = [f"{sql} AS {name}" for name, sql in _PLAIN.items()]
    codes = [f"{code} AS w{i}" for i, (_, code, _) in enumerate(words)]
    rows = (
        "faces" if predictions.rows_audited <= most else _chosen(predictions, errors, listed, most)
    )
    conditions = _conditions(predictions)
    given = [f"{sql} AS {name}" for name, (_, sql) in conditions.items()]
    sql = f"SELECT {', '.join([*plain, *given, *codes])} FROM {rows}{_in_order(predictions)}"
    schema = _schema(words, conditions)

    written = 0

    def write(beside: Path) -> None:
        nonlocal written
        # LZ4 packs as well as Snappy in a fifth of the time; a flipped bit would read silently
        # without checksums.
        with pq.ParquetWriter(
            beside,
            schema,
            compression="lz4",
            write_page_checksum=True,
            use_dictionary=[name for name, *_ in words],
        ) as writer:
            for batch in predictions.source.batches(sql, _ROW_GROUP):
                writer.write_table(_with_words(batch, words, schema))
                written += batch.num_rows
            if hash_of_rows:
                writer.add_key_value_metadata({ROWS_KEY: hash_of_rows})

    with ExitStack() as now:
        (now if held is None else held).enter_context(staged(path, write))
    return written


def _in_order(predictions: Predictions) -> str:
    """What brings the rows into the order of the table, where the engine would mix them."""
    if predictions.source.engine is None:
        return ""
    return " ORDER BY row_at" if predictions.source.ordered else " ORDER BY sample_id"


_TEXTS = ("sample_id", "subject_id", "image", "split")
_PLAIN = {
    **{name: name for name in _TEXTS},
    **{name: name for name in ("age_true", "age_pred", "age_low", "age_high", "gender_score")},
    "error": "error / 100",
}
Words = list[tuple[str, str, tuple[str, ...]]]  # name, SQL of the code, words


def _words(predictions: Predictions) -> Words:
    """The columns written as words."""
    found: Words = [
        ("gender_true", "gender_level", predictions.gender_levels),
        ("gender_pred", "called", ("male", "female")),
    ]
    pairs = zip(predictions.features, predictions.codes, strict=True)
    found += [(f.name, code, f.levels) for f, code in pairs if f.name != "gender_true"]
    if "age_group" not in {name for name, *_ in found} and "age_true" in predictions.columns:
        found.append(("age_group", "age_group", predictions.age_groups))
    found.append(("age_group_pred", "nullif(age_group_pred, -1)", predictions.age_groups))
    return found


def _conditions(predictions: Predictions) -> dict[str, tuple[pa.DataType, str]]:
    """Type and SQL of the CONDITIONS in the table that are compared as no feature."""
    compared = {f.name for f in predictions.features}
    own = predictions.table.own
    kinds = {n: own[n].kind == "text" for n in CONDITIONS if n in own and n not in compared}
    return {
        name: (pa.string(), own[name].text)
        if text and name in CONDITION_WORDS
        else (pa.float64(), f"CASE WHEN isfinite({own[name].number}) THEN {own[name].number} END")
        for name, text in kinds.items()
    }


def _schema(words: Words, conditions: Mapping[str, tuple[pa.DataType, str]]) -> pa.Schema:
    fields: list[tuple[str, Any]] = [
        (name, pa.string() if name in _TEXTS else pa.float64()) for name in _PLAIN
    ]
    fields += [(name, kind) for name, (kind, _) in conditions.items()]
    coded = [(name, pa.dictionary(pa.int16(), pa.string())) for name, *_ in words]
    return pa.schema([*fields, *coded])


def _with_words(batch: pa.RecordBatch, words: Words, schema: pa.Schema) -> pa.Table:
    coded = {f"w{i}" for i in range(len(words))}
    columns = [batch.column(name) for name in batch.schema.names if name not in coded]
    for i, (_, _, levels) in enumerate(words):
        codes = batch.column(f"w{i}").cast(pa.int16())
        columns.append(pa.DictionaryArray.from_arrays(codes, pa.array(levels, pa.string())))
    return pa.Table.from_arrays(columns, schema=schema)


def _chosen(
    predictions: Predictions, errors: pd.DataFrame, listed: Collection[int], most: int
) -> str:
    """What follows FROM for a table too long to write whole: bounded memory, no sort of it."""
    far = most // 10
    beyond = errors_beyond(errors)
    furthest = beyond[beyond <= far].index
    limit = 10 * (int(furthest.min()) - 1) + 1 if len(furthest) else 2**31
    lot = int((most - far) / predictions.rows_audited * SHARDS)
    drawn = f"coalesce(abs(error) >= {limit}, false) OR shard < {lot}"
    if listed:
        drawn += f" OR face IN ({_those(predictions, listed)})"
    return predictions.few(drawn, key="person")


def _those(predictions: Predictions, listed: Collection[int]) -> str:
    """What stands behind IN for these keys: DuckDB joins a table in a twentieth of the time."""
    keys = ", ".join(map(str, sorted({*listed})))
    if predictions.source.engine is not None:
        return keys
    predictions.source.hold("listed", f"SELECT unnest([{keys}]) AS face")
    return "SELECT face FROM listed"
