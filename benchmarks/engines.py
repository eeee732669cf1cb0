"""The same audit on other engines, from other files, in parts: are the results the same bytes?

    python benchmarks/engines.py [--rows 1000000] [--work FOLDER]

Rows are drawn (audit.synthetic); `info.run` aside, every line must show one and the same digest of
`result.json`. CPU seconds are those of all processes, Java's too, start to end: figures of a table
this small are mostly Spark's start and its forty small questions, not its speed.

Measured 2026-11-27, x86_64, 2 cores shared with other work, 1,000,000 rows, Spark 4.3, Java 17, one
run from start to end. One digest of result.json and one of the tally in all of these, CPU seconds
behind each: DuckDB from CSV on 1 thread 21.2, on 2 threads 22.0; from Parquet 11.7 and 13.0; three
parts tallied, merged and audited 21.8; Spark `local[2]` from Parquet 107.6, from CSV 309.5.
"""

import argparse
import ctypes
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from audit.synthetic import Plant, synthetic_predictions

BY = ["--by", "race", "gender_true", "age_group"]
_PR_SET_CHILD_SUBREAPER = 36


def run(*arguments: str | Path) -> float:
    """One command of faceaudit; CPU seconds of it and of all it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "audit", *map(str, arguments), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    while True:  # Java outlives the command for a moment, and is left to us
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show(name: str, out: Path, seconds: float) -> str:
    """A line of the table; returns the digest of the result without `info.run`."""
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    engine = result["info"].pop("run")["engine"]
    digest = hashlib.sha256(json.dumps(result).encode()).hexdigest()
    tally = result["info"]["hash_of_rows"]
    print(f"{name:<26} {engine:<16} {tally[:16]}  {digest[:16]}  {seconds:8.1f}", flush=True)
    return digest


def main() -> int:
    """Write the rows, audit them every way, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    work = args.work or Path(tempfile.mkdtemp(prefix="faceaudit-engines-"))
    work.mkdir(parents=True, exist_ok=True)
    planted = [Plant({"race": "Black"}, age_scale=1.3)]
    rows = synthetic_predictions(args.rows, seed=1, planted=planted, photos_per_person=2)
    rows.to_parquet(work / "t.parquet", index=False)
    rows.to_csv(work / "t.csv", index=False)
    for i in range(3):  # each person in one part: people are counted part by part
        rows[rows["subject_id"] % 3 == i].to_parquet(work / f"part{i}.parquet", index=False)
    del rows
    print(f"{args.rows:,} rows")
    print(f"{'':<26} {'engine':<16} {'tally':<16}  {'result.json':<16}  CPU s")
    digests = set()
    for threads in ("1", "2"):
        for name in ("t.csv", "t.parquet"):
            out = work / f"duckdb-{threads}-{name}"
            cpu = run("audit", work / name, "--out", out, *BY, "--threads", threads)
            digests.add(show(f"{name}, {threads} threads", out, cpu))
    tallies = [work / f"site{i}.parquet" for i in range(3)]
    cpu = sum(
        run("tally", work / f"part{i}.parquet", "--out", tallies[i], *BY, "--faces")
        for i in range(3)
    )
    cpu += run("merge", *tallies, "--out", work / "all.parquet")
    cpu += run("audit", work / "all.parquet", "--out", work / "merged")
    digests.add(show("three parts, merged", work / "merged", cpu))
    spark = ("--engine", "spark", "--master", "local[2]")
    for name in ("t.parquet", "t.csv"):
        out = work / f"spark-{name}"
        cpu = run("audit", work / name, "--out", out, *BY, *spark)
        digests.add(show(f"{name}, local[2]", out, cpu))
    print("one result" if len(digests) == 1 else f"{len(digests)} DIFFERENT RESULTS")
    return int(len(digests) > 1)


if __name__ == "__main__":
    raise SystemExit(main())
