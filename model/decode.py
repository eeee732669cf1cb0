"""From what a network says to an age, its 90 % interval and P(female): numpy only, no torch.

An exported model runs without torch, so nothing here may need it.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

LEVEL = 0.9  # of the interval: 90 % of faces should lie inside
LOW, HIGH = (1 - LEVEL) / 2, (1 + LEVEL) / 2
_SURE = 1.2816  # standard errors: nine choices of validation faces in ten keep what is promised
OLDEST = 120.0
_LEAST_WIDTH = 1.0  # years: the correction of an interval scales with its width, not below this
_EDGES = (3, 10, 20, 30, 40, 50, 60, 70)  # of predicted ages that may be corrected apart, years
_LEAST_FACES = 50  # of one such group: it then covers .9 to .92 on average


def mean_age(shares: Floats) -> Floats:
    """Mean in years of age distributions [N, 121] over the years 0..120."""
    years = np.arange(shares.shape[1], dtype=np.float64)
    mean: Floats = shares.astype(np.float64) @ years
    return mean


def quantile_age(shares: Floats, level: float) -> Floats:
    """Quantile in years, [N], of age distributions [N, 121].

    Year k's share is spread evenly over [k − ½, k + ½], so the quantile moves continuously; it
    is kept inside 0..120.
    """
    p = shares.astype(np.float64)
    summed = np.cumsum(p, axis=1)
    goal = level * summed[:, -1:]
    year = np.argmax(summed >= goal, axis=1)
    row = np.arange(len(p))
    inside = (goal[:, 0] - (summed[row, year] - p[row, year])) / np.maximum(p[row, year], 1e-300)
    value: Floats = np.clip(year - 0.5 + inside, 0.0, OLDEST)
    return value


def conformal_correction(scores: Floats, *, level: float = LEVEL) -> float | None:
    """The ⌈(n + 1)·level⌉-th smallest score; None when n is too small for LEVEL.

    Split-conformal prediction (Vovk et al. 2005; Lei et al. 2018): for exchangeable faces the
    corrected interval covers with probability ≥ level. Where n is enough for LEVEL but not for a
    higher `level`, it is the largest score.
    """
    n = len(scores)
    if math.ceil((n + 1) * LEVEL) > n:
        return None
    return float(np.sort(scores)[min(n, math.ceil((n + 1) * level)) - 1])


def safe_level(n: int) -> float:
    """The level at which n validation faces keep LEVEL in nine choices of them out of ten.

    Split-conformal intervals keep it on average over choices of the n faces: half the choices cover
    less, with a standard error of √(LEVEL·(1 − LEVEL)/n). So much, times _SURE, is laid on top
    (validity conditional on the calibration set: Vovk 2012, with the normal approximation). At 1,
    reached with fewer than 15 faces, the largest score is taken.
    """
    return min(1.0, LEVEL + _SURE * math.sqrt(LEVEL * (1 - LEVEL) / n))


def choose_rule(age: Floats, age_true: Floats) -> dict[str, Any]:
    """How outputs `age` ([N, 121] shares or [N] years) of validation faces are best read.

    Returns JSON values: `age` is `mean`, `median` (whichever has the lower MAE) or `value`;
    `interval` states method, level, the level it was calibrated at, and for each range of predicted
    ages, parted by `edges` in years, the correction and the n faces it rests on. For distributions
    the method is conformalised quantile regression (Romano et al. 2019) with scores in units of the
    interval's own width (CQR-r, Sesia & Candès 2020), for plain values the absolute residual;
    corrected range by range (Mondrian, Vovk et al. 2005), so that what is promised holds at every
    predicted age.
    """
    if age.ndim == 1:
        rule = "value"
        method = "absolute residual"
    else:
        maes = {
            "mean": float(np.abs(mean_age(age) - age_true).mean()),
            "median": float(np.abs(quantile_age(age, 0.5) - age_true).mean()),
        }
        rule = min(maes, key=lambda name: maes[name])
        method = "quantiles, conformal, relative to width"
    years, low, high, width = _uncorrected(age, rule)
    misses = np.maximum(low - age_true, age_true - high) / width
    edges = _well_filled(years)
    place = np.searchsorted(edges, years, side="right")
    parts = [misses[place == i] for i in range(len(edges) + 1)]
    calibrated_at = safe_level(len(years))
    interval = {
        "method": f"{method}, by predicted age",
        "level": LEVEL,
        "calibrated_at": calibrated_at,
        "edges": edges,
        "correction": [conformal_correction(part, level=calibrated_at) for part in parts],
        "n": [len(part) for part in parts],
    }
    return {"age": rule, "interval": interval}


def apply_rule(age: Floats, rule: Mapping[str, Any]) -> tuple[Floats, Floats, Floats]:
    """Age, lower and upper end of its interval in years, each [N], by a rule of `choose_rule`.

    An interval always holds its own age; without a correction (too few validation faces) it is
    the whole range.
    """
    years, low, high, width = _uncorrected(age, rule["age"])
    # a run of before the edges has one correction for all
    corrections = np.atleast_1d(np.array(rule["interval"]["correction"], dtype=np.float64))
    edges = rule["interval"].get("edges", [])
    corrections[np.isnan(corrections)] = OLDEST
    outwards = corrections[np.searchsorted(edges, years, side="right")] * width
    lower = np.clip(low - outwards, 0.0, OLDEST)
    upper = np.clip(high + outwards, 0.0, OLDEST)
    return years, np.minimum(lower, years), np.maximum(upper, years)


def _uncorrected(age: Floats, rule: str) -> tuple[Floats, Floats, Floats, Floats]:
    """Age, both ends of its interval and the unit of its correction, as the network says them."""
    years: Floats
    if age.ndim == 1:
        years = age.astype(np.float64)
        return years, years, years, np.ones_like(years)
    years = mean_age(age) if rule == "mean" else quantile_age(age, 0.5)
    low, high = quantile_age(age, LOW), quantile_age(age, HIGH)
    return years, low, high, np.maximum(high - low, _LEAST_WIDTH)


def _well_filled(years: Floats) -> list[int]:
    """Those of _EDGES between which _LEAST_FACES or more of `years` lie, from the youngest on."""
    held = np.bincount(np.searchsorted(_EDGES, years, side="right"), minlength=len(_EDGES) + 1)
    edges, below = [], 0
    for i, edge in enumerate(_EDGES):
        below += held[i]
        if below >= _LEAST_FACES <= held[i + 1 :].sum():
            edges.append(edge)
            below = 0
    return edges


def age_columns(age: Floats, rule: Mapping[str, Any]) -> dict[str, Floats]:
    """`age_pred`, `age_low`, `age_high` in years, each [N], by a rule of `choose_rule`.

    Where the rule says `columns` (a model of other people), age [N, K] are those, read already.
    """
    if rule["age"] == "columns":
        return dict(zip(rule["columns"], age.T.astype(np.float64), strict=True))
    return dict(zip(("age_pred", "age_low", "age_high"), apply_rule(age, rule), strict=True))
