"""Reliability of P(female) without bins of choice: the isotonic fit, and what chance makes of it.

CORP (Dimitriadis, Gneiting & Jordan 2021, PNAS 118): the observed share of females as the best
rising function of the score. Its consistency band and the null law of its miscalibration are
simulated: labels drawn from the scores themselves, refitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from audit.calibration import DRAWS, occupied, score_design
from audit.groups import Groups, enough_people
from audit.intervals import LEVEL
from audit.metrics import Floats
from audit.smooth_ece import smooth_error_null

MOST_BINS = 400  # of one simulated group; a bin then holds 1/400 of the faces or less


@dataclass(frozen=True)
class Simulated:
    """What a calibrated score would show in one group.

    grid: hundredths of P(female) within the group's scores. band_low, band_high: the middle 95 % of
    the isotonic fit there [grid]. miscalibration_null, smooth_ece_null: 95 % points.
    miscalibration_p: how often chance alone miscalibrates as much as was seen, (1 + #) / (B + 1).
    """

    grid: Floats
    band_low: Floats
    band_high: Floats
    miscalibration_null: float
    miscalibration_p: float
    smooth_ece_null: float


@dataclass(frozen=True)
class Thinned:
    """One group's scores in at most MOST_BINS bins of near equal mass [bin].

    score: mean P(female). share: share of females. rows: effective rows, whole numbers.
    """

    score: Floats
    share: Floats
    rows: NDArray[np.int64]


def thin(scores: Floats, score_sums: Floats, shrink: float) -> Thinned:
    """Histogram bins put together until each holds an effective row or more.

    Rows are rounded along their running sum, so that their total is right and repeated photos
    (twice the rows, half the worth) change nothing.

    scores: rows [female 0/1, bin]; score_sums: sum of P(female) in millionths [bin]; shrink:
    effective over nominal rows.
    """
    n, stated, females = occupied(scores, score_sums)
    total = max(round(float(n.sum()) * shrink), 1)
    bins = min(MOST_BINS, total)
    middle = (np.cumsum(n) - n / 2) / n.sum()
    place = np.minimum((middle * bins).astype(np.int64), bins - 1)
    sums = np.stack([np.bincount(place, w, minlength=bins) for w in (n, stated, females)])
    n, stated, females = sums[:, sums[0] > 0]
    edges = np.floor(np.cumsum(n) / n.sum() * total + 0.5).astype(np.int64)
    rows = np.diff(edges, prepend=0)
    kept = rows > 0
    return Thinned((stated / n)[kept], (females / n)[kept], rows[kept])


def isotonic_fits(shares: Floats, rows: NDArray[np.int64]) -> Floats:
    """The isotonic fit of every replicate [replicate, bin], all in one call.

    Replicate r is lifted by 2 r: shares lie in 0..1, so no two replicates ever pool.
    """
    lift = 2.0 * np.arange(len(shares))[:, None]
    weights = np.broadcast_to(rows.astype(np.float64), shares.shape)
    fit = optimize.isotonic_regression((shares + lift).ravel(), weights=weights.ravel()).x
    return np.asarray(fit.reshape(shares.shape) - lift)


def miscalibration(shares: Floats, fits: Floats, score: Floats, rows: NDArray[np.int64]) -> Floats:
    """What the isotonic fit saves of the Brier score [replicate]; within-bin terms cancel."""
    saved = (shares - score) ** 2 - (shares - fits) ** 2
    return np.asarray((saved * rows).sum(axis=1) / rows.sum())


def fitted(scores: Floats, score_sums: Floats, grid: Floats) -> Floats:
    """The isotonic share of females at the points of `grid`, straight between the bins [grid].

    scores: rows [female 0/1, bin]; score_sums: sum of P(female) in millionths [bin].
    """
    n, stated, _ = occupied(scores, score_sums)
    return np.asarray(np.interp(grid, stated / n, isotonic(scores)))


def isotonic(scores: Floats) -> Floats:
    """The isotonic (pool-adjacent-violators) share of females in the occupied bins.

    scores: rows [female 0/1, bin], bins rising in P(female).
    """
    n = scores.sum(axis=0)
    held = n > 0
    return np.asarray(optimize.isotonic_regression(scores[1][held] / n[held], weights=n[held]).x)


def simulate(scores: Floats, score_sums: Floats, shrink: float) -> Simulated:
    """What chance does to one group's reliability when its score is calibrated.

    Consistency resampling (Broecker & Smith 2007): 1,000 sets of labels drawn from the scores,
    each fitted as the true ones are. The same seed for every group, so that a figure never depends
    on which groups came before it.
    """
    bins = thin(scores, score_sums, shrink)
    rng = np.random.default_rng(21)
    score = np.clip(bins.score, 0, 1)
    shares = rng.binomial(bins.rows, score, (DRAWS, len(score))) / bins.rows
    fits = isotonic_fits(shares, bins.rows)
    null = miscalibration(shares, fits, score, bins.rows)
    own = bins.share[None]
    seen = miscalibration(own, isotonic_fits(own, bins.rows), score, bins.rows)[0]
    grid = hundredths(scores, score_sums)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(_between(grid, score, fits), [tail, 1 - tail], axis=0)
    residuals = (shares - score) * bins.rows / bins.rows.sum()
    return Simulated(
        grid=grid,
        band_low=low,
        band_high=high,
        miscalibration_null=max(float(np.quantile(null, LEVEL)), 0.0),
        miscalibration_p=float((1 + (null >= seen - 1e-12).sum()) / (DRAWS + 1)),
        smooth_ece_null=smooth_error_null(score, residuals[: DRAWS // 2], level=LEVEL),
    )


def hundredths(scores: Floats, score_sums: Floats) -> Floats:
    """Hundredths of P(female) from that nearest the lowest score to that nearest the highest."""
    n, stated, _ = occupied(scores, score_sums)
    mean = stated / n
    first, last = (int(np.floor(end * 100 + 0.5)) for end in (mean.min(), mean.max()))
    return np.arange(max(first, 0), min(last, 100) + 1) / 100


def simulated(groups: Groups) -> list[Simulated | None]:
    """`simulate` for every group of ten people or more [group]."""
    people, shrink = groups.people("score_n"), score_design(groups)
    return [
        simulate(groups.scores[g], groups.score_sums[g], shrink[g])
        if enough_people(people[g])
        else None
        for g in range(len(groups.names))
    ]


def reliability_table(groups: Groups, chance: Sequence[Simulated | None]) -> list[dict[str, Any]]:
    """One record per group and hundredth of P(female) within its scores: fit, band, faces nearest.

    Outside band_low..band_high a calibrated score lies 5 times in 100, at each point on its own.
    """
    records = []
    for g, (name, null) in enumerate(zip(groups.names, chance, strict=True)):
        if null is None:
            continue
        scores, sums = groups.scores[g], groups.score_sums[g]
        fit = fitted(scores, sums, null.grid)
        n, stated, _ = occupied(scores, sums)
        place = np.floor(stated / n * 100 + 0.5).astype(np.int64)
        faces = np.bincount(np.clip(place, 0, 100), weights=n, minlength=101)
        records += [
            {
                "feature": groups.feature,
                "group": name,
                "predicted": at,
                "fitted": fit[i],
                "band_low": null.band_low[i],
                "band_high": null.band_high[i],
                "n": faces[round(at * 100)],
            }
            for i, at in enumerate(null.grid)
        ]
    return records


def _between(grid: Floats, score: Floats, fits: Floats) -> Floats:
    """Every replicate's fit at the points of `grid`, straight between bins [replicate, grid]."""
    above = np.clip(np.searchsorted(score, grid), 1, max(len(score) - 1, 1))
    if len(score) == 1:
        return np.repeat(fits, len(grid), axis=1)
    gap = score[above] - score[above - 1]
    weight = np.clip((grid - score[above - 1]) / np.where(gap > 0, gap, 1.0), 0, 1)
    return np.asarray(fits[:, above - 1] * (1 - weight) + fits[:, above] * weight)
