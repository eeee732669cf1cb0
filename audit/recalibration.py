"""Maps that correct a score or an age: how each is fitted on counts, and what it makes of a value.

A map is a method and a few plain numbers, so that it can be written as JSON and applied anywhere
without the code that fitted it. Every fit is the same for counts multiplied by a constant: photos
that repeat under their person change no map.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import optimize, special

from audit.config import OLDEST
from audit.metrics import Floats

Numbers = Mapping[str, Any]  # the parameters of one map: plain numbers and lists of them

STEEPEST = 10.0  # where scores part the genders without a fault, no slope is steep enough
LOGIT_CLIP = 16.0  # a 32-bit softmax says nothing beyond; a score of exactly 1 stands here

_STEPS = 100  # of Newton's method; ten are plenty


def logit(score: Floats) -> Floats:
    """log(f / (1 - f)), held within ±LOGIT_CLIP."""
    with np.errstate(divide="ignore"):
        return np.clip(special.logit(np.asarray(score, np.float64)), -LOGIT_CLIP, LOGIT_CLIP)


def fit_temperature(score: Floats, female: Floats, male: Floats) -> Numbers:
    """Slope a of P = expit(a logit f) by maximum likelihood; 1/a is the temperature.

    Guo et al. (2017). The slope is held in 0..STEEPEST: 0 states one half for everyone.

    score: stated P(female) [bin]; female, male: how many faces of either gender [bin].
    """
    x = logit(score)
    return {"slope": _newton(x[None], female, male)[0], "offset": 0.0}


def fit_platt(score: Floats, female: Floats, male: Floats) -> Numbers:
    """Slope a and offset b of P = expit(a logit f + b) by maximum likelihood (Platt 1999).

    Without Platt's prior, which would pull an accurate score away from 0 and 1. The slope is held
    in 0..STEEPEST, so that no map turns the order of faces round.
    """
    x = logit(score)
    slope, offset = _newton(np.stack([x, np.ones_like(x)]), female, male)
    return {"slope": slope, "offset": offset}


def _newton(design: Floats, female: Floats, male: Floats) -> list[float]:
    """Maximum-likelihood weights of a logistic regression on counts; the first within bounds.

    The likelihood is concave, so Newton's steps, halved until they climb a quarter of what the
    slope promises (Armijo 1966), reach its top. Where that lies beyond the bounds of the first
    weight, it stays on the bound and the rest is fitted.

    design [weight, bin].
    """
    weights = _climb(design, np.zeros_like(female), female, male)
    if 0 <= weights[0] <= STEEPEST:
        return weights
    held = min(max(weights[0], 0.0), STEEPEST)
    return [held, *_climb(design[1:], held * design[0], female, male)]


def _climb(design: Floats, fixed: Floats, female: Floats, male: Floats) -> list[float]:
    n = female + male

    def likelihood(w: Floats) -> float:
        z = w @ design + fixed
        return float(-(female * np.logaddexp(0, -z) + male * np.logaddexp(0, z)).sum() / n.sum())

    w = np.zeros(len(design))
    best = likelihood(w)
    for _ in range(_STEPS if len(design) else 0):
        p = special.expit(w @ design + fixed)
        slope = design @ (female - n * p)
        curve = (design * (n * p * (1 - p))) @ design.T
        curve[np.diag_indices(len(w))] += 1e-12 * n.sum()  # flat where everything is certain
        step = np.linalg.solve(curve, slope)
        promised = float(slope @ step) / n.sum()
        while np.abs(step).max() > 1e-10 and likelihood(w + step) < best + promised / 4:
            step, promised = step / 2, promised / 2
        w, before = w + step, best
        best = max(likelihood(w), best)
        if np.abs(step).max() < 1e-10 or best - before < 1e-15:
            break
    return [float(x) for x in w]


def fit_isotonic(x: Floats, y: Floats, n: Floats) -> Numbers:
    """The rising map from x to the mean of y with least squares, by pool-adjacent-violators.

    Knots at both ends of every pool; between knots it is linear, beyond them level, as in
    scikit-learn. Barlow et al. (1972).

    x: rising [bin]; y: mean in the bin; n: faces in it, above 0.
    """
    fit = optimize.isotonic_regression(y, weights=n)
    first, last = fit.blocks[:-1], fit.blocks[1:] - 1
    ends = np.unique(np.concatenate([first, last]))
    return {"x": [float(v) for v in x[ends]], "y": [float(v) for v in fit.x[ends]]}


def fit_score(method: str, score: Floats, female: Floats, male: Floats) -> Numbers:
    """The map of `method` (one of SCORE_METHODS) from counts of either gender per score [bin].

    score: P(female), rising.
    """
    held = female + male > 0
    f, y, x = score[held], female[held], male[held]
    if method == "isotonic":
        return fit_isotonic(f, y / (y + x), y + x)
    return (fit_temperature if method == "temperature" else fit_platt)(f, y, x)


def fit_age(method: str, predicted: Floats, error: Floats, n: Floats) -> Numbers:
    """The map of `method` (one of AGE_METHODS) from predicted age to the mean true age at it.

    Of true on predicted, not the other way: what a reader of the prediction should expect. A model
    that always says the same is moved to the mean.

    predicted: rising [bin], years; error: mean predicted minus true there; n: faces.
    """
    held = n > 0
    p, e, w = predicted[held], error[held], n[held]
    if method == "isotonic":
        return fit_isotonic(p, p - e, w)
    centre, shift = (w * p).sum() / w.sum(), (w * e).sum() / w.sum()
    spread = (w * (p - centre) ** 2).sum()
    slope = 1 - float((w * (p - centre) * (e - shift)).sum() / spread) if spread > 0 else 1.0
    return {"slope": slope, "intercept": float(centre - shift - slope * centre)}


def corrected_score(numbers: Numbers, score: Floats) -> Floats:
    """P(female) after a map of `fit_score`; NaN stays NaN."""
    f = np.asarray(score, np.float64)
    if "x" in numbers:
        return np.asarray(np.interp(f, numbers["x"], numbers["y"]))
    return np.asarray(special.expit(numbers["slope"] * logit(f) + numbers["offset"]))


def corrected_age(numbers: Numbers, age: Floats) -> Floats:
    """Years after a map of `fit_age`, within 0..120; NaN stays NaN."""
    years = np.asarray(age, np.float64)
    if "x" in numbers:
        mapped = np.interp(years, numbers["x"], numbers["y"])
    else:
        mapped = numbers["intercept"] + numbers["slope"] * years
    return np.asarray(np.clip(mapped, 0.0, OLDEST))
