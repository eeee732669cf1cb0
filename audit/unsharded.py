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

    An area is treated as a share of the rows that DeLong's variance is worth (so that an area of 1
    has an error too), Student's t has the rarer gender's faces as degrees of freedom, and groups
    are corrected for by Bonferroni.
    """
    scores = groups.scores
    own, rest = scores[compared], (scores.sum(axis=0) - scores)[compared]
    worth = _rows_worth(groups)
    (a, a_variance), (b, b_variance) = _area(own, worth=worth), _area(rest, worth=worth)
    difference, se = a - b, np.sqrt(a_variance + b_variance)
    freedom = np.minimum(own.sum(axis=2).min(axis=1), rest.sum(axis=2).min(axis=1)) - 1
    K = len(a)
    p = 2 * np.asarray(stats.t.sf(np.abs(difference / se), freedom))
    critical = np.asarray(stats.t.isf(alpha / K / 2, freedom))
    return Comparison(
        difference=difference,
        low=difference - critical * se,
        high=difference + critical * se,
        se=se,
        p_value=float(min(1.0, K * p.min())),
        critical=float(critical.max()),
        noise_gap=_range(np.sqrt(a_variance)),
        spread=spread(a, np.sqrt(a_variance)),
    )


def _area(scores: Floats, *, worth: float) -> tuple[Floats, Floats]:
    """(area, variance) of score histograms [group, female 0/1, bin]."""
    area, variance = delong(scores[:, 1], scores[:, 0])
    rarer = scores.sum(axis=2).min(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = area * (1 - area) / variance
    rows = np.where(np.isfinite(rows) & (rows > 0), rows, rarer) * worth
    p = (area * rows + 1) / (rows + 2)
    return area, p * (1 - p) / (rows + 2)


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
