"""What a map changes for people it was not fitted on: figures before, after, and paired intervals.

Everything is a mean over faces of a known loss, so the change is the mean of a difference, and its
interval follows from the differences themselves: far narrower than that of two groups of people.
Each photo counts in the mean; in its error only people count, as if a person's photos were one
(the widest design effect there can be).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from audit.calibration import BINS, equal_mass
from audit.config import NOMINAL
from audit.groups import added
from audit.intervals import LEVEL
from audit.metrics import Floats
from audit.shards import SHARDS


@dataclass(frozen=True)
class Change:
    """A figure before and after, and what changed: after - before, with its interval at 95 %.

    None where there was nothing before, or nothing is known.
    """

    metric: str
    before: float | None
    after: float
    change: float | None
    low: float | None
    high: float | None


def judge_scores(
    female: Floats,
    male: Floats,
    before: Floats,
    after: Floats,
    *,
    people: float,
    threshold: float,
) -> list[Change]:
    """Brier score, calibration error, mean of score minus label, accuracy of the call.

    female, male: faces of either gender [cell]; before, after: their P(female); people behind them.
    """
    n = female + male
    brier = _mean_change(
        "gender_brier",
        ((1 - before) ** 2 * female + before**2 * male).sum() / n.sum(),
        np.concatenate([(1 - after) ** 2 - (1 - before) ** 2, after**2 - before**2]),
        np.concatenate([female, male]),
        people,
    )
    mean = (before * n).sum() - female.sum()
    signed = _mean_change("gender_me", mean / n.sum(), after - before, n, people)
    was, now = before >= threshold, after >= threshold
    turned = now.astype(np.float64) - was
    accuracy = _mean_change(
        "gender_accuracy",
        np.where(was, female, male).sum() / n.sum(),
        np.concatenate([turned, -turned]),
        np.concatenate([female, male]),
        people,
    )
    return [brier, _calibration_error(female, n, before, after), signed, accuracy]


def _mean_change(
    metric: str, before: float, difference: Floats, n: Floats, people: float
) -> Change:
    """A mean over faces that changes by `difference` in each of the n faces of a cell."""
    change = float((difference * n).sum() / n.sum())
    variance = float(((difference - change) ** 2 * n).sum() / n.sum())
    low, high = _reach(change, variance, people)
    return Change(metric, float(before), float(before) + change, change, low, high)


def _reach(change: float, variance: float, people: float) -> tuple[float, float]:
    """Student's interval of a mean difference over `people`, from its variance between faces."""
    freedom = max(min(people, SHARDS) - 1, 1)
    se = math.sqrt(max(variance, 0) / max(people - 1, 1))
    half = float(special.stdtrit(freedom, 0.5 + LEVEL / 2)) * se
    return change - half, change + half


def _calibration_error(female: Floats, n: Floats, before: Floats, after: Floats) -> Change:
    """Class-wise calibration error over 15 equal-mass bins, without an interval of its change.

    Both errors lie above the truth by what chance adds, the smaller one by more; in simulation a
    bootstrap's basic interval at 95 % held the true change 81 times in 100 (n = 600). The Brier
    score decides.
    """
    was, now = (
        float(np.abs(added(_bin_of(f, n), female - n * f, BINS)).sum() / n.sum())
        for f in (before, after)
    )
    return Change("gender_ece", was, now, now - was, None, None)


def _bin_of(score: Floats, n: Floats) -> NDArray[np.int64]:
    """The equal-mass bin of every cell's score: equal scores lie together."""
    at, place = np.unique(score, return_inverse=True)
    return equal_mass(added(place, n, len(at)))[place]


def judge_ages(before: Floats, after: Floats, n: Floats, *, people: float) -> list[Change]:
    """Mean absolute error, mean signed error and root mean squared error, in years.

    before, after: predicted minus true age [cell]; n: faces of the cell; people behind them all.
    """
    total = n.sum()
    sizes, signed = np.abs(before), after - before
    mae = _mean_change("age_mae", (sizes * n).sum() / total, np.abs(after) - sizes, n, people)
    me = _mean_change("age_me", (before * n).sum() / total, signed, n, people)
    was, now = (float(np.sqrt((e * e * n).sum() / total)) for e in (before, after))
    with np.errstate(divide="ignore", invalid="ignore"):  # linearised; flat where nothing is off
        bent = np.nan_to_num(after**2 / (2 * now)) - np.nan_to_num(before**2 / (2 * was))
    centre = (bent * n).sum() / total
    low, high = _reach(now - was, float(((bent - centre) ** 2 * n).sum() / total), people)
    return [mae, me, Change("age_rmse", was, now, now - was, low, high)]


def judge_intervals(
    n: Floats, misses: Floats, by: Floats, *, people: float, width: float | None
) -> list[Change]:
    """Share of intervals that hold the true age, and their mean width, years.

    n: faces [cell]; misses: how far the true age lies outside; by: what is added at both ends;
    width: mean width before, None where the table states no intervals.
    """
    now = (misses <= by).astype(np.float64)
    was = (misses <= 0).astype(np.float64)
    total = n.sum()
    if width is None:
        return [
            _first("interval_coverage", float((now * n).sum() / total)),
            _first("interval_width", float((2 * by * n).sum() / total)),
        ]
    return [
        _mean_change("interval_coverage", (was * n).sum() / total, now - was, n, people),
        _mean_change("interval_width", width, 2 * by, n, people),
    ]


def _first(metric: str, after: float) -> Change:
    return Change(metric, None, after, None, None, None)


def judge_gap(n: Floats, misses: Floats, by: Floats, *, people: Floats, stated: bool) -> Change:
    """Mean distance of the groups' coverage from nine in ten, over faces.

    Even without a fault it is a little above 0, as any distance is that chance adds to; before and
    after alike. The interval is linearised in every group's own coverage.

    n: faces [group, bin]; misses [bin]; by, people [group].
    """
    share = n / n.sum(axis=1, keepdims=True)
    weight = n.sum(axis=1) / n.sum()
    held = (misses <= 0, misses[None] <= by[:, None])
    was, now = ((share * h).sum(axis=1) for h in held)
    gap_was, gap_now = (float((weight * np.abs(c - NOMINAL)).sum()) for c in (was, now))
    if not stated:
        return _first("interval_gap", gap_now)
    signs = [np.sign(c - NOMINAL)[:, None] for c in (was, now)]
    effect = signs[1] * held[1] - signs[0] * held[0]
    centre = (share * effect).sum(axis=1, keepdims=True)
    variance = (share * (effect - centre) ** 2).sum(axis=1)
    total = float(people.sum())
    spread = float((weight**2 * variance / np.maximum(people - 1, 1)).sum()) * (total - 1)
    low, high = _reach(gap_now - gap_was, spread, total)
    return Change("interval_gap", gap_was, gap_now, gap_now - gap_was, low, high)
