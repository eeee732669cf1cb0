"""How much of a bare training loop's speed the real one keeps: images per second, side by side.

Bare: forward, loss, backward, optimiser step of the same network on one random batch that lies
ready in memory. Real: `model.epochs.run_epoch`, which reads the picture cache, changes every
picture, clips gradients, averages weights, watches the loss and keeps the figures.

Both take turns in one process, so that a busy machine slows both alike; the ratio is the median
over rounds. CPU time is printed beside it: on one thread its ratio is the one that a quiet
machine shows; several threads that wait for each other spend it waiting.
On a GPU (`--device cuda`) both end with a wait for it.
Run: `python -m benchmarks.training_speed [--rounds N] [--network NAME] [--threads N]`.

Measured 2026-11-24 with `--rounds 3` on two quiet cores of an AMD EPYC (Zen 4); compact, 128
pixels, bfloat16, batch 64, two threads, n = 3 rounds of 12 steps: bare 384 images/s, training 347,
ratio .91.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from model.batches import Job, normalisation
from model.epochs import run_epoch
from model.evaluate import autocast
from model.losses import two_headed_loss
from model.material import Material
from model.network import build_network
from model.pace import choose_pace, computes_bfloat16
from model.parallel import World
from model.progress import Progress
from model.settings import NETWORKS, settings_for
from model.state import State, fresh_state
from model.threads import cores

GOAL = 0.85
STEPS = 12  # per round and loop


def make_job(network: str, *, size: int, folder: Path, device: torch.device) -> Job:
    """A job on a memory-mapped cache of random pictures."""
    settings = settings_for(network, size=size)
    rng = np.random.default_rng(0)
    n = STEPS * settings.batch
    shape = (n, size, size, 3)
    cache = np.lib.format.open_memmap(folder / "c.npy", mode="w+", dtype=np.uint8, shape=shape)
    cache[:] = rng.integers(0, 256, shape, dtype=np.uint8)
    rows = {"train": np.arange(n), "valid": np.arange(8), "test": np.arange(8)}
    age, female = rng.uniform(0, 100, n), rng.integers(0, 2, n)
    labels = age.astype(np.float32), female.astype(np.float32)
    material = Material(cache, *labels, rows, "", pd.DataFrame(index=range(n)))
    place = World(0, 1, device)
    return Job(material, settings, place, folder, *normalisation(settings, device=device))


def bare_loop(job: Job, state: State) -> None:
    """STEPS steps of forward, loss, backward and optimiser on one batch."""
    batch, size, device = job.settings.batch, job.settings.size, job.place.device
    x = torch.rand(batch, 3, size, size, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    age = torch.rand(batch, device=device) * 100
    female = torch.randint(0, 2, (batch,), device=device).float()
    state.network.train()
    for _ in range(STEPS):
        with autocast(device, state.precision):
            age_out, gender_out = state.network(x)
        loss, _ = two_headed_loss(age_out, gender_out, age, female)
        state.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        state.optimizer.step()


def real_loop(job: Job, state: State) -> None:
    """STEPS steps as a training takes them."""
    state.step = 0
    progress = Progress(1, STEPS, show=False)
    run_epoch(job, state, state.network, progress=progress, interruption=None)


def finish(device: torch.device) -> None:
    """Wait for what a GPU has not done yet."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", choices=NETWORKS, default="compact")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    with tempfile.TemporaryDirectory() as folder:
        job = make_job(args.network, size=args.size, folder=Path(folder), device=device)
        network = build_network(args.network, size=args.size, width=job.settings.width)
        network = network.to(device).to(memory_format=torch.channels_last)
        threads = args.threads
        precision, _ = choose_pace(
            job.settings,
            bfloat16=computes_bfloat16(device),
            device=device,
            cores=threads,
            processes=1,
        )
        torch.set_num_threads(threads)
        state = fresh_state(network, settings=job.settings, precision=precision, threads=threads)
        loops = {"bare loop": bare_loop, "training loop": real_loop}
        pace: dict[str, list[float]] = {name: [] for name in loops}
        work: dict[str, list[float]] = {name: [] for name in loops}
        for attempt in range(args.rounds + 1):
            for name, loop in loops.items():
                start, busy = time.perf_counter(), time.process_time()
                loop(job, state)
                finish(device)
                if attempt:  # the first round warms up
                    pace[name].append(STEPS * job.settings.batch / (time.perf_counter() - start))
                    work[name].append((time.process_time() - busy) / STEPS * 1000)
    ratios = [r / b for b, r in zip(*pace.values(), strict=True)]
    shares = [b / r for b, r in zip(*work.values(), strict=True)]
    print(
        f"{args.network}, {args.size} px, {precision}, {args.device}, "
        f"{threads} of {cores()} cores, batch {job.settings.batch}"
    )
    for name, values in pace.items():
        print(
            f"{name:<16} {statistics.median(values):8.0f} images/s  "
            f"{statistics.median(work[name]):6.0f} ms CPU a step  (n = {len(values)} rounds)"
        )
    print(
        f"{'ratio':<16} {statistics.median(ratios):8.2f}           "
        f"{statistics.median(shares):6.2f}  (goal ≥ {GOAL})"
    )


if __name__ == "__main__":
    main()
