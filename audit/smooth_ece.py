"""Smooth calibration error: residuals blurred by a kernel whose width the data choose.

Blasiok & Nakkiran (2023), "Smooth ECE: principled reliability diagrams via kernel smoothing": the
residuals y - f, laid out over the score and smoothed by a Gaussian reflected at 0 and 1; the error
at width s is the area of their absolute value, smECE(s), and the figure is the s where
smECE(s) = s. No bins are chosen, and a little noise in the scores changes little.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import fft, optimize

from audit.metrics import Floats

CELLS = 1024  # of P(female): residuals closer than a thousandth cancel whatever the width


def smooth_error(score: Floats, residual: Floats) -> float:
    """The smooth calibration error of residuals y - f; NaN without any.

    score: P(female) [bin]; residual: sum of y - f over the faces of the bin, over all faces [bin].
    """
    if not len(score):
        return float("nan")
    waves = _waves(score, residual[None])
    return _fixed_point(lambda width: float(_areas(waves, width)[0]))


def smooth_error_null(score: Floats, residuals: Floats, *, level: float) -> float:
    """The `level` point of the smooth error over replicates [replicate, bin].

    As smECE(s) falls in s, a replicate's error is at most s just where its smECE(s) is: the point
    is the s that equals the `level` point of smECE(s), and one search serves all replicates.
    """
    waves = _waves(score, residuals)
    return _fixed_point(lambda width: float(np.quantile(_areas(waves, width), level)))


def _waves(score: Floats, residuals: Floats) -> Floats:
    """Cosine waves of residuals laid on a grid, each shared by its two nearest cells.

    Smoothing with the reflected Gaussian is diagonal in them: it is the heat equation on 0..1.
    """
    place = np.clip(score * CELLS - 0.5, 0, CELLS - 1)
    left = np.minimum(place.astype(np.int64), CELLS - 2)
    weight = place - left
    rows = np.arange(len(residuals))[:, None] * CELLS
    cells = np.stack([rows + left, rows + left + 1])
    parts = np.stack([residuals * (1 - weight), residuals * weight])
    grid = np.bincount(cells.ravel(), parts.ravel(), len(residuals) * CELLS).reshape(-1, CELLS)
    return np.asarray(fft.dct(grid, type=2, norm="ortho", axis=1))


def _areas(waves: Floats, width: float) -> Floats:
    """Area of the absolute smoothed residuals [replicate]."""
    damped = np.exp(-((np.pi * width * np.arange(waves.shape[1])) ** 2) / 2)
    return np.asarray(np.abs(fft.idct(waves * damped, type=2, norm="ortho", axis=1)).sum(axis=1))


def _fixed_point(area: Callable[[float], float]) -> float:
    """The width that equals its area, which falls in the width from `area(0)` on.

    Below the width of a cell it may rise by a hair, so twice that bounds what is sought.
    """
    area = cache(area)
    highest = area(0.0)
    if highest == 0:
        return 0.0
    close = min(1e-5, highest / 1000)
    return float(optimize.brentq(lambda width: area(width) - width, 0.0, 2 * highest, xtol=close))
