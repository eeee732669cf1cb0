"""Scores at whole thousandths and their histogram with a bin for each: nothing lost to binning."""

import numpy as np


def histogram(score, female):
    """(rows [female, bin], sums of score in millionths [bin]) with a bin for every thousandth."""
    place = np.floor(score * 1000 + 0.5).astype(int)
    rows = np.stack([np.bincount(place[female == y], minlength=1001) for y in (False, True)])
    return rows.astype(float), np.arange(1001) * 1000.0 * rows.sum(axis=0)


def drawn(n, seed, *, bend=lambda f: f):
    """`n` scores and labels; calibrated, or with the chance of a female bent."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.beta(0.6, 0.6, n), 3)
    return score, rng.random(n) < np.clip(bend(score), 0, 1)
