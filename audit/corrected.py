"""The corrected table: every row of the source as it stands there, but for what a map changes."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from audit.contract import CONTRACT, PART
from audit.corrections import METADATA, Recalibration, apply_recalibration
from audit.files import write_atomic
from audit.predictions import Predictions
from audit.shards import SHARDS, sharded
from audit.source import ROWS_KEY

CHANGED = ("gender_score", "gender_pred", "age_pred", "age_low", "age_high")
_ROWS = 100_000


def write_corrected(predictions: Predictions, recalibration: Recalibration, path: Path) -> Path:
    """Write every row of the source, corrected, as Parquet with page checksums, atomically.

    Columns mapped by `--column` stand under the contract's names. `recalibration_part` is `fit` or
    `judge` for audited rows and empty for those that took no part. Rows keep their order; memory
    is that of a hundred thousand of them.
    """
    columns = _columns(predictions)
    about = {k: v for k, v in predictions.metadata.items() if k.startswith("faceaudit")}
    about.pop(ROWS_KEY, None)  # these are the rows of no audit
    about[METADATA] = f"{recalibration.digest} {recalibration.words()}"
    picked = ", ".join(f"{sql} AS k{i}" for i, sql in enumerate(columns.values()))
    part = (
        f"CASE WHEN coalesce({predictions.kept}, false) THEN "
        f"CASE WHEN shard < {SHARDS // 2} THEN 'fit' ELSE 'judge' END END"
    )
    sql = f"SELECT {picked}, {part} AS part FROM {sharded('typed', 'person')}"
    names = [*columns, PART]

    def write(beside: Path) -> None:
        writer = None
        try:
            for batch in predictions.source.batches(sql, _ROWS):
                rows = _corrected(
                    pa.Table.from_batches([batch]).rename_columns(names), recalibration
                )
                if writer is None:
                    schema = rows.schema.with_metadata(about)
                    writer = pq.ParquetWriter(beside, schema, write_page_checksum=True)
                writer.write_table(rows.cast(schema))
        finally:
            if writer is not None:
                writer.close()

    return write_atomic(path, write)


def _columns(predictions: Predictions) -> dict[str, str]:
    """Name in the new table -> SQL on `typed`, in the order of the source.

    Numbers of the contract are read as the audit reads them (text that is no number as infinite).
    """
    table = predictions.table
    ours = {column.sql: name for name, column in table.columns.items()}
    own = {column.sql: column for column in table.own.values()}
    columns = {}
    for column in table.source.columns:
        name = ours.get(column.sql)
        if name is not None:
            columns[name] = name
        elif column.sql in own and column.name not in {PART, *CONTRACT}:
            columns[column.name] = column.sql
    return columns


def _corrected(rows: pa.Table, recalibration: Recalibration) -> pa.Table:
    """One batch with its map applied; columns that no map asks for are never looked at."""
    asked = [name for name in rows.column_names if name in {*CHANGED, *recalibration.features}]
    frame = apply_recalibration(recalibration, rows.select(asked).to_pandas())
    for name in CHANGED:
        if name not in frame:
            continue
        values = frame[name].astype(object) if name == "gender_pred" else frame[name]
        array = pa.array(
            values, pa.string() if name == "gender_pred" else pa.float64(), from_pandas=True
        )
        if name in rows.column_names:
            rows = rows.set_column(rows.column_names.index(name), name, array)
        else:
            rows = rows.append_column(name, array)
    return rows
