"""Two sets of faces that may share faces or people: how far apart they are, and how sure that is.

`audit.resample` compares a group with its rest, which never share a face. Here the two sides are
any two sets, so the covariance of what they share is carried along; where they share nothing, the
answers are those of `audit.resample`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from audit.evidence import INTERVAL_ALPHA
from audit.exact_sums import Singles
from audit.intervals import Z, quantile, wilson
from audit.metrics import Floats
from audit.resample import Replicates, weights
from audit.shards import SHARDS

_NONE = np.zeros((0, 0), np.float32)
_HALVINGS = 60


@dataclass(frozen=True)
class Apart:
    """First minus second, in the metric's unit, with its 95 % interval and two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


def means_apart(top: Floats, bottom: Floats, *, scale: float = 1.0) -> Apart:
    """The difference of two ratios of sums by a bootstrap-t over shards.

    top, bottom: sums [side, shard]; a face on both sides is in both. Every shard (a thousandth of
    the people) is drawn for both sides at once, so people with photos on both sides, and faces
    shared by both, move them together. The standard error is that of the linearised difference
    (Cochran 1977, 6.3), with the covariance of the sides, and made anew in every replicate.
    """
    N = bottom.sum(axis=1)
    m = top.sum(axis=1) / N
    r = top - m[:, None] * bottom
    occupied = (bottom > 0).sum(axis=1)
    grown = np.sqrt(occupied / np.maximum(occupied - 1, 1))  # as for a variance over n - 1
    own = grown[:, None] * r / N[:, None]
    se = float(np.sqrt(((own[0] - own[1]) ** 2).sum()))
    t = np.sort(_replicated_t(r, bottom, _drawn().astype(np.float64)))
    found = Replicates(
        np.array([(m[0] - m[1]) / scale]), np.array([se / scale]), t, t, _NONE, _NONE, np.zeros(0)
    )
    low, high = found.interval(INTERVAL_ALPHA)
    return Apart(float(found.difference[0]), float(low[0]), float(high[0]), found.p_value)


def _drawn() -> Singles:
    """The replicates of every comparison: how often each shard counts [replicate, shard]."""
    return weights(0, shards=SHARDS, seed=0)


def _replicated_t(r: Floats, bottom: Floats, drawn: Floats) -> Floats:
    """t of every replicate about the sample's difference [replicate].

    With u = (r, n) of both sides, a replicate's variance is the quadratic form c' (sum W u u') c.
    """
    u = np.stack([r[0], bottom[0], r[1], bottom[1]], axis=1)
    R0, N0, R1, N1 = (drawn @ u).T
    i, j = np.triu_indices(4)
    pairs = drawn @ (u[:, i] * u[:, j] * np.where(i == j, 1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        d0, d1 = R0 / N0, R1 / N1
        c = np.stack([1 / N0, -d0 / N0, -1 / N1, d1 / N1], axis=1)
        variance = np.maximum((pairs * c[:, i] * c[:, j]).sum(axis=1), 0)
        t = np.where(d0 == d1, 0, (d0 - d1) / np.sqrt(variance))
    # a replicate that lacks a side speaks for neither: half of such count above, half below
    lacking = np.isnan(t)
    return np.where(lacking, np.where(np.arange(len(t)) % 2, np.inf, -np.inf), t)


def quantiles_apart(counts: Singles, edges: Floats, share: float) -> Apart:
    """The difference of two quantiles by a percentile bootstrap over shards.

    counts [side, shard, bin], edges: the upper edge of each bin, rising, as in
    `audit.intervals.quantile`. Both sides meet the same replicates, as in `means_apart`.
    """
    drawn = _drawn()
    sides = [(drawn @ side).astype(np.float64) for side in counts]
    moved = quantile(sides[0], edges, share) - quantile(sides[1], edges, share)
    moved = np.sort(moved[~np.isnan(moved)])
    value = quantile(counts.sum(axis=1).astype(np.float64), edges, share)
    ranks = np.array([0.025, 0.975]) * (len(moved) + 1)
    low, high = moved[np.clip([ranks[0] - 1, np.ceil(ranks[1]) - 1], 0, len(moved) - 1).astype(int)]
    tail = min((moved <= 0).sum(), (moved >= 0).sum())
    d = float(value[0] - value[1])
    p = min(1.0, 2 * (1 + int(tail)) / (len(moved) + 1))
    return Apart(d, min(float(low), d), max(float(high), d), p)


def rare_shares_apart(hits: Floats, rows: Floats, worth: Floats) -> Apart:
    """The difference of two shares where events are too few to resample.

    hits, rows [part]: of the faces on the first side only, on both, on the second only; worth:
    effective rows behind each. The difference is a sum of the parts' shares, each by its weight;
    its interval joins their Wilson intervals (Zou, Huang & Zhang 2009), which is Newcombe's (1998,
    method 10) where the sides share nothing, and a multiple of it where one holds the other. The
    p-value is the level at which that interval would just touch 0.
    """
    sides = np.array([rows[0] + rows[1], rows[1] + rows[2]])
    weight = np.array([1, 1, 0]) * rows / sides[0] - np.array([0, 1, 1]) * rows / sides[1]
    held = (rows > 0) & (weight != 0)
    w, n = weight[held], worth[held]
    p = hits[held] / rows[held]
    difference = float((w * p).sum())

    def reach(z: float) -> tuple[float, float]:
        low, high = wilson(p, n, z=z)
        down, up = p - np.minimum(low, p), np.maximum(high, p) - p
        left, right = np.where(w > 0, down, up), np.where(w > 0, up, down)
        return float(np.sqrt(((w * left) ** 2).sum())), float(np.sqrt(((w * right) ** 2).sum()))

    below, above = reach(Z)
    low, high = 0.0, 40.0
    for _ in range(_HALVINGS):  # reach grows with z, and at 40 is past any difference there is
        z = (low + high) / 2
        touches = reach(z)[0 if difference > 0 else 1] >= abs(difference)
        low, high = (low, z) if touches else (z, high)
    p_value = 1.0 if difference == 0 else float(2 * stats.norm.sf(high))
    return Apart(difference, difference - below, difference + above, p_value)
