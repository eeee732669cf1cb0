"""Intervals of one group alone: shares by Wilson, means by t, both over people, not photos."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from audit.exact_sums import Reals
from audit.metrics import Floats
from audit.shards import SHARDS

LEVEL = 0.95
_EPSILON = 1e-12  # of a sum: what rounding may leave of it
Z = float(stats.norm.ppf(0.5 + LEVEL / 2))


def wilson(share: Floats, n: Floats, *, z: float = Z) -> tuple[Floats, Floats]:
    """Wilson's score interval (1927) of a share of `n` (effective) trials, at 95 % unless `z` says.

    NaN where n is 0. Shares outside 0..1 are read as the nearest end.
    """
    p = np.clip(share, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def freedom(people: Floats, rows: Floats | None = None) -> Floats:
    """Degrees of freedom of a variance between people [group]: one less than people or shards.

    Where few people own most photos there are fewer: Satterthwaite's (Bell & McCaffrey 2002) for
    cluster sums with variances that grow as the square of their rows, which is the worst case, a
    person's photos all alike. Equal clusters give their number less one.

    rows: photos where people are known, else None [group, shard].
    """
    most = np.maximum(np.minimum(people, SHARDS) - 1, 1)
    if rows is None:
        return np.asarray(most)
    with np.errstate(divide="ignore", invalid="ignore"):
        w = rows / rows.sum(axis=1, keepdims=True)
        s2, s3, s4, s5 = ((w**k).sum(axis=1) for k in range(2, 6))
        # of the residuals' covariance (I - w 1') diag(w^2) (I - 1 w'): its trace and its square's
        trace = s2 - 2 * s3 + s2**2
        square = s4 - 4 * s5 + 4 * s2 * s4 + 2 * s3**2 - 4 * s2**2 * s3 + s2**4
        own = trace**2 / square
    return np.asarray(np.clip(np.where(np.isfinite(own), own, 1), 1, most))


def student(mean: Floats, se: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Student's interval of a mean at 95 %, from its degrees of freedom."""
    half = stats.t.ppf(0.5 + LEVEL / 2, freedom) * se
    return mean - half, mean + half


def student_above_zero(mean: Floats, se: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Student's interval of a mean that cannot be negative, on its logarithm (delta method).

    Such means lean to the right, and Student's own interval misses on one side: with |t| errors of
    4 degrees and 30 people it covers .922, on the logarithm .938; log-normal .909 and .922; normal
    .942 and .948. A mean of 0 stays 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(mean > 0, se / mean, 0.0)
    low, high = student(np.zeros(len(mean)), np.where(np.isnan(se), np.nan, relative), freedom)
    return mean * np.exp(low), mean * np.exp(high)


def clustered_se(top: Floats, bottom: Floats) -> Floats:
    """Standard error of the ratio of sums, rows clustered by shard [group].

    se^2 = K/(K-1) * sum over shards of (X_s - m N_s)^2 / N^2 with K occupied shards, the
    linearised variance of a ratio (Cochran 1977, 6.3). A person's photos share a shard, so this
    is the cluster variance by person; with one photo each it estimates the row variance. NaN with
    fewer than two occupied shards.

    top, bottom: sums of the numerator and of the denominator [group, shard].
    """
    N = bottom.sum(axis=1)
    occupied = (bottom > 0).sum(axis=1).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        m = top.sum(axis=1) / N
        spread = ((top - m[:, None] * bottom) ** 2).sum(axis=1)
        factor = np.where(occupied > 1, occupied / (occupied - 1), np.nan)
        return np.asarray(np.sqrt(factor * spread) / N)


def effective(top: Floats, bottom: Floats, row_variance: Floats, people: Floats) -> Floats:
    """Rows that would carry the same information if every row were a person of its own [group].

    n over the design effect (Kish 1965): the row variance over the cluster variance of the mean,
    both without small-sample factors, so that single rows in shards of their own give n. A group's
    own design effect is noisy, so that of all groups together is used where it is larger. Where
    nothing varies anywhere, the people are returned. Where few people own most photos, the variance
    is known from fewer than there are (`freedom`), and rows count for less by the square of what
    Student's quantile grows. Repeating every photo under its person changes nothing.

    top, bottom: sums of numerator and denominator [group, shard]; row_variance: of the rows'
    values, in the numerator's unit [group]; people: behind the denominator [group].
    """
    N = bottom.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        m = top.sum(axis=1) / N
        spread = ((top - m[:, None] * bottom) ** 2).sum(axis=1)
        # where all rows are one person's, what is left of the spread is rounding
        spread[spread <= (_EPSILON * np.abs(top).sum(axis=1)) ** 2] = 0
        own = N * N * row_variance / spread
        pooled = N * np.nansum(N * row_variance) / np.nansum(spread)
    rows = np.fmin(np.where(own > 0, own, np.nan), np.where(pooled > 0, pooled, np.nan))
    even, own = (stats.t.ppf(0.5 + LEVEL / 2, freedom(people, of)) for of in (None, bottom))
    return np.asarray(np.where(np.isfinite(rows), rows, people) * (even / own) ** 2)


def delong(female: Floats, male: Floats) -> tuple[Floats, Floats]:
    """Area under the ROC curve and its variance from score histograms [group, bin] by gender.

    DeLong, DeLong & Clarke-Pearson (1988) on placements, without the small-sample factors
    F/(F-1) and M/(M-1); faces of one bin count as tied. NaN without a face of either gender.
    """
    F, M = female.sum(axis=1), male.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        males_below = (np.cumsum(male, axis=1) - male / 2) / M[:, None]
        females_above = 1 - (np.cumsum(female, axis=1) - female / 2) / F[:, None]
        area = (females_above * male).sum(axis=1) / M
        of_females = ((males_below - area[:, None]) ** 2 * female).sum(axis=1) / F
        of_males = ((females_above - area[:, None]) ** 2 * male).sum(axis=1) / M
        variance = of_females / F + of_males / M
    return area, variance


def quantile(counts: Floats, edges: Floats, share: float | Floats) -> Floats:
    """The least edge that at least `share` of each group's rows do not exceed [group].

    counts [group, bin]; edges: the upper edge of each bin, rising. The inverse of the empirical
    distribution function, rounded up to an edge. NaN for an empty group.
    """
    total = counts.sum(axis=1)
    if not len(edges):
        return np.full(len(counts), np.nan)
    # a hair below: 7 / 25 * 25 rows is 7.000000000000001 in float64, yet means the seventh row
    need = np.asarray(share) * total * (1 - 1e-12)
    reached = np.cumsum(counts, axis=1) >= need[:, None]
    return np.where(total > 0, edges[np.argmax(reached, axis=1)], np.nan)


def quantile_interval(
    counts: Floats, edges: Floats, share: float, n: Floats
) -> tuple[Floats, Floats]:
    """Distribution-free interval of a quantile at 95 %, between two order statistics [group].

    The ranks l and u with P(B < l) and P(B >= u) at most 2.5 % for B ~ Binomial(n, share) (Conover
    1999, 3.2), as shares of n effective rows. Where u would lie beyond the largest value, that
    stands in: with 30 rows and share .9 the interval still holds the truth 94 times in 100.
    """
    rows = np.maximum(np.floor(n + 0.5), 1)
    tail = (1 - LEVEL) / 2
    low = np.maximum(stats.binom.ppf(tail, rows, share), 1) / rows
    high = np.minimum(stats.binom.ppf(1 - tail, rows, share) + 1, rows) / rows
    return quantile(counts, edges, low), quantile(counts, edges, high)


def around(low: Floats, high: Floats, value: Floats) -> tuple[Floats, Floats]:
    """The interval, stretched to hold its value: formulas may miss it by a rounding error."""
    return np.fmin(low, value), np.fmax(high, value)


def share_variance(hits: Reals, rows: Reals) -> Reals:
    """Variance of a share with one success and one failure added: no spread is no proof of none.

    hits, rows: counts of trials, effective ones where people repeat.
    """
    p = (hits + 1) / (rows + 2)
    return p * (1 - p) / (rows + 2)


def paule_mandel(values: Floats, variances: Floats) -> float:
    """Between-group variance by Paule & Mandel (1982): the root of Q(tau^2) = groups - 1, or 0."""

    def excess(tau2: float) -> float:
        weights = 1 / (variances + tau2)
        mean = (weights * values).sum() / weights.sum()
        return float((weights * (values - mean) ** 2).sum() - (len(values) - 1))

    if len(values) < 2 or not (variances > 0).all() or excess(0.0) <= 0:
        return 0.0
    return _root(excess, high=float(np.var(values, ddof=1)) * len(values) + 1e-300)


def _root(falling: Callable[[float], float], *, high: float) -> float:
    """Where a falling function crosses zero between 0 and `high` (bisection: same on any CPU)."""
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def shrunken(values: Floats, se: Floats, n: Floats) -> Floats:
    """Empirical-Bayes estimates of group means: small groups lean to the mean of all [group].

    Normal-normal model with tau^2 by Paule & Mandel and one pooled variance within groups, so that
    a small group with no spread by chance is not taken at its word. NaN values stay NaN.
    """
    known = np.isfinite(values) & np.isfinite(se) & (n > 0)
    out = np.full(len(values), np.nan)
    if not known.any():
        return out
    y, rows = values[known], n[known]
    within = float((se[known] ** 2 * rows * rows).sum() / rows.sum())
    if within == 0:
        out[known] = y
        return out
    variances = within / rows
    tau2 = paule_mandel(y, variances)
    weights = 1 / (variances + tau2)
    centre = (weights * y).sum() / weights.sum()
    out[known] = centre + tau2 * weights * (y - centre)
    return out
