"""The same intervals as fairlearn's bootstrap, and what either costs.

    python -m benchmarks.bootstrap_speed [--fairlearn-replicates 20] [--rows 2000000]

First table: six metrics, 80 groups, 20,000 rows. fairlearn resamples rows and disaggregates each
replicate anew (its time is taken on a few replicates and scaled to 1,000: every replicate does the
same work); we scan once and resample shards. Interval ends are compared in units of the interval's
own width. Second: tallies, 1,000 replicates and every test of a whole audit, in seconds on this
machine, imports aside. CPU seconds are of all threads. Aim: 2 million rows within AIM seconds of
wall time on two cores, fairlearn's values (not part of the aim's list) aside.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame

from audit.config import AuditSettings
from audit.disparity import Asked, weigh_disparities
from audit.fairness import audited_metrics, disaggregate, metrics_of
from audit.groups import Groups, crossings, gather, with_tails
from audit.metrics import METRICS
from audit.predictions import Predictions, open_predictions
from audit.resample import Ratios, replicate
from audit.synthetic import synthetic_predictions
from audit.tally import tally_predictions
from audit.weakness import slice_table

ENDS = (0.025, 0.975)
AIM = 2.0  # wall seconds for 2 million rows
KEYS = ("age_mae", "age_me", "age_rmse", "age_cs5", "gender_accuracy", "gender_selection")


def clocked(work: Callable[[], object]) -> tuple[object, float, float]:
    """(result, CPU seconds, wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def faces_of(rows: int) -> pd.DataFrame:
    """Faces in 80 groups: eight sites by ten cameras, unequal."""
    return synthetic_predictions(rows, seed=1, extra={"site": 8, "camera": 10})


def ours(faces: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Percentile intervals of values, difference and ratio from one scan and shard replicates."""
    settings = AuditSettings(by=("site", "camera"))
    tally = tally_predictions(open_predictions(faces, settings), settings)
    groups = gather(with_tails(tally), tally.features)
    everyone = np.ones(len(groups.names), dtype=bool)
    records = []
    for key in KEYS:
        m = METRICS[key]
        kind = "root" if m.root else "share" if m.unit == "share" else "mean"
        top, bottom = groups.sums[m.top], groups.sums[m.bottom]
        records.append(Ratios(top, bottom, everyone, kind, m.scale))
    out = {}
    for key, record, found in zip(KEYS, records, replicate(records), strict=True):
        value = METRICS[key].value(
            {
                METRICS[key].top: record.top.sum(axis=1),
                METRICS[key].bottom: record.bottom.sum(axis=1),
            }
        )
        values = value + found.own
        with np.errstate(divide="ignore", invalid="ignore"):
            gap, ratio = np.ptp(values, axis=1), values.min(axis=1) / values.max(axis=1)
        out[key] = {
            "by_group": np.quantile(values, ENDS, axis=0),
            "difference": np.quantile(gap, ENDS),
            "ratio": np.quantile(ratio, ENDS),
        }
    return out


def theirs(faces: pd.DataFrame, replicates: int) -> MetricFrame:
    """fairlearn's MetricFrame on the rows, with its own bootstrap."""
    error = (faces["age_pred"] - faces["age_true"]).round(2)
    female = (faces["gender_true"] == "female").astype(int)
    called = (faces["gender_score"] >= 0.5).astype(int)
    rows = pd.DataFrame({"error": error, "female": female, "called": called})
    error_of, female_of, called_of = (rows[c].to_numpy() for c in rows)
    functions = {
        "age_mae": lambda i, _: float(np.abs(error_of[i]).mean()),
        "age_me": lambda i, _: float(error_of[i].mean()),
        "age_rmse": lambda i, _: float(np.sqrt((error_of[i] ** 2).mean())),
        "age_cs5": lambda i, _: float((np.abs(error_of[i]) <= 5).mean()),
        "gender_accuracy": lambda i, _: float((female_of[i] == called_of[i]).mean()),
        "gender_selection": lambda i, _: float(called_of[i].mean()),
    }
    place = np.arange(len(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MetricFrame(
            metrics=functions,
            y_true=place,
            y_pred=place,
            sensitive_features=faces[["site", "camera"]].astype(str),
            n_boot=replicates,
            ci_quantiles=list(ENDS),
            random_state=1,
        )


def compare(replicates: int) -> None:
    """Agreement of interval ends and the ratio of CPU."""
    faces = faces_of(20_000)
    ours(faces)  # imports and caches aside
    mine, cpu, _ = clocked(lambda: ours(faces))
    plain, one, _ = clocked(lambda: theirs(faces, 1))
    frame, many, _ = clocked(lambda: theirs(faces, replicates))
    del plain
    each = (many - one) / (replicates - 1)
    print("| | CPU seconds |\n|---|---|")
    print(f"| faceaudit: scan, tally, 1,000 replicates | {cpu:.2f} |")
    print(f"| fairlearn: {each:.3f} a replicate ({replicates} run), 1,000 | {each * 1000:.0f} |")
    print(f"| ratio | {each * 1000 / cpu:.0f} |\n")
    print("| ends apart, in widths | by_group: median, mean | difference: larger |")
    print("|---|---|---|")
    low, high = frame.by_group_ci
    for key in KEYS:
        a, b = mine[key]["by_group"], np.stack([low[key].to_numpy(), high[key].to_numpy()])
        apart = np.abs(a - b) / (b[1] - b[0])
        gap = np.array([float(q[key]) for q in frame.difference_ci()])
        gaps = np.abs(mine[key]["difference"] - gap) / (gap[1] - gap[0])
        print(
            f"| {key} | mean {apart.mean():.3f}, largest {apart.max():.3f} | {gaps.max():.3f} | |"
        )


def whole(rows: int, *, repeat: int) -> None:
    """Every test of an audit of many rows, step by step: the quickest of some runs."""
    faces = synthetic_predictions(rows, seed=2)
    settings = AuditSettings()
    predictions = open_predictions(faces, settings)
    runs = [steps_of(predictions, settings) for _ in range(repeat)]
    best = min(runs, key=lambda run: sum(wall for name, _, wall in run if name != VALUES))
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; aim {AIM} s wall")
    print(f"\n| {rows:,} rows, best of {repeat} | CPU s | wall s |\n|---|---|---|")
    for name, cpu, wall in best:
        print(f"| {name} | {cpu:.2f} | {wall:.2f} |")
    for words, chosen in (("all but those values", {VALUES}), ("all", set[str]())):
        cpu, wall = (sum(one[i] for one in best if one[0] not in chosen) for i in (1, 2))
        print(f"| {words} | {cpu:.2f} | {wall:.2f} |")


VALUES = "values, differences and ratios by fairlearn's MetricFrame"


def steps_of(predictions: Predictions, settings: AuditSettings) -> list[tuple[str, float, float]]:
    """(step, CPU seconds, wall seconds) of one run."""
    steps: list[tuple[str, float, float]] = []

    def step(name: str, work: Callable[[], object]) -> object:
        result, cpu, wall = clocked(work)
        steps.append((name, cpu, wall))
        return result

    def gathered() -> list[tuple[Groups, Groups | None]]:
        age = next(f for f in tally.features if f.name == "age_group")
        return [
            (gather(lean, parts), None if age in parts else gather(lean, (*parts, age)))
            for parts in crossings(tally.features, depth=2)[1:]
        ]

    def given(groups: Groups | None) -> Callable[[], Groups | None]:
        return lambda: groups

    def disaggregated() -> list[Asked]:
        keys = audited_metrics(gather(lean, ()))
        return [
            Asked(groups, disaggregate(groups, metrics_of(groups.parts, keys)), given(by_age))
            for groups, by_age in pairs
        ]

    tally = step("tallies", lambda: tally_predictions(predictions, settings))
    lean = step("tails", lambda: with_tails(tally))
    pairs = step("groups", gathered)
    asked = step(VALUES, disaggregated)
    step("replicates and tests", lambda: weigh_disparities(asked, settings=settings))
    step("slices", lambda: slice_table(lean, settings=settings))
    return steps


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fairlearn-replicates", type=int, default=20)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="runs of the second table")
    args = parser.parse_args()
    compare(args.fairlearn_replicates)
    whole(args.rows, repeat=args.repeat)


if __name__ == "__main__":
    main()
