"""Weak subgroups: every slice is searched on one half of the people, confirmed on the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from audit.evidence import holm
from audit.intervals import clustered_se, freedom, share_variance
from audit.metrics import Floats
from audit.shards import counted_people

NOMINATED = 20  # slices of one metric that go on to be confirmed
LEVELS = 3  # features that a slice may join
LEAST = 15  # rows in either half below which a slice is not looked at
CLEARLY = 2.0  # t by which a slice must be worse than what its parent holds beside it


@dataclass(frozen=True)
class Cells:
    """A tally's cells for one metric, larger being worse.

    codes: level of every feature [cell row, feature]; sizes: levels of each feature; shard [row].
    n, x, xx: rows, sum and sum of squares of the metric's numerator over them [row].
    people_given: rows of a shard may be one person's; else each row is a person.
    """

    codes: NDArray[np.int64]
    sizes: tuple[int, ...]
    shard: NDArray[np.int64]
    shards: int
    n: Floats
    x: Floats
    xx: Floats
    people_given: bool = True


@dataclass(frozen=True)
class Slice:
    """A nominated slice: `levels` holds (feature, level) pairs, as positions.

    All figures are of the confirming half: value and complement_value (means of x over n), their
    difference with a 95 % interval, n_confirm rows. n counts rows in both halves. `p_value`:
    one-sided.
    """

    levels: tuple[tuple[int, int], ...]
    value: float
    complement_value: float
    difference: float
    low: float
    high: float
    n: float
    n_confirm: float
    p_value: float


@dataclass(frozen=True)
class Lattice:
    """Every slice of the lattice and its sums of n, x and xx by half, [3, slice, half]."""

    levels: tuple[tuple[tuple[int, int], ...], ...]
    sums: Floats


def lattice(cells: Cells, *, levels: int = LEVELS) -> Lattice:
    """All slices that join one to `levels` features, with their sums in either half of people.

    Persons fall into halves by their shard, even or odd. Empty slices are left out.
    """
    half = cells.shard % 2
    names: list[tuple[tuple[int, int], ...]] = []
    sums: list[Floats] = []
    for size in range(1, min(levels, len(cells.sizes)) + 1):
        for parts in combinations(range(len(cells.sizes)), size):
            shape = tuple(cells.sizes[p] for p in parts)
            code = np.ravel_multi_index(tuple(cells.codes[:, p] for p in parts), shape)
            width = int(np.prod(shape))
            columns = [
                np.bincount(code * 2 + half, weights=w, minlength=width * 2).reshape(width, 2)
                for w in (cells.n, cells.x, cells.xx)
            ]
            held = np.flatnonzero(columns[0].sum(axis=1) > 0)
            places = np.stack(np.unravel_index(held, shape), axis=1)
            names += [tuple(zip(parts, map(int, place), strict=True)) for place in places]
            sums.append(np.stack([c[held] for c in columns]))
    return Lattice(tuple(names), np.concatenate(sums, axis=1))


def nominate(found: Lattice) -> list[int]:
    """Positions of the NOMINATED slices with the largest one-sided Welch t on the even half.

    A slice that joins several features counts only when it is clearly worse than the rest of each
    of its parents: else it is the parent that is weak. A slice as large as its parent is dropped.
    """
    sums = found.sums[:, :, 0]
    one_feature = [i for i, v in enumerate(found.levels) if len(v) == 1 and v[0][0] == 0]
    total = found.sums[:, one_feature].sum(axis=1)  # the levels of any one feature make the whole
    t = welch(sums, total[:, :1] - sums)
    n = found.sums[0]
    t[((n < LEAST) | (total[0] - n < LEAST)).any(axis=1)] = -np.inf
    place = {levels: i for i, levels in enumerate(found.levels)}
    chosen: list[int] = []
    for i in np.argsort(-t, kind="stable").tolist():
        if len(chosen) == NOMINATED or t[i] <= 0:
            break
        levels = found.levels[i]
        above = combinations(levels, len(levels) - 1) if len(levels) > 1 else ()
        parents = [place[p] for p in above]
        if (welch(sums[:, [i]], sums[:, parents] - sums[:, [i]]) > CLEARLY).all():
            chosen.append(i)
    return chosen


def welch(inside: Floats, outside: Floats) -> Floats:
    """Welch's t of two means from (n, sum, sum of squares) [3, slice]; -inf below two rows.

    Infinite where neither varies: all of the slice fail, and nobody else does.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        variances = [np.maximum(xx - x**2 / n, 0) / (n - 1) / n for n, x, xx in (inside, outside)]
        t = (inside[1] / inside[0] - outside[1] / outside[0]) / np.sqrt(sum(variances))
    usable = (inside[0] > 1) & (outside[0] > 1) & ~np.isnan(t)
    return np.asarray(np.where(usable, t, -np.inf))


def confirm(cells: Cells, chosen: Sequence[tuple[tuple[int, int], ...]]) -> list[Slice]:
    """Test slices on the odd half of people, one-sided, rows clustered by shard."""
    confirming = cells.shard % 2 == 1
    whole = _by_shard(cells, confirming)
    found = []
    for levels in chosen:
        inside = np.ones(len(cells.shard), dtype=bool)
        for part, level in levels:
            inside &= cells.codes[:, part] == level
        n, x = _by_shard(cells, inside & confirming)
        both = np.stack([x, whole[1] - x]), np.stack([n, whole[0] - n])
        mean = both[0].sum(axis=1) / both[1].sum(axis=1)
        variance = clustered_se(*both) ** 2
        if (cells.x == cells.xx).all() and variance.sum() > 0:
            variance = np.fmax(variance, _least_variance(*both))
        se = float(np.sqrt(variance.sum()))
        clusters = (both[1] > 0).sum(axis=1)
        # Welch & Satterthwaite's degrees of freedom, clusters for rows
        of_each = freedom(clusters, both[1] if cells.people_given else None)
        of_both = float(se**4 / (variance**2 / of_each).sum()) if se > 0 else 1.0
        d = float(mean[0] - mean[1])
        reach = float(stats.t.ppf(0.975, of_both)) * se
        p = 1.0  # of one person's rows nothing is known
        if se > 0:
            p = float(stats.t.sf(d / se, of_both))
        elif se == 0:
            p = _of_one_choice(clusters, d)
        found.append(
            Slice(
                levels=levels,
                value=float(mean[0]),
                complement_value=float(mean[1]),
                difference=d,
                low=d - reach,
                high=d + reach,
                n=float(cells.n[inside].sum()),
                n_confirm=float(n.sum()),
                p_value=p,
            )
        )
    return found


def _least_variance(x: Floats, n: Floats) -> Floats:
    """Variance of a share with one success and one failure added, over people [side].

    A side of few people, none of whom failed, shows no spread, yet is no proof of 0.

    x, n: sums [side, shard].
    """
    rows, occupied = n.sum(axis=1), n.any(axis=0)
    people = np.minimum(counted_people(n[:, occupied]), rows)
    return np.asarray(share_variance(x.sum(axis=1) / rows * people, people))


def _of_one_choice(clusters: NDArray[np.int_], difference: float) -> float:
    """p where neither side varies: of all choices of so many people, only one differs so much."""
    if difference <= 0:
        return 1.0
    inside, outside = clusters
    ways = special.gammaln([inside + outside + 1, inside + 1, outside + 1])
    return float(np.exp(ways[1] + ways[2] - ways[0]))


def weak_slices(cells: Sequence[Cells], *, levels: int = LEVELS) -> list[list[tuple[Slice, float]]]:
    """For every metric its nominated slices with Holm's adjusted p over all of them together.

    The search costs no error: it saw the even half only.
    """
    tested = []
    for one in cells:
        found = lattice(one, levels=levels)
        tested.append(confirm(one, [found.levels[i] for i in nominate(found)]))
    adjusted = iter(holm(np.array([s.p_value for slices in tested for s in slices])).tolist())
    return [[(s, next(adjusted)) for s in slices] for slices in tested]


def _by_shard(cells: Cells, keep: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Rows and sums of x by shard, of the cell rows kept."""
    n, x = (
        np.bincount(cells.shard[keep], weights=w[keep], minlength=cells.shards).astype(np.float64)
        for w in (cells.n, cells.x)
    )
    return n, x
