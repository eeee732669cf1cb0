"""How long does an audit of two million rows take, and how much less than MetricFrame on the rows?

One run, side by side: (1) `faceaudit audit` as a user types it, imports, report and files
included; (2) its scan alone, step by step; (3) fairlearn's MetricFrame on the raw rows, for the
same metrics over the same features and crossings (race, gender, age group, and their pairs).
Aims: the whole command within 6 s of wall time, and at least 100 times less CPU than (3).

    python -m benchmarks.audit_speed                    2 000 000 rows
    python -m benchmarks.audit_speed --rows 100000      quickly
    python -m benchmarks.audit_speed --no-judge         without MetricFrame (minutes of CPU)

Measured 2026-11-27, x86_64, 2 cores, best of 3: the whole command on 2 000 000 rows 6.8 s of wall
time and 9.5 s of CPU, 838 MB at the peak. (3) took 584 s of CPU (n = 1, other work beside it), 61
times as much. Neither aim is met.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from fairlearn.metrics import MetricFrame
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, mean_absolute_error, roc_auc_score

from audit.config import AuditSettings
from audit.normalised import write_normalised
from audit.predictions import open_predictions
from audit.synthetic import AGES, synthetic_predictions
from audit.tally import tally_predictions
from audit.worst import ranked_faces

Array = NDArray[np.float64]
FEATURES = ("race", "gender_true", "age_group")


class Clock:
    """Wall and CPU seconds of named steps; CPU counts all threads, children on request."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float]] = []

    @contextmanager
    def step(self, name: str, *, child: bool = False) -> Iterator[None]:
        """Time what happens inside."""
        who = resource.RUSAGE_CHILDREN if child else resource.RUSAGE_SELF
        before, wall = resource.getrusage(who), time.perf_counter()
        yield
        after, seconds = resource.getrusage(who), time.perf_counter() - wall
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.rows.append((name, seconds, cpu))

    def cpu(self, name: str) -> float:
        """The least CPU seconds of a step by that name."""
        return min(cpu for step, _, cpu in self.rows if step == name)


def auc(y: Array, f: Array) -> float:
    """Area under the ROC curve; NaN in a group of one gender, where MetricFrame would stop."""
    return float(roc_auc_score(y, f)) if 0 < y.sum() < len(y) else np.nan


# The audit's metrics as functions of raw rows. MetricFrame hands over y_true and y_pred always.
AGE_METRICS: dict[str, Callable[..., float]] = {
    "age_mae": mean_absolute_error,
    "age_me": lambda y, p: np.mean(p - y),
    "age_rmse": lambda y, p: np.sqrt(np.mean((p - y) ** 2)),
    "age_cs5": lambda y, p: np.mean(np.abs(np.round(p - y, 2)) <= 5),
    "age_p90": lambda y, p: np.quantile(np.abs(p - y), 0.9),
    "interval_coverage": lambda y, _, low, high: np.mean((low <= y) & (y <= high)),
    "interval_width": lambda *_, low, high: np.mean(high - low),
}
GENDER_METRICS: dict[str, Callable[..., float]] = {
    "gender_accuracy": lambda y, f: np.mean(y == (f >= 0.5)),
    "gender_tpr": lambda y, f: np.mean(f[y == 1] >= 0.5) if (y == 1).any() else np.nan,
    "gender_fpr": lambda y, f: np.mean(f[y == 0] >= 0.5) if (y == 0).any() else np.nan,
    "gender_selection": lambda _, f: np.mean(f >= 0.5),
    "gender_brier": lambda y, f: brier_score_loss(y, f, labels=[0, 1]),
    "gender_auc": auc,
}


def judge(table: pd.DataFrame) -> dict[str, float]:
    """Every metric over every feature and pair by MetricFrame on the rows; returns the overalls."""
    bounds = {"low": table["age_low"], "high": table["age_high"]}
    params = dict.fromkeys(("interval_coverage", "interval_width"), bounds)
    labels = [name for name, *_ in AGES]
    edges = [*(first for _, first, _, _ in AGES), 200]
    groups = table[["race", "gender_true"]].astype(str)
    groups["age_group"] = pd.cut(table["age_true"], edges, right=False, labels=labels).astype(str)
    female = (table["gender_true"] == "female").astype(int)
    overall: dict[str, float] = {}
    for by in [*((f,) for f in FEATURES), *combinations(FEATURES, 2)]:
        for functions, y, p, extra in (
            (AGE_METRICS, table["age_true"], table["age_pred"], params),
            (GENDER_METRICS, female, table["gender_score"], None),
        ):
            frame = MetricFrame(
                metrics=functions,
                y_true=y,
                y_pred=p,
                sensitive_features=groups[list(by)],
                sample_params=extra,
            )
            frame.difference(errors="coerce")
            frame.ratio(errors="coerce")
            overall |= frame.overall.to_dict()
    return overall


def scan(path: Path, out: Path, clock: Clock) -> dict[str, float]:
    """The scan of an audit, step by step; returns overall figures from its sums."""
    settings = AuditSettings(by=FEATURES)
    with clock.step("scan: open, check, features"):
        predictions = open_predictions(path, settings)
    with clock.step("scan: tally"):
        tally = tally_predictions(predictions, settings)
    with clock.step("scan: worst faces"):
        ranked_faces(predictions, settings, tally)
    with clock.step("scan: write predictions.parquet"):
        write_normalised(predictions, out / "scan.parquet", tally.errors)
    sums = tally.cells.drop(columns=[*FEATURES, "shard"]).sum()
    return {
        "age_mae": sums["age_abs"] / sums["age_n"] / 100,
        "gender_accuracy": sums["gender_hit"] / sums["gender_n"],
        "gender_brier": sums["score_brier"] / sums["score_n"] / 1e6,
        "interval_coverage": sums["iv_hit"] / sums["iv_n"],
    }


def main() -> int:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="runs of the command and the scan")
    parser.add_argument("--no-judge", action="store_true", help="leave MetricFrame out")
    asked = parser.parse_args()
    clock, command = Clock(), "faceaudit audit, whole command"
    judged = "MetricFrame on the rows"
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "predictions.parquet", Path(folder) / "audit"
        table = synthetic_predictions(asked.rows, seed=0)
        table.to_parquet(path, index=False)
        for _ in range(asked.repeat):
            with clock.step(command, child=True):
                subprocess.run(
                    [sys.executable, "-m", "audit", "audit", path, "--by", *FEATURES, "--out", out],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            figures = scan(path, Path(folder), clock)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        written = pq.read_metadata(out / "predictions.parquet").num_rows
        if not asked.no_judge:
            with warnings.catch_warnings(), clock.step(judged):
                warnings.simplefilter("ignore")
                truth = judge(table)
            for key, value in figures.items():
                assert abs(value - truth[key]) < 0.005, key
    print(
        f"{asked.rows:,} rows, {', '.join(FEATURES)} and their pairs; {written:,} rows written; "
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"{datetime.now(UTC):%Y-%m-%d}; best of {asked.repeat}"
    )
    print(f"{'step':36} {'wall s':>8} {'CPU s':>8}")
    for name in dict.fromkeys(step for step, *_ in clock.rows):
        walls, cpus = zip(*((w, c) for step, w, c in clock.rows if step == name), strict=True)
        print(f"{name:36} {min(walls):8.2f} {min(cpus):8.2f}")
    print(f"peak memory of the command: {peak:,.0f} MB")
    if not asked.no_judge:
        ratio = clock.cpu(judged) / clock.cpu(command)
        print(f"CPU of MetricFrame on the rows / CPU of the whole command: {ratio:.0f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
