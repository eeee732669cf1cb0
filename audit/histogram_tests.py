"""Tests of what is read off histograms: 90th percentiles and areas under the ROC curve.

Values and differences come from the histograms, their replicates from what `audit.rungs` keeps of
them per shard.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from audit.evidence import Comparison, cochran, spread
from audit.fairness import P90, effective_errors
from audit.groups import Groups
from audit.intervals import Z, delong, quantile, quantile_interval
from audit.metrics import Floats
from audit.resample import Linear, Replicates

DRAWS = 1000


def woodruff(groups: Groups) -> Floats:
    """Standard error of each group's 90th percentile, in years [group]."""
    n = effective_errors(groups)
    low, high = quantile_interval(groups.errors, groups.error_bins / 10, P90, n)
    return np.asarray((high - low) / (2 * Z))


def in_years(c: Comparison, groups: Groups, compared: NDArray[np.bool_]) -> Comparison:
    """The comparison of shares beyond the rung next to P90, told as percentiles in years.

    p_value and critical value stay; differences are of the percentiles, with Woodruff's errors.
    """
    edges, own = groups.error_bins / 10, woodruff(groups)[compared]
    rest = (groups.errors.sum(axis=0) - groups.errors)[compared]
    n = groups.totals("age_n").sum() - groups.totals("age_n")[compared]
    worth = effective_errors(groups).sum() / groups.totals("age_n").sum()
    low, high = quantile_interval(rest, edges, P90, n * worth)
    se = np.hypot(own, (high - low) / (2 * Z))
    d = quantile(groups.errors[compared], edges, P90) - quantile(rest, edges, P90)
    reach = c.critical * se
    return replace(c, difference=d, se=se, low=d - reach, high=d + reach, noise_gap=_range(own))


def area_record(groups: Groups, compared: NDArray[np.bool_]) -> Linear:
    """Every compared group's area under the ROC curve against that of the rest, to be resampled.

    A shard moves an area by its faces' placements among *all* faces (`rungs.placed`) about the
    group's own mean: shard sums of DeLong's (1988) components as they are where no group differs.
    A small group's own placements vary too little just where its area is extreme; so the standard
    error is at least what independent faces of that law would have, or what DeLong's own variance
    is where that is larger, times the design effect of all faces.
    """
    own, rest = _influence(groups, compared), _influence(groups, compared, rest=True)
    (a, a_variance), (b, b_variance) = _areas(groups, compared)
    return Linear(a - b, own - rest, np.sqrt(a_variance + b_variance))


def areas_compared(
    found: Replicates, groups: Groups, compared: NDArray[np.bool_], *, alpha: float
) -> Comparison:
    """What the replicates of `area_record` say."""
    (a, a_variance), _ = _areas(groups, compared)
    low, high = found.interval(alpha)
    return Comparison(
        difference=found.difference,
        low=low,
        high=high,
        se=found.se,
        p_value=found.p_value,
        critical=found.critical(alpha),
        noise_gap=_range(np.sqrt(a_variance)),
        spread=spread(a, np.sqrt(a_variance)),
        cochran=cochran(a, np.sqrt(a_variance)),
    )


def _influence(groups: Groups, compared: NDArray[np.bool_], *, rest: bool = False) -> Floats:
    """What each shard adds to the area of every compared group, or of its rest [group, shard]."""
    whole = 0.0
    for who in ("female", "male"):
        n, place = (groups.sums[f"{who}_{of}"] for of in ("scored", "placed"))
        n, place = (x.sum(axis=0) - x[compared] if rest else x[compared] for x in (n, place))
        rows = n.sum(axis=1, keepdims=True)
        mean = place.sum(axis=1, keepdims=True) / rows
        whole = whole + (place - mean * n) / rows / 1e6
    return np.asarray(whole)


def _areas(
    groups: Groups, compared: NDArray[np.bool_]
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """(area, least variance) of every compared group, and of its rest."""
    scores = groups.scores
    everyone = scores.sum(axis=0)
    of_females, of_males = _variances(everyone)
    worth = 1.0
    if groups.people_given:
        all_together = replace(
            groups, sums={k: v.sum(axis=0, keepdims=True) for k, v in groups.sums.items()}
        )
        seen = float((_influence(all_together, np.array([True])) ** 2).sum())
        n = everyone.sum(axis=1)
        worth = min(1.0, float(of_females / n[1] + of_males / n[0]) / seen) if seen > 0 else 1.0
    sides = []
    for side in (scores[compared], everyone - scores[compared]):
        area, own = delong(side[:, 1], side[:, 0])
        null = of_females / side[:, 1].sum(axis=1) + of_males / side[:, 0].sum(axis=1)
        sides.append((area, np.fmax(own, null) / worth))
    return sides[0], sides[1]


def _variances(scores: Floats) -> tuple[float, float]:
    """Variance of the placements of females and of males; scores: rows [female 0/1, bin]."""
    male, female = scores
    below = (np.cumsum(male) - male / 2) / male.sum()
    above = 1 - (np.cumsum(female) - female / 2) / female.sum()
    area = (below * female).sum() / female.sum()
    of_females, of_males = (
        float(((place - area) ** 2 * n).sum() / n.sum())
        for place, n in ((below, female), (above, male))
    )
    return of_females, of_males


def _range(se: Floats) -> float:
    """Mean range of independent normal values with these standard errors."""
    drawn = np.random.default_rng(3).standard_normal((DRAWS, len(se))) * se
    return float(np.ptp(drawn, axis=1).mean())
