"""Two cohorts of an audit: how often is a difference found that is not there, and how fast.

    python -m benchmarks.cohorts null --tables 200 --faces 1500 --photos 1
    python -m benchmarks.cohorts speed --faces 1000000

Tables of `audit.synthetic` with nothing planted (t errors with 4 degrees). Results:
docs/simulations.md.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from audit.cohorts import FOUND, compare
from audit.rows import EVERYONE, Cohort, FaceRows, open_rows, rest_of
from audit.synthetic import synthetic_predictions

ARAB, LATINO, BLACK, INDIAN = (
    Cohort(race, {"race": (race,)}) for race in ("Arab", "Latino", "Black", "Indian")
)
OLD = Cohort("old", {"age": ("40+",)})
PAIRS = {
    "strangers, small": (ARAB, LATINO),
    "small, and everyone else": (ARAB, rest_of(ARAB)),
    "overlapping": (BLACK, OLD),
    "in everyone": (INDIAN, EVERYONE),
}


def audit_of(
    folder: Path, *, faces: int, photos: int, seed: int
) -> tuple[FaceRows, dict[str, Any]]:
    """What an audit of such a table leaves behind, as far as a comparison reads it."""
    table = synthetic_predictions(faces, seed=seed, photos_per_person=photos)
    table["error"] = np.round(table.age_pred - table.age_true, 2)
    table["gender_pred"] = np.where(table.gender_score >= 0.5, "female", "male")
    table["age"] = np.where(table.age_true >= 40, "40+", "under 40")
    table.to_parquet(folder / "predictions.parquet", index=False)
    people = len(table) if photos == 1 else table.subject_id.nunique()
    info = {
        "rows_audited": len(table),
        "subjects": people,
        "subjects_assumed": photos == 1,
        "margins": {},
    }
    return open_rows(folder), info


def null(args: argparse.Namespace) -> None:
    """Share of comparisons with any difference found, and of metrics whose interval misses 0."""
    any_found = dict.fromkeys(PAIRS, 0)
    missed: list[Mapping[str, Any]] = []
    with TemporaryDirectory() as folder:
        for seed in range(args.tables):
            rows, info = audit_of(
                Path(folder), faces=args.faces, photos=args.photos, seed=1000 + seed
            )
            for name, pair in PAIRS.items():
                table = compare(rows, *pair, info=info).table
                any_found[name] += bool((table.verdict == FOUND).any())
                told = table[table.difference.notna()]
                miss = ~((told.difference_low <= 0) & (told.difference_high >= 0))
                missed += [
                    {"pair": name, "metric": m, "missed": x}
                    for m, x in zip(told.metric, miss, strict=True)
                ]
    print(f"{args.tables} tables of {args.faces} faces, {args.photos} photos a person")
    for name, n in any_found.items():
        share = n / args.tables
        error = np.sqrt(share * (1 - share) / args.tables)
        print(f"{name:<26} any difference found {share:.3f} ± {error:.3f}")
    shares = pd.DataFrame(missed).pivot_table(
        index="metric", columns="pair", values="missed", sort=False
    )
    print(shares[list(PAIRS)].round(3).to_string())


def speed(args: argparse.Namespace) -> None:
    """Seconds of one comparison, the least and the most of five."""
    with TemporaryDirectory() as folder:
        rows, info = audit_of(Path(folder), faces=args.faces, photos=args.photos, seed=1)
        for name, pair in PAIRS.items():
            took = []
            for _ in range(5):
                start = time.perf_counter()
                compare(rows, *pair, info=info)
                took.append(time.perf_counter() - start)
            print(f"{args.faces} faces, {name:<26} {min(took):.2f} to {max(took):.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=("null", "speed"))
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--faces", type=int, default=1500)
    parser.add_argument("--photos", type=int, default=1)
    asked = parser.parse_args()
    {"null": null, "speed": speed}[asked.study](asked)
