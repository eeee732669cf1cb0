"""From a test to a verdict: rare events, many tests, spread of groups, what could be missed."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from audit.exact_sums import Reals
from audit.intervals import share_variance, wilson
from audit.metrics import Floats

Verdict = Literal["disparity", "no disparity found", "insufficient evidence"]

INTERVAL_ALPHA = 0.05  # of intervals that are shown, those that hold together included
RECORDS_SHARE = 0.8  # of alpha goes to the disparity records, the rest to slices
RARE = 10  # expected events below which a share is tested exactly
POWER = 0.84  # normal quantile of 80 %
# Of a group's error, what the difference seen may be at most where the spread grows with it: at .8
# five times the error; beyond, a hair more spread asks for any number of years (.976: forty times).
SURE = 0.8


@dataclass(frozen=True)
class Comparison:
    """What testing one record gave; arrays are over its compared groups.

    difference: group minus rest, in the metric's unit, with simultaneous intervals low..high and
    standard error se. p_value: one for all groups. critical: of the largest |t|, at the level of
    the intervals. noise_gap: max - min that noise alone shows on average. spread: tau and its
    interval. cochran: Q of the groups' values and its p-value, shown beside, never a verdict.
    """

    difference: Floats
    low: Floats
    high: Floats
    se: Floats
    p_value: float
    critical: float
    noise_gap: float
    spread: tuple[float, float, float]
    cochran: tuple[float, float]


def outlying(difference: Floats, low: Floats, high: Floats, t: Floats, *, better: str) -> int:
    """Which difference stands out most: the largest that is established and for the worse.

    Where there is none, the largest |t|. low..high are simultaneous intervals; `better` is that of
    the metric (`zero` and `neither` know no worse).
    """
    sign = {"lower": 1.0, "higher": -1.0}.get(better, 0.0)
    apart = (low > 0) | (high < 0)
    worse = np.where(apart & (difference * sign > 0), np.abs(difference), 0.0)
    return int(worse.argmax() if worse.any() else np.nan_to_num(np.abs(t)).argmax())


def holm(p_values: Floats) -> Floats:
    """Holm's adjusted p-values (1979); NaN stays NaN and does not count as a test."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p), np.nan)
    order = np.flatnonzero(~np.isnan(p))[np.argsort(p[~np.isnan(p)], kind="stable")]
    factor = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factor), 1)
    return adjusted


def verdict(
    p_adjusted: float, low: Floats, high: Floats, *, margin: float, alpha: float
) -> Verdict:
    """What may be said of one record.

    `disparity`: p_adjusted < alpha. `no disparity found`: p above it and every simultaneous
    interval low..high of a group's difference from the rest lies inside +-margin. Else
    `insufficient evidence`.
    """
    if p_adjusted < alpha:
        return "disparity"
    inside = len(low) > 0 and bool((low >= -margin).all() and (high <= margin).all())
    return "no disparity found" if inside else "insufficient evidence"


def rare(hits: Floats, rows: Floats) -> NDArray[np.bool_]:
    """Groups whose events, or non-events, are too few to resample [group].

    Seen or expected (at the share of all) below RARE. hits, rows: effective counts.
    """
    share = hits.sum() / rows.sum()
    fewest = np.minimum.reduce([hits, rows - hits, rows * share, rows * (1 - share)])
    return np.asarray(fewest < RARE)


def rare_in_rest(hits: Floats, rows: Floats) -> NDArray[np.bool_]:
    """Groups whose rest holds too few events, or non-events, to resample: nearly all faces."""
    rest, n = hits.sum() - hits, rows.sum() - rows
    return np.asarray(np.minimum(rest, n - rest) < RARE)


def exact_p(hits: Floats, rows: Floats, rest_hits: Floats, rest_rows: Floats) -> Floats:
    """Fisher's exact test of each group against its rest, twice the smaller tail [group].

    Hypergeometric, given the events of both together. Counts are rounded to whole numbers, so
    that effective counts of repeated subjects may be given.
    """
    x, n, y, m = (np.rint(a) for a in (hits, rows, rest_hits, rest_rows))
    law = stats.hypergeom(n + m, x + y, n)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(law.cdf(x), law.sf(x - 1))))


def newcombe(
    share: Floats, rows: Floats, rest: Floats, rest_rows: Floats, *, alpha: float
) -> tuple[Floats, Floats]:
    """Interval of share - rest from two Wilson intervals (Newcombe 1998, method 10)."""
    z = float(stats.norm.ppf(1 - alpha / 2))
    low, high = wilson(share, rows, z=z)
    rest_low, rest_high = wilson(rest, rest_rows, z=z)
    d = share - rest
    return (
        d - np.hypot(share - low, rest_high - rest),
        d + np.hypot(high - share, rest - rest_low),
    )


def joined_p(together: float, exact: Floats, *, groups: int) -> float:
    """One p for a record of which some groups were tested together, the others one by one.

    The error is divided equally among the groups: the `groups - len(exact)` resampled ones pool
    their parts in the max-T p `together` (NaN if there are none), each exact p spends its own.
    """
    resampled = groups - len(exact)
    ps = [groups * p for p in exact]
    if resampled:
        ps.append(together * groups / resampled)
    return float(min(1.0, *ps)) if len(ps) > 1 else float(min(1.0, ps[0]))


def beyond(critical: float, *, groups: int, alpha: float, share: float) -> float:
    """The critical value of max-T at the level `share`, from the one seen at `alpha`.

    The level that one test in a hundred is left with lies beyond 1,000 replicates, so the value is
    extrapolated along the normal curve of `groups` two-sided tests.
    """
    normal = np.asarray(stats.norm.isf(np.array([alpha, share]) / (2 * groups)))
    return float(critical * normal[1] / normal[0])


def detectable(se: Floats, values: Floats, *, critical: float, grows: bool) -> float:
    """The least difference from the rest that would be found in any group 80 times in 100.

    k * se with k = critical + .84; where the error grows with the value itself (`grows`: MAE,
    RMSE), delta = k * se * (1 + delta / value), so k * se / (1 - k * se / value). The largest over
    groups; NaN where in some group no difference of any size is sure to be found.
    """
    gap = (critical + POWER) * se
    if grows:
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = np.where(gap < SURE * values, gap / (1 - gap / values), np.nan)
    return float(gap.max()) if len(gap) else float("nan")


def detectable_share(
    hits: Floats, rows: Floats, rest_hits: Floats, rest_rows: Floats, *, critical: float
) -> float:
    """`detectable` of shares, of which those nearer to one half vary more.

    delta = k * se(delta), the standard error that of a group whose share lies delta nearer to (or
    beyond) one half, by iteration from 0, which only rises. Counts are effective; standard errors
    have one success and one failure added.
    """
    k, share = critical + POWER, hits / rows
    towards = np.where(share > 0.5, -1, 1)
    delta = np.zeros(len(hits))
    for _ in range(60):
        there = np.clip(share + towards * delta, 0, 1) * rows
        delta = k * np.sqrt(share_variance(there, rows) + share_variance(rest_hits, rest_rows))
    inside = delta <= np.maximum(share, 1 - share)
    return float(np.where(inside, delta, np.nan).max()) if len(delta) else float("nan")


def cochran(
    values: Floats, se: Floats, *, noise: tuple[Reals, Reals] | None = None
) -> tuple[float, float]:
    """Cochran's Q (1954) of group values with standard errors, and its p-value.

    Of chi-squared, or with `noise` (as in `spread`) of Q over the replicates. NaN below two groups
    or where a group has no spread.
    """
    if len(values) < 2 or not (np.isfinite(values) & (se > 0)).all():
        return float("nan"), float("nan")
    weights = 1 / se**2
    q = float((weights * (values - (weights * values).sum() / weights.sum()) ** 2).sum())
    drawn = np.zeros(0) if noise is None else _q_of_noise(*noise)
    if len(drawn):
        return q, float((1 + (drawn >= q).sum()) / (1 + len(drawn)))
    return q, float(stats.chi2.sf(q, len(values) - 1))


def spread(
    values: Floats, se: Floats, *, noise: tuple[Reals, Reals] | None = None
) -> tuple[float, float, float]:
    """(tau, low, high): the standard deviation of the groups' true values, with its 95 % interval.

    tau by Paule & Mandel (1982), the interval by the Q profile (Viechtbauer 2007): all tau at which
    Q lies inside its null quantiles. Those are chi-squared's, or with `noise` (replicates of the
    values about themselves and their standard errors [replicate, group], for small groups) those
    of Q over the replicates. Two groups: no interval (NaN). NaN throughout below two groups or
    where a group has no spread.
    """
    usable = np.isfinite(values) & (se > 0)
    if len(values) < 2 or not usable.all():
        return float("nan"), float("nan"), float("nan")
    drawn = np.zeros(0) if noise is None else _q_of_noise(*noise)
    tail = INTERVAL_ALPHA / 2
    if not len(drawn):
        ends = np.asarray(stats.chi2.ppf([tail, 1 - tail], len(values) - 1))
    else:
        ends = np.quantile(drawn, [tail, 1 - tail])
    low, tau, high = np.sqrt(_solve(values, se**2, np.array([ends[1], len(values) - 1, ends[0]])))
    if len(values) == 2:
        return float(tau), float("nan"), float("nan")
    return float(tau), float(min(low, tau)), float(max(high, tau))


def _q_of_noise(own: Reals, own_se: Reals) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / own_se.astype(np.float64) ** 2
        mean = (weights * own).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
        q = (weights * (own - mean) ** 2).sum(axis=1)
    return np.asarray(q[np.isfinite(q)])


def _solve(values: Floats, variances: Floats, targets: Floats) -> Floats:
    """The tau squared at which Q meets each target; 0 where Q starts below it (bisection)."""

    def q(tau2: Floats) -> Floats:
        weights = 1 / (variances + tau2[:, None])
        mean = (weights * values).sum(axis=1) / weights.sum(axis=1)
        return np.asarray((weights * (values - mean[:, None]) ** 2).sum(axis=1))

    low = np.zeros(len(targets))
    above = q(low) > targets
    high = np.full(len(targets), max(float(variances.max()), 1e-300))
    for _ in range(100):  # a target of 0 is never met: tau is then as large as doubles go
        more = above & (q(high) > targets)
        if not more.any():
            break
        high[more] *= 16
    for _ in range(70):
        middle = (low + high) / 2
        right = q(middle) > targets
        low, high = np.where(right, middle, low), np.where(right, high, middle)
    return np.where(above, (low + high) / 2, 0.0)


def alphas(alpha: float) -> tuple[float, float]:
    """(records, slices): alpha split so that all claims of an audit together keep to it."""
    return alpha * RECORDS_SHARE, alpha * (1 - RECORDS_SHARE)
