"""Tests of what is read off histograms: 90th percentiles and areas under the ROC curve.

Histograms have no shards, so their variances are taken for independent faces and enlarged by the
design effect of a mean beside them where the table names its people.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from audit.evidence import Comparison, spread
from audit.fairness import P90, effective_errors
from audit.groups import Groups
from audit.intervals import Z, delong, effective, quantile, quantile_interval
from audit.metrics import Floats

DRAWS = 1000
MOST_DEALT = 10**9  # numpy draws without replacement below; above, replacing changes nothing


def beyond_p90(groups: Groups) -> Floats:
    """Faces beyond the pooled 90th percentile of |error| [group, shard].

    Each group's faces are dealt to its shards by lot, which is how they would lie if faces were
    independent.
    """
    edges = groups.error_bins / 10
    limit = quantile(groups.errors.sum(axis=0)[None], edges, P90)[0]
    hits = groups.errors[:, edges > limit].sum(axis=1).astype(np.int64)
    rows = groups.sums["age_n"].astype(np.int64)
    rng = np.random.default_rng(90)
    dealt = [
        rng.multivariate_hypergeometric(of, n, method="marginals")
        if of.sum() < MOST_DEALT
        else np.minimum(rng.multinomial(n, of / of.sum()), of)
        for of, n in zip(rows, hits, strict=True)
    ]
    return np.stack(dealt).astype(np.float64)


def woodruff(groups: Groups) -> Floats:
    """Standard error of each group's 90th percentile, in years [group]."""
    n = effective_errors(groups)
    low, high = quantile_interval(groups.errors, groups.error_bins / 10, P90, n)
    return np.asarray((high - low) / (2 * Z))


def in_years(c: Comparison, groups: Groups, compared: NDArray[np.bool_]) -> Comparison:
    """The comparison of shares beyond the pooled 90th percentile, told as percentiles in years.

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


def compare_areas(groups: Groups, compared: NDArray[np.bool_], *, alpha: float) -> Comparison:
    """Every compared group's area under the ROC curve against that of the rest.

    The null variance of an area comes from the placements (DeLong 1988) of all faces, for as many
    females and males as the group has: a small group's own variance is too small just where its
    area is extreme. Where the own is larger, it is taken. The sum of placements is skewed, so its
    tails are Pearson's type III with the placements' own skewness. Bonferroni over groups.
    """
    scores = groups.scores
    own, rest = scores[compared], (scores.sum(axis=0) - scores)[compared]
    law, worth = _placements(scores.sum(axis=0)), _rows_worth(groups)
    (a, a_variance), (b, b_variance) = (_area(x, law, worth=worth) for x in (own, rest))
    difference, se = a - b, np.sqrt(a_variance + b_variance)
    skew = (_third(own, law) - _third(rest, law)) / worth**2 / se**3
    K = len(a)
    t = np.divide(difference, se, out=np.zeros(K), where=se > 0)
    tails = np.minimum(stats.pearson3.cdf(t, skew), stats.pearson3.sf(t, skew))
    ends = [np.asarray(stats.pearson3.ppf(q, skew)) for q in (alpha / K / 2, 1 - alpha / K / 2)]
    return Comparison(
        difference=difference,
        low=difference - ends[1] * se,
        high=difference - ends[0] * se,
        se=se,
        p_value=float(min(1.0, K * 2 * tails.min())),
        critical=float(np.abs(ends).max()),
        noise_gap=_range(np.sqrt(a_variance)),
        spread=spread(a, np.sqrt(a_variance)),
    )


def _placements(scores: Floats) -> Floats:
    """Second and third central moments of the placements of females and males [2, moment].

    scores: rows [female 0/1, bin]. A face's placement is the share of the other gender's faces that
    it is on the right side of; faces of one bin count half.
    """
    male, female = scores
    below = (np.cumsum(male) - male / 2) / male.sum()
    above = 1 - (np.cumsum(female) - female / 2) / female.sum()
    area = (below * female).sum() / female.sum()
    return np.array(
        [
            [((place - area) ** k * n).sum() / n.sum() for k in (2, 3)]
            for place, n in ((below, female), (above, male))
        ]
    )


def _area(scores: Floats, law: Floats, *, worth: float) -> tuple[Floats, Floats]:
    """(area, variance) of score histograms [group, female 0/1, bin]."""
    area, variance = delong(scores[:, 1], scores[:, 0])
    male, female = scores[:, 0].sum(axis=1), scores[:, 1].sum(axis=1)
    null = law[0, 0] / female + law[1, 0] / male
    return area, np.fmax(variance, null) / worth


def _third(scores: Floats, law: Floats) -> Floats:
    """Third central moment of an area under the null [group]."""
    male, female = scores[:, 0].sum(axis=1), scores[:, 1].sum(axis=1)
    return np.asarray(law[0, 1] / female**2 + law[1, 1] / male**2)


def _rows_worth(groups: Groups) -> float:
    """Effective over nominal faces, by the gender calls of the whole table."""
    if not groups.people_given:
        return 1.0
    x, n = (groups.sums[k].sum(axis=0)[None] for k in ("gender_hit", "gender_n"))
    p = x.sum() / n.sum()
    rows = effective(x, n, np.array([p * (1 - p)]), groups.counted("gender_n").sum()[None])
    return float(min(1.0, rows[0] / n.sum()))


def _range(se: Floats) -> float:
    """Mean range of independent normal values with these standard errors."""
    drawn = np.random.default_rng(3).standard_normal((DRAWS, len(se))) * se
    return float(np.ptp(drawn, axis=1).mean())
