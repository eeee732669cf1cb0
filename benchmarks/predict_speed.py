"""How much of its slower half's speed `predict` keeps: images per second, side by side.

Bare decode: every file through `model.pictures.read_picture`, in threads, kept nowhere. Bare
network: both views (straight and mirrored) of random batches that lie ready in memory. Predict:
`model.scoring.read_pieces`, files to scores.

All take turns in one process; ratios are medians over rounds. On a machine whose cores are shared
by decoding and network the bound is that of doing both one after the other, which is printed too.
Run: `python benchmarks/predict_speed.py [--faces N] [--rounds N] [--device cuda]`.

Measured 2026-11-24 on two quiet cores of an AMD EPYC (Zen 4); compact, 128 pixels, bfloat16, 1,500
faces, n = 5 rounds: decode 4,901 images/s, network 592, predict 463 (it measures what each picture
is like too), ratio .80.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from model.drawn_faces import write_drawn_faces
from model.evaluate import score
from model.faces import FaceTable, read_faces
from model.network import build_network
from model.pictures import read_picture
from model.ready_run import ready
from model.run_folder import Run
from model.scoring import BATCH, read_pieces
from model.threads import cores, in_threads

GOAL = 0.80
SIZE = 128


def bare_decode(table: FaceTable) -> None:
    """Decode every picture and throw it away."""
    paths = [str(table.root / image) for image in table.faces["image"]]

    def decode(part: list[str]) -> int:
        return sum(read_picture(path, size=SIZE).shape[0] for path in part)

    for _ in in_threads(decode, paths, batch=BATCH):
        pass


def bare_network(run: Run, n: int, *, device: torch.device) -> None:
    """Score `n` random pictures, both views."""
    network = run.network.to(device).to(memory_format=torch.channels_last)
    pictures = torch.randint(0, 256, (BATCH, SIZE, SIZE, 3), dtype=torch.uint8).numpy()
    mean, std = (torch.tensor(run.config[name], device=device) for name in ("mean", "std"))
    precision = run.config["precision"]
    for start in range(0, n, BATCH):
        part = pictures[: min(BATCH, n - start)]
        score(network, part, mean=mean, std=std, device=device, precision=precision, flip=True)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--faces", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.set_num_threads(cores())
    config = {
        "size": SIZE, "mean": [0.5] * 3, "std": [0.25] * 3, "precision": args.precision,
        "decode": {"age": "mean", "interval": {"correction": 0.0}},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        faces = write_drawn_faces(Path(folder) / "faces", n=args.faces, seed=0)
        table = read_faces(faces.parent if faces.is_file() else faces)
        run = Run(Path(folder), config, build_network("compact").eval())
        n = len(table.faces)
        paths = [str(table.root / image) for image in table.faces["image"]]
        model = ready(run, seen=table.faces.head(0), device=device)
        works: dict[str, Callable[[], object]] = {
            "bare decode": lambda: bare_decode(table),
            "bare network": lambda: bare_network(run, n, device=device),
            "predict": lambda: list(read_pieces(model, paths)),
        }
        pace: dict[str, list[float]] = {name: [] for name in works}
        for attempt in range(args.rounds + 1):
            for name, work in works.items():
                start = time.perf_counter()
                work()
                if attempt:  # the first round warms up
                    pace[name].append(n / (time.perf_counter() - start))
    decode, network, whole = pace.values()
    rounds = list(zip(decode, network, whole, strict=True))
    print(f"compact, {SIZE} px, {args.precision}, {args.device}, {cores()} cores, {n} faces")
    for name, values in pace.items():
        print(f"{name:<32} {statistics.median(values):8.0f} images/s  (n = {len(values)} rounds)")
    slower = statistics.median(w / min(d, m) for d, m, w in rounds)
    in_turn = statistics.median(w * (1 / d + 1 / m) for d, m, w in rounds)
    print(f"{'ratio to the slower of the two':<32} {slower:8.2f}  (goal ≥ {GOAL})")
    print(f"{'ratio to one after the other':<32} {in_turn:8.2f}")


if __name__ == "__main__":
    main()
