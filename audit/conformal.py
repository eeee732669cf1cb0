"""Split-conformal age intervals: by how much to widen them so that nine in ten hold the true age.

From counts of how far each true age lies outside its interval (below 0: inside).
"""

import math

import numpy as np

from audit.config import NOMINAL
from audit.intervals import quantile
from audit.metrics import Floats

PREDICTED = "age_group_pred"  # what intervals can be widened by without any feature
FEWEST = 100  # people; below, the order statistic says too little of a group


def widening(counts: Floats, misses: Floats, people: float, *, level: float = NOMINAL) -> float:
    """Years to add at both ends of every interval: the ⌈(n+1)·level⌉-th smallest miss.

    For exchangeable people the widened interval then holds the true age with probability `level`
    or more, whatever the model (Vovk, Gammerman & Shafer 2005; Lei et al. 2018; on the ends of
    stated intervals, Romano, Patterson & Candès 2019). Below 0 the intervals become narrower.
    Where people have several photos n counts people: pooling a person's photos in one distribution
    is valid with that rank (Dunn, Wasserman & Ramdas 2023), and repeating photos changes nothing.
    Infinite with too few people for the rank.

    counts: faces [bin]; misses: the largest miss of each bin, rising, years.
    """
    n = math.floor(people + 0.5)
    rank = math.ceil((n + 1) * level - 1e-9)
    if n < 1 or rank > n:
        return math.inf
    return float(quantile(counts[None], misses, rank / n)[0])


def widened(low: Floats, high: Floats, by: Floats) -> tuple[Floats, Floats]:
    """The ends of intervals moved outwards by `by` years; ends that would cross meet half way."""
    lower, upper = low - by, high + by
    middle = (low + high) / 2
    crossed = lower > upper
    return np.where(crossed, middle, lower), np.where(crossed, middle, upper)
