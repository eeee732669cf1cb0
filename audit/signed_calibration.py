"""Calibration error that a perfect score leaves at zero on average, however few the faces."""

import numpy as np
from scipy import stats

from audit.calibration import binned
from audit.metrics import Floats


def signed_l2(scores: Floats, score_sums: Floats) -> tuple[float, float]:
    """(error, p): the debiased squared calibration error of one group and its one-sided p-value.

    Sum over the 15 equal-mass bins of n_b / n * ((o - s)^2 - o (1 - o) / (n_b - 1)), o the observed
    and s the stated share of females (Broecker 2012; Ferro & Fricker 2012; Kumar, Liang & Ma 2019):
    0 on average for a perfect score at any n, so groups of different n can be compared; negative
    by chance half the time. Under a perfect score (o - s)^2 is s (1 - s) / n_b times chi-squared
    with one degree of freedom; p is of the weighted sum's Pearson type III with that skewness.

    scores: rows [female 0/1, bin]; score_sums: sum of P(female) in millionths [bin]. Bins of one
    row are left out. NaN where none is left.
    """
    n, stated, females = binned(scores, score_sums)
    kept = n > 1
    n, s, o = n[kept], stated[kept] / n[kept], females[kept] / n[kept]
    if not len(n):
        return float("nan"), float("nan")
    share = n / n.sum()
    error = float((share * ((o - s) ** 2 - o * (1 - o) / (n - 1))).sum())
    scale = share * s * (1 - s) / n
    variance = 2 * (scale**2).sum()
    if variance == 0:
        return error, 1.0 if error <= 0 else 0.0
    # about the null mean: the subtracted variance is estimated from the observed share, which moves
    # it by an order of n less than the square
    skew = 8 * (scale**3).sum() / variance**1.5
    return error, float(stats.pearson3.sf(error / np.sqrt(variance), skew))
