"""How does an audit grow from a million rows to a hundred million, in time and in memory?

One run, side by side: the whole command `faceaudit audit` as a user types it, imports, report and
files included, and one bare DuckDB `GROUP BY` of the count and three sums by cell and shard over
the same columns, in a process of its own. Features: race, gender, age group (126 groups).
Aims: at 100 million rows at most 4 times the bare query, at most 1 GB of memory, growth no worse
than linear.

    python -m benchmarks.at_size                                 1, 10 and 100 million rows
    python -m benchmarks.at_size --rows 1000000000 --keep DIR    a thousand million: 20 GB of disk

Measured 2026-11-27, x86_64, 2 cores, n = 1: 100 million rows 46.9 s of wall time, 5.6 times the
bare query, 906 MB; 10 million 10.1 s, 815 MB; a thousand million (the scan of the day before) 927
s, 11 times the bare query, 876 MB. The first aim is not met.

Rows are drawn in parts of two million; after the tenth part they repeat with new identifiers, which
decide the shards.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from audit.columns import quoted
from audit.shards import sharded
from audit.synthetic import AGES, synthetic_predictions

PART = 2_000_000
DRAWN = 10
FEATURES = ("race", "gender_true", "age_group")


def write_rows(folder: Path, rows: int) -> None:
    """Parquet files of PART rows each; what lies there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = -(-rows // PART)
    for drawn in range(min(DRAWN, parts)):
        missing = [p for p in range(drawn, parts, DRAWN) if not _path(folder, p).exists()]
        if not missing:
            continue
        table = pa.Table.from_pandas(synthetic_predictions(min(PART, rows), seed=drawn))
        place = table.column_names.index("sample_id")
        for part in missing:
            ids = pc.add(table["sample_id"], part * PART)
            numbered = table.set_column(place, "sample_id", ids)[: rows - part * PART]
            pq.write_table(numbered, _path(folder, part))


def _path(folder: Path, part: int) -> Path:
    return folder / f"part-{part:04}.parquet"


def bare_query(folder: Path) -> str:
    """The count and three sums by cell and shard; ids are whole numbers, so their keys are free."""
    edges = [first for _, first, _, _ in AGES][1:]
    age_group = " + ".join(f"(age_true >= {edge})::SMALLINT" for edge in edges)
    error = "floor((age_pred - age_true) * 100 + 0.5)::INTEGER"
    rows = f"read_parquet({quoted(str(folder / '*.parquet'))})"
    return (
        "SELECT race, gender_true, age, shard, count(*), sum(abs(error)), sum(error), "
        "sum(floor(gender_score * 1e6 + 0.5)::INTEGER) FROM (SELECT *, "
        f"{age_group} AS age, {error} AS error FROM {sharded(rows, 'sample_id')}) GROUP BY ALL"
    )


def timed(command: list[str]) -> tuple[float, float, float]:
    """Wall and CPU seconds of a command, and its peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # its errors are ours
    _, code, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure(folder: Path) -> dict[str, tuple[float, float, float]]:
    """Both commands over the rows of a folder."""
    query = f"import duckdb; duckdb.sql({bare_query(folder)!r}).fetchall()"
    by = [word for name in FEATURES for word in ("--by", name)]
    with tempfile.TemporaryDirectory() as out:
        audit = [sys.executable, "-m", "audit", "audit", str(folder), *by, "--out", out]
        return {"bare": timed([sys.executable, "-c", query]), "audit": timed(audit)}


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10**6, 10**7, 10**8])
    parser.add_argument("--keep", type=Path, help="folder for the rows, kept and used again")
    parser.add_argument("--repeat", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found: list[dict[str, Any]] = []
        for rows in asked.rows:
            folder = (asked.keep or Path(scratch)) / str(rows)
            write_rows(folder, rows)
            found += [{"rows": rows, **measure(folder)} for _ in range(asked.repeat)]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )
    print("| rows | bare query, wall s | audit, wall s | CPU s | times the bare | peak MB |")
    print("|---|---|---|---|---|---|")
    for one in found:
        (bare, *_), (wall, cpu, peak) = one["bare"], one["audit"]
        print(
            f"| {one['rows']:,} | {bare:.1f} | {wall:.1f} | {cpu:.1f} | {wall / bare:.1f} "
            f"| {peak:,.0f} |"
        )


if __name__ == "__main__":
    main()
