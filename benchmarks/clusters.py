"""How often clusters of look-alikes are confirmed, where one is planted and where none is.

Blobs of look-alikes stand for what a network holds of faces; errors of one blob in twelve are
larger (planted) or nothing depends on the blob (null, with one to three photos a person, whose
errors are alike). One table of 19,000 faces of 256 numbers is timed, and its neighbours.
Run: `python benchmarks/clusters.py [--null N] [--planted N]`.

Measured 2026-11-24 on two shared cores of an AMD EPYC (load 2 to 5): of 300 null tables of 1,500
faces one had a confirmed cluster (2,091 nominated); in 60 of 60 planted tables of 3,000 faces the
blob was confirmed; clusters of both metrics 3.4 to 5.2 s, neighbours .01 to .02 s.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from audit.clusters import find_clusters
from audit.embeddings import neighbours

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from look_alikes import PLANTED, made  # the tests' own faces


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--null", type=int, default=300)
    parser.add_argument("--planted", type=int, default=60)
    args = parser.parse_args()
    nominated, confirmed, tables = 0, 0, 0
    for seed in range(args.null):
        held, faces, _ = made(1000 + seed, n=1500, planted=False, photos=1 + seed % 3)
        found = find_clusters(held, faces, seed=seed)
        sure = sum(c.confirmed for c in found)
        nominated, confirmed, tables = nominated + len(found), confirmed + sure, tables + (sure > 0)
    print(
        f"null     {tables:>3} of {args.null} tables with a confirmed cluster "
        f"({nominated:,} nominated, {confirmed} confirmed)"
    )
    hits = 0
    for seed in range(args.planted):
        held, faces, blob = made(5000 + seed, n=3000, planted=True)
        ages = [c for c in find_clusters(held, faces, seed=seed) if c.metric == "age_mae"]
        shares = [np.mean([blob[i] == PLANTED for i in c.ids]) for c in ages if c.confirmed]
        hits += any(share > 0.8 for share in shares)
    print(f"planted  {hits:>3} of {args.planted} tables with the planted blob confirmed")
    held, faces, _ = made(1, n=19000, planted=True, d=256)
    start = time.perf_counter()
    find_clusters(held, faces)
    print(f"clusters of 19,000 faces  {time.perf_counter() - start:.2f} s")
    took = []
    for i in range(20):
        start = time.perf_counter()
        neighbours(held, f"s{i:05d}")
        took.append(time.perf_counter() - start)
    print(f"neighbours, median        {statistics.median(took):.3f} s")


if __name__ == "__main__":
    main()
