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
OLDEST = 120.0
_LEAST_WIDTH = 1.0  # years: the correction of an interval scales with its width, not below this


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
    """The ⌈(n + 1)·level⌉-th smallest score; None when n is too small for one.

    Split-conformal prediction (Vovk et al. 2005; Lei et al. 2018): for exchangeable faces the
    corrected interval covers with probability ≥ level.
    """
    rank = math.ceil((len(scores) + 1) * level)
    return None if rank > len(scores) else float(np.sort(scores)[rank - 1])


def choose_rule(age: Floats, age_true: Floats) -> dict[str, Any]:
    """How outputs `age` ([N, 121] shares or [N] years) of validation faces are best read.

    Returns JSON values: `age` is `mean`, `median` (whichever has the lower MAE) or `value`;
    `interval` states method, level and correction. For distributions the method is conformalised
    quantile regression (Romano et al. 2019) with scores in units of the interval's own width
    (CQR-r, Sesia & Candès 2020), for plain values the absolute residual.
    """
    if age.ndim == 1:
        correction = conformal_correction(np.abs(age_true - age))
        method = "absolute residual"
        rule = "value"
    else:
        maes = {
            "mean": float(np.abs(mean_age(age) - age_true).mean()),
            "median": float(np.abs(quantile_age(age, 0.5) - age_true).mean()),
        }
        rule = min(maes, key=lambda name: maes[name])
        low, high = quantile_age(age, LOW), quantile_age(age, HIGH)
        width = np.maximum(high - low, _LEAST_WIDTH)
        correction = conformal_correction(np.maximum(low - age_true, age_true - high) / width)
        method = "quantiles, conformal, relative to width"
    interval = {"method": method, "level": LEVEL, "correction": correction, "n": len(age_true)}
    return {"age": rule, "interval": interval}


def apply_rule(age: Floats, rule: Mapping[str, Any]) -> tuple[Floats, Floats, Floats]:
    """Age, lower and upper end of its interval in years, each [N], by a rule of `choose_rule`.

    An interval always holds its own age; without a correction (too few validation faces) it is
    the whole range.
    """
    correction = rule["interval"]["correction"]
    years: Floats
    low: Floats
    high: Floats
    width: Floats
    if age.ndim == 1:
        years = age.astype(np.float64)
        low, high = years, years
        width = np.ones_like(years)
    else:
        years = mean_age(age) if rule["age"] == "mean" else quantile_age(age, 0.5)
        low, high = quantile_age(age, LOW), quantile_age(age, HIGH)
        width = np.maximum(high - low, _LEAST_WIDTH)
    if correction is None:
        return years, np.zeros_like(years), np.full_like(years, OLDEST)
    lower = np.clip(low - correction * width, 0.0, OLDEST)
    upper = np.clip(high + correction * width, 0.0, OLDEST)
    return years, np.minimum(lower, years), np.maximum(upper, years)


def age_columns(age: Floats, rule: Mapping[str, Any]) -> dict[str, Floats]:
    """`age_pred`, `age_low`, `age_high` in years, each [N], by a rule of `choose_rule`.

    Where the rule says `columns` (a model of other people), age [N, K] are those, read already.
    """
    if rule["age"] == "columns":
        return dict(zip(rule["columns"], age.T.astype(np.float64), strict=True))
    return dict(zip(("age_pred", "age_low", "age_high"), apply_rule(age, rule), strict=True))
