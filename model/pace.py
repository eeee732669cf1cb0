"""Which number format and how many threads train fastest here and now: timed once, at the start."""

import copy
import math
import time

import numpy as np
import torch
from torch import nn

from model.batches import Job, make_batch
from model.evaluate import autocast
from model.losses import two_headed_loss

STEPS = 3  # timed steps of each choice
ENOUGH = 5.0  # seconds after which a choice is timed no longer
GAIN = 0.95  # bfloat16 must take at most this share of float32's time
ALONE = 0.8  # one thread must take at most this share of several threads' time


def choose_pace(network: nn.Module, job: Job, *, threads: int) -> tuple[str, int]:
    """The precision and the number of threads of a training; the settings' own where they say.

    Several threads wait for each other at every layer. Where other programs hold one of the
    cores, that waiting can make two threads twenty times slower than one (0.3 against 6 seconds a
    step, measured), so one thread is timed too.
    """
    settings = job.settings
    formats = ("float32", "bfloat16") if settings.precision == "auto" else (settings.precision,)
    free = settings.threads is None and threads > 1 and job.place.device.type == "cpu"
    counts = (threads, 1) if free else (threads,)
    if len(formats) == len(counts) == 1:
        return formats[0], threads
    seconds = {
        (precision, count): _seconds(network, job, precision=precision, threads=count)
        for count in counts
        for precision in formats
    }
    best = {count: min(seconds[p, count] for p in formats) for count in counts}
    chosen = 1 if best.get(1, math.inf) < ALONE * best[threads] else threads
    plain, fast = seconds[formats[0], chosen], seconds[formats[-1], chosen]
    return (formats[-1] if fast < GAIN * plain else formats[0]), chosen


def _seconds(network: nn.Module, job: Job, *, precision: str, threads: int) -> float:
    """The shortest of a few training steps, on a copy of the network."""
    torch.set_num_threads(threads)
    rows = np.resize(job.material.rows["train"], job.settings.batch // job.place.size)
    trial = copy.deepcopy(network).train()
    shortest, begun = math.inf, time.perf_counter()
    for attempt in range(1 + STEPS):
        x, age, female = make_batch(job, rows, epoch=0, step=0)
        start = time.perf_counter()
        with autocast(job.place.device, precision):
            age_out, gender_out = trial(x)
        loss, years = two_headed_loss(age_out, gender_out, age, female)
        torch.autograd.backward(loss)
        years.sum().item()  # waits for a GPU
        if attempt:  # the first warms up
            shortest = min(shortest, time.perf_counter() - start)
            if time.perf_counter() - begun > ENOUGH:
                break
    return shortest
