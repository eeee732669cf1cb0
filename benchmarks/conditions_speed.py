"""How many faces a second `measure_pixels` measures from decoded pixels, on all cores.

Batches as `predict` makes them, in threads, of drawn faces that lie ready in memory. On a machine
that does other work beside, wall times say little; then faces a CPU second, times the cores, is
what a quiet one would do at best.
Run: `python -m benchmarks.conditions_speed [--faces N] [--rounds N]`.

Measured: see docs/benchmarks.md.
"""

import argparse
import statistics
import time

import numpy as np

from model.conditions import measure_pixels
from model.drawn_faces import draw_faces
from model.scoring import BATCH
from model.threads import cores, in_threads

GOAL = 3000
SIZES = (64, 128, 224)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(f"{cores()} cores, {args.faces} faces, n = {args.rounds} rounds, batches of {BATCH}")
    print("  pixels  faces/s by wall (least–most)  faces a CPU second  × cores")
    for size in SIZES:
        drawn = draw_faces(256, seed=0, size=size).pictures
        pictures = np.resize(drawn, (args.faces, size, size, 3))
        wall, work = [], []
        for attempt in range(args.rounds + 1):
            start, busy = time.perf_counter(), time.process_time()
            for _ in in_threads(measure_pixels, pictures, batch=BATCH):
                pass
            if attempt:  # the first round warms up
                wall.append(args.faces / (time.perf_counter() - start))
                work.append(args.faces / (time.process_time() - busy))
        one = statistics.median(work)
        ends = f"({min(wall):.0f}–{max(wall):.0f})"
        middle = statistics.median(wall)
        print(f"{size:>8} {middle:>15.0f} {ends:>13} {one:>19.0f} {one * cores():>8.0f}")
    print(f"goal at 128 pixels: {GOAL} faces/s on two cores")


if __name__ == "__main__":
    main()
