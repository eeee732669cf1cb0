"""Replicates of a tally: is any group served differently from the rest, and by how much?

Shards are resampled, so that all photos of a person go together. Every record of an audit meets
the same replicates, and one matrix product serves them all.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from audit.exact_sums import ExactColumns, Reals, Singles
from audit.intervals import share_variance
from audit.metrics import Floats
from audit.shards import spread_of_rows

CHUNK = 1000  # replicates drawn at a time; every record gets this many
LOOK_AGAIN = 0.02  # records with a smaller p are given more replicates
MORE, MOST = 20_000, 50_000  # so many, and so many beyond MANY tests
MANY = 100
TAIL = 20  # replicates beyond the point from which the normal curve extrapolates a tail
AT_ONCE = 4  # chunks of replicates worked on side by side: 40 MB each at most
COLUMNS_AT_ONCE = 6000  # bounds memory: 6000 columns of 1000 replicates are 24 MB

Kind = Literal["share", "mean", "root", "score"]
UNEVEN = ("root", "score")  # means of squares, that a few large losses decide


@dataclass(frozen=True)
class Ratios:
    """One record to test: a metric `top / bottom / scale` (or its root) in every group.

    top, bottom: sums [group, shard] of *all* groups, the small ones included: they belong to the
    rest that a group is compared with. compared: which groups are tested [group]. `kind` says how
    the standard error is made: `share` (of trials), `mean`, `root` (of a mean), or `score` (a mean
    of squares whose root is not drawn). `design`: how
    many times a share's variance exceeds the binomial [group], 1 where rows are people.
    """

    top: Floats
    bottom: Floats
    compared: NDArray[np.bool_]
    kind: Kind = "mean"
    scale: float = 1.0
    design: Floats | float = 1.0


@dataclass(frozen=True)
class Linear:
    """One record whose differences are given with their influence per shard [compared, shard].

    A difference moves by the sum of W_s * influence when shard s counts W_s times; influences of
    a group sum to 0. least_se: standard errors are taken to be no smaller [compared].
    """

    difference: Floats
    influence: Floats
    least_se: Floats | float = 0.0


Record = Ratios | Linear


@dataclass(frozen=True)
class Replicates:
    """What resampling says of one record; arrays are over its *compared* groups.

    difference: group minus rest, se: its standard error, both in the metric's unit.
    t_high and t_low: largest and smallest t of every replicate [replicate], rising.
    own: replicates of the groups' own values about their values, own_se: their standard errors
    [replicate, compared]; value_se: the standard errors of the values [compared]. Empty for
    Linear records.
    """

    difference: Floats
    se: Floats
    t_high: Floats
    t_low: Floats
    own: Singles = field(repr=False)
    own_se: Singles = field(repr=False)
    value_se: Floats = field(repr=False)

    @property
    def t(self) -> Floats:
        """Observed t of every compared group: difference over standard error."""
        return np.asarray(_over(self.difference, self.se), dtype=np.float64)

    @property
    def p_value(self) -> float:
        """Twice the smaller tail of the largest and smallest t: one p for all groups together.

        (1 + how many replicates reach it) / (replicates + 1), Davison & Hinkley (1997, 4.2). A p
        so small that it stays below alpha when corrected for thousands of tests lies beyond any
        feasible number of replicates: where MORE or more were drawn and none reaches t, the tail is
        extrapolated along the normal curve.
        """
        B, t = len(self.t_high), self.t
        above = B - np.searchsorted(self.t_high, t.max(), side="left")
        below = np.searchsorted(self.t_low, t.min(), side="right")
        p = float(min(1.0, 2 * (1 + min(above, below)) / (B + 1)))
        if B < MORE:
            return p
        share = TAIL / (B + 1)
        ends = []
        if not above:
            ends.append((t.max(), _quantile(self.t_high, 1 - share)))
        if not below:
            ends.append((-t.min(), -_quantile(self.t_low, share)))
        tails = [2 * tail_beyond(*end, groups=len(t), share=share) for end in ends if end[1] > 0]
        return min([p, *tails])

    def interval(self, alpha: float) -> tuple[Floats, Floats]:
        """Simultaneous bootstrap-t intervals of all differences: all hold their truth 1 - alpha.

        They belong to `p_value`: some interval leaves out 0 just where p <= alpha (up to the
        rounding of a quantile to a replicate).
        """
        high = _quantile(self.t_high, 1 - alpha / 2)
        low = _quantile(self.t_low, alpha / 2)
        return self.difference - high * self.se, self.difference - low * self.se

    def critical(self, alpha: float) -> float:
        """The larger of the two critical values of the largest |t| at `alpha`."""
        ends = _quantile(self.t_high, 1 - alpha / 2), -_quantile(self.t_low, alpha / 2)
        return float(max(*ends))

    @property
    def noise_gap(self) -> float:
        """Largest minus smallest group value that noise alone would show on average.

        The mean over replicates of the range of values about their own values: with no true
        difference, max - min is this large.
        """
        return float(np.ptp(self.own, axis=1).mean()) if self.own.size else float("nan")


@lru_cache(maxsize=2)  # the first chunk serves every block of records
def weights(chunk: int, *, shards: int, seed: int) -> Singles:
    """How often each shard counts in replicates [CHUNK, shards]: multinomial, rows sum to shards.

    Chunk `chunk` of `seed` is always the same, whichever chunks were drawn before. Not to be
    written in: the next caller gets the same array.
    """
    rng = np.random.default_rng([seed, shards, chunk])
    drawn = rng.integers(0, shards, size=(CHUNK, shards), dtype=np.uint16).astype(np.int64)
    drawn += np.arange(CHUNK)[:, None] * shards
    counts = np.bincount(drawn.ravel(), minlength=CHUNK * shards)
    return counts.reshape(CHUNK, shards).astype(np.float32)


def replicate(records: Sequence[Record], *, seed: int = 0) -> list[Replicates]:
    """Test every record: CHUNK replicates each, more for those with a small p.

    Records with p < LOOK_AGAIN go on to MORE replicates (MOST beyond MANY Ratios), so that a small
    p rests as little as possible on the tail extrapolated along the normal curve. Every record
    needs at least one compared group, and all need sums over the same shards. Results depend on
    how many other records are tested, but neither on which ones nor on the number of threads.
    """
    found = [r for block in _blocks(records) for r in _run(block, [0], seed=seed)]
    again = [i for i, r in enumerate(found) if r.p_value < LOOK_AGAIN]
    many = sum(isinstance(r, Ratios) for r in records) > MANY
    rest = range(1, (MOST if many else MORE) // CHUNK)
    place = iter(again)
    for block in _blocks([records[i] for i in again]):
        for more in _run(block, rest, seed=seed):
            i = next(place)
            found[i] = _joined(found[i], more)
    return found


def _joined(first: Replicates, more: Replicates) -> Replicates:
    return Replicates(
        first.difference,
        first.se,
        np.sort(np.concatenate([first.t_high, more.t_high])),
        np.sort(np.concatenate([first.t_low, more.t_low])),
        first.own,
        first.own_se,
        first.value_se,
    )


def _blocks(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Records in order, as many at a time as COLUMNS_AT_ONCE allows."""
    block: list[Record] = []
    size = 0
    for record in records:
        own = (
            2 * len(record.influence) if isinstance(record, Linear) else 12 * record.compared.sum()
        )
        if block and size + own > COLUMNS_AT_ONCE:
            yield block
            block, size = [], 0
        block.append(record)
        size += int(own)
    if block:
        yield block


def _run(block: Sequence[Record], chunks: Sequence[int], *, seed: int) -> list[Replicates]:
    """Replicates of the records of one block, over `chunks` of weights."""
    columns = ExactColumns()
    plans = [
        _LinearPlan(r, columns) if isinstance(r, Linear) else _RatioPlan(r, columns) for r in block
    ]
    matrix = columns.matrix()
    shards = len(matrix)
    t_high = [np.empty((len(chunks), CHUNK)) for _ in plans]
    t_low = [np.empty((len(chunks), CHUNK)) for _ in plans]
    own = [(np.empty((0, 0), np.float32),) * 2 for _ in plans]

    def draw(c: int) -> None:
        product = columns.sums(weights(chunks[c], shards=shards, seed=seed) @ matrix)
        for i, plan in enumerate(plans):
            t, *mine = plan.t(product)
            # a replicate that lacks a group altogether speaks for neither side
            t_high[i][c] = np.where(np.isnan(t), np.inf, t).max(axis=1)
            t_low[i][c] = np.where(np.isnan(t), -np.inf, t).min(axis=1)
            if chunks[c] == 0 and mine:
                own[i] = (mine[0], mine[1])

    with ThreadPoolExecutor(min(os.cpu_count() or 1, AT_ONCE)) as pool:
        list(pool.map(draw, range(len(chunks))))
    return [
        Replicates(
            p.difference, p.se, np.sort(high.ravel()), np.sort(low.ravel()), *mine, p.value_se
        )
        for p, high, low, mine in zip(plans, t_high, t_low, own, strict=True)
    ]


class _Side:
    """Groups (or their rests) about their own ratio: columns in, replicate deviation and se out."""

    def __init__(
        self, top: Floats, bottom: Floats, record: Ratios, columns: ExactColumns, *, rest: bool
    ):
        self.kind, self.scale = record.kind, record.scale
        n = bottom.sum(axis=1)
        self.ratio = top.sum(axis=1) / n
        residual = top - self.ratio[:, None] * bottom
        name = (b"rest" if rest else b"own") + record.compared.tobytes()
        self._residual = columns.add(residual)
        self._rows = columns.add_once(bottom, of=record.bottom, kind=name)
        if record.kind == "share":
            rows = record.bottom.sum(axis=1)
            design = np.broadcast_to(np.asarray(record.design, np.float64), len(rows))
            of_all = np.full(len(n), (design * rows).sum() / rows.sum())
            self.design = of_all if rest else design[record.compared]
            self.variance = self._of_share(self.ratio * n, n, self.design)
            return
        square, cross = residual**2, residual * bottom
        self._square, self._cross = columns.add(square), columns.add(cross)
        self._rows2 = columns.add_once(bottom**2, of=record.bottom, kind=name + b"2")
        occupied = (bottom > 0).sum(axis=1)
        self.variance = square.sum(axis=1) / n**2 * occupied / np.maximum(occupied - 1, 1)
        if record.kind in UNEVEN:
            of_all = spread_of_rows(record.top.sum(axis=0), record.bottom.sum(axis=0))
            self.variance = np.maximum(self.variance, of_all / n)

    @staticmethod
    def _of_share(x: Reals, n: Reals, design: Reals) -> Reals:
        return share_variance(x / design, n / design)

    @property
    def value(self) -> Floats:
        """The metric in the sample, in its unit."""
        return np.asarray(np.sqrt(self.ratio) if self.kind == "root" else self.ratio) / self.scale

    @property
    def value_variance(self) -> Floats:
        """Squared standard error of `value`."""
        return np.asarray(self._delta(self.variance, self.ratio) / self.scale**2, np.float64)

    def replicate(self, sums: Singles) -> tuple[Reals, Reals]:
        """Deviation of the replicates' value from the sample's, and its variance."""
        n = sums[:, self._rows]
        shift = sums[:, self._residual] / n
        ratio = self.ratio.astype(np.float32)
        if self.kind == "share":
            variance = self._of_share((ratio + shift) * n, n, self.design.astype(np.float32))
            return shift / np.float32(self.scale), variance / np.float32(self.scale**2)
        square = sums[:, self._square] - 2 * shift * sums[:, self._cross]
        variance = np.maximum(square + shift**2 * sums[:, self._rows2], 0) / n**2
        if self.kind == "root":
            now = np.maximum(ratio + shift, 0)
            variance = self._delta(variance, now)
            shift = np.sqrt(now) - np.sqrt(ratio)
        return shift / np.float32(self.scale), variance / np.float32(self.scale**2)

    def _delta(self, variance: Reals, ratio: Reals) -> Reals:
        """Delta method: the root of a mean m has variance var(m) / (4 m)."""
        if self.kind != "root":
            return variance
        return np.divide(variance, 4 * ratio, out=np.zeros_like(variance), where=ratio > 0)


class _RatioPlan:
    def __init__(self, record: Ratios, columns: ExactColumns) -> None:
        top, bottom = record.top[record.compared], record.bottom[record.compared]
        self.own = _Side(top, bottom, record, columns, rest=False)
        rest = record.top.sum(axis=0) - top, record.bottom.sum(axis=0) - bottom
        self.rest = _Side(*rest, record, columns, rest=True)
        self.difference = self.own.value - self.rest.value
        self.value_se = np.sqrt(self.own.value_variance)
        self.se = np.sqrt(self.own.value_variance + self.rest.value_variance)

    def t(self, sums: Singles) -> tuple[Reals, ...]:
        with np.errstate(divide="ignore", invalid="ignore"):
            own, own_variance = self.own.replicate(sums)
            rest, rest_variance = self.rest.replicate(sums)
            t = _over(own - rest, np.sqrt(own_variance + rest_variance))
            return t, own, np.sqrt(own_variance)


class _LinearPlan:
    def __init__(self, record: Linear, columns: ExactColumns) -> None:
        self.difference, self.value_se = record.difference, np.zeros(0)
        self._shards = record.influence.shape[1]
        self._first = columns.add(record.influence)
        self._second = columns.add(record.influence**2)
        square = (record.influence**2).sum(axis=1)
        se = np.sqrt(square * self._shards / (self._shards - 1))
        self.se = np.maximum(se, record.least_se)

    def t(self, sums: Singles) -> tuple[Reals, ...]:
        shift = sums[:, self._first]
        variance = sums[:, self._second] - shift**2 / self._shards
        return (_over(shift, np.sqrt(np.maximum(variance, 0))),)


def tail_beyond(t: float, critical: float, *, groups: int, share: float) -> float:
    """How often the largest t of `groups` lies beyond `t`, from the value it has at `share`.

    `audit.evidence.beyond` the other way round: along the normal curve, with its own scale.
    """
    return float(groups * special.ndtr(t / critical * special.ndtri(share / groups)))


def _over(difference: Reals, se: Reals) -> Reals:
    """difference / se; 0 where nothing differs, however small the error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0, difference / se)


def _quantile(rising: Floats, share: float) -> float:
    """The order statistic that makes intervals match `p_value`: rank (B + 1) * share."""
    B = len(rising)
    rank = (B + 1) * share
    place = int(np.ceil(rank - 1e-9)) if share > 0.5 else int(np.floor(rank + 1e-9))
    return float(rising[min(max(place, 1), B) - 1])
