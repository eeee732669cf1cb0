"""Calibration error that a perfect score leaves at zero on average, however few the faces."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from audit.calibration import binned
from audit.intervals import LEVEL
from audit.metrics import Floats


@dataclass(frozen=True)
class SignedError:
    """The error, a perfect score's 95 % point, and the one-sided p-value; NaN without rows."""

    error: float
    null: float
    p_value: float


def signed_l2(scores: Floats, score_sums: Floats, shrink: float = 1.0) -> SignedError:
    """The debiased squared calibration error of one group.

    Sum over the 15 equal-mass bins of n_b / n * ((o - s)^2 - o (1 - o) / (n_b - 1)), o the observed
    and s the stated share of females (Broecker 2012; Ferro & Fricker 2012; Kumar, Liang & Ma 2019):
    0 on average for a perfect score at any n, so groups of different n can be compared; negative
    by chance half the time. Under a perfect score (o - s)^2 is s (1 - s) / n_b times chi-squared
    with one degree of freedom; p is of the weighted sum's Pearson type III with that skewness.

    scores: rows [female 0/1, bin]; score_sums: sum of P(female) in millionths [bin]; shrink:
    effective over nominal rows. Bins of one row or less are left out.
    """
    n, stated, females = binned(scores, score_sums)
    kept = n * shrink > 1
    n, s, o = n[kept], stated[kept] / n[kept], females[kept] / n[kept]
    if not len(n):
        return SignedError(*[float("nan")] * 3)
    rows, share = n * shrink, n / n.sum()
    error = float((share * ((o - s) ** 2 - o * (1 - o) / (rows - 1))).sum())
    scale = share * s * (1 - s) / rows
    variance = 2 * (scale**2).sum()
    if variance == 0:
        return SignedError(error, 0.0, 1.0 if error <= 0 else 0.0)
    # about the null mean: the subtracted variance is estimated from the observed share, which moves
    # it by an order of n less than the square
    law = stats.pearson3(8 * (scale**3).sum() / variance**1.5, scale=np.sqrt(variance))
    return SignedError(error, float(law.ppf(LEVEL)), float(law.sf(error)))
