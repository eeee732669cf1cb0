"""What does reading a folder of faces cost beside the least it could cost?

    python -m benchmarks.face_scan [--faces 4000]

Draws faces, then measures in one process, in turns, the CPU seconds of (1) the least: every file
read, hashed and decoded at reduced size, one after the other; (2) `read_faces`: that, with labels,
checks, copies and people; (3) a cache of 128 × 128 pictures beside (4) bare full decodes of the
same files. Ratios are of CPU seconds of the same run, best of three; the machine is printed.

2026-11-23, two busy cores of an x86_64 server, 2,000 faces of 128 × 128 pixels: read_faces costs
3.2 times the least (.47 ms of CPU a face), the cache 1.7 times bare decoding (.37 ms a face).
"""

import argparse
import hashlib
import io
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from model.drawn_faces import write_drawn_faces
from model.faces import read_faces
from model.pictures import open_cache


def least(paths: list[Path]) -> None:
    """Read, hash and decode at reduced size."""
    for path in paths:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.draft("L", (32, 32))
            image.load()


def decoded(paths: list[Path]) -> None:
    """Decode in full, and nothing else."""
    for path in paths:
        with Image.open(path, formats=("JPEG",)) as image:
            image.load()


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of the cheapest of three runs."""
    runs = []
    for _ in range(3):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        runs.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(runs)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=4000)
    n = parser.parse_args().faces
    with tempfile.TemporaryDirectory() as name:
        root = write_drawn_faces(Path(name) / "faces", n=n, seed=0)
        paths = sorted(root.glob("*.jpg"))
        table = read_faces(root)

        def cache() -> None:
            with tempfile.TemporaryDirectory(dir=name) as folder:
                open_cache(table.faces, root=root, size=128, folder=Path(folder))

        rows = {
            "read, hash, reduced decode": cost(lambda: least(paths)),
            "read_faces": cost(lambda: read_faces(root)),
            "full decode": cost(lambda: decoded(paths)),
            "open_cache, 128 pixels": cost(cache),
        }
    print(f"{n:,} drawn faces, {platform.machine()}, {os.cpu_count()} cores")
    for what, (cpu, wall) in rows.items():
        print(f"{what:<28} {cpu:7.2f} s CPU {wall:7.2f} s wall {n / wall:8,.0f} faces/s")
    seconds = {what: cpu for what, (cpu, _) in rows.items()}
    scan = seconds["read_faces"] / seconds["read, hash, reduced decode"]
    build = seconds["open_cache, 128 pixels"] / seconds["full decode"]
    print(f"read_faces costs {scan:.1f} times the least, the cache {build:.1f} times bare decoding")


if __name__ == "__main__":
    main()
