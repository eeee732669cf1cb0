"""Groups of unequal ages compared as if their ages were equal."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.metrics import Floats
from audit.shards import counted_people, spread_of_rows

LEAST = 10  # occupied shards, so people, that an age needs in every compared group


@dataclass(frozen=True)
class Standardised:
    """Directly standardised values of the compared groups, and their difference from the rest.

    ages: which ages are used [age]: those with LEAST people or more in every compared group.
    value, difference: per compared group, in the metric's unit; influence: of each shard on
    `difference` [compared, shard], for `resample.Linear`. composition: [compared, compared], the
    part of value i - value j (raw, over the ages used) that unequal ages make; rate: the rest.
    least_se: for shares and `uneven` losses the standard error of `difference` were all groups
    alike, else 0 [compared]: an age without a single miss in a small group has no spread of its
    own.
    """

    ages: NDArray[np.bool_]
    value: Floats
    difference: Floats
    influence: Floats
    rate: Floats
    composition: Floats
    least_se: Floats


def standardise(
    top: Floats,
    bottom: Floats,
    compared: NDArray[np.bool_],
    *,
    scale: float = 1.0,
    root: bool = False,
    share: bool = False,
    uneven: bool = False,
) -> Standardised | None:
    """Standardise `top / bottom / scale` (or its root) by age, groups weighted to one age mix.

    Direct standardisation: every group's values by age, averaged with the age mix of all rows
    (the compared and the others) over the ages that all compared groups have. The rest of a group
    is standardised to the same mix. The variance is linearised: an age's rows move the group's
    value by its residual over its rows, times n / (n - 1) in squares, n occupied shards.

    top, bottom: sums [group, age, shard]; compared [group]. None without two compared groups or
    where no age is left.
    """
    mine, rest = bottom[compared], bottom.sum(axis=0) - bottom[compared]
    if len(mine) < 2:
        return None
    # a rest holds another compared group, so that the ages of all groups are those of all rests
    ages = ((mine > 0).sum(axis=2) >= LEAST).all(axis=0)
    if not ages.any():
        return None
    X, N = top[:, ages], bottom[:, ages]
    mix = N.sum(axis=(0, 2)) / N.sum()
    own, own_influence = _standard(X[compared], N[compared], mix)
    others, rest_influence = _standard(
        X.sum(axis=0) - X[compared], N.sum(axis=0) - N[compared], mix
    )
    least = np.zeros(len(own))
    if share:
        p = X.sum(axis=(0, 2)) / N.sum(axis=(0, 2))
        sides = [side[:, ages] for side in (mine, rest)]
        each = [1 / np.minimum(counted_people(side), side.sum(axis=2)) for side in sides]
        least = np.sqrt(sum(each) @ (mix**2 * p * (1 - p)))
    if uneven:
        of_all = spread_of_rows(X.sum(axis=0), N.sum(axis=0))
        each = [1 / side[:, ages].sum(axis=2) for side in (mine, rest)]
        least = np.sqrt(sum(each) @ (mix**2 * of_all))
    if root:
        least = least / (2 * np.where(own > 0, np.sqrt(own), 1.0))
        own, own_influence = _rooted(own, own_influence)
        others, rest_influence = _rooted(others, rest_influence)
    rate, composition = kitagawa(X[compared].sum(axis=2), N[compared].sum(axis=2))
    if root:  # a root is no mean over ages: what standardising takes off is the composition
        raw = np.sqrt(X[compared].sum(axis=(1, 2)) / N[compared].sum(axis=(1, 2)))
        rate = own[:, None] - own
        composition = raw[:, None] - raw - rate
    return Standardised(
        ages,
        own / scale,
        (own - others) / scale,
        (own_influence - rest_influence) / scale,
        rate / scale,
        composition / scale,
        least / scale,
    )


def kitagawa(top: Floats, bottom: Floats) -> tuple[Floats, Floats]:
    """Split every raw difference between two groups: (rate, composition), each [group, group].

    Kitagawa (1955): rate = sum over ages of the difference of values times the mean share,
    composition = sum of the difference of shares times the mean value. They add up to the raw
    difference. top, bottom: sums [group, age].
    """
    value = top / bottom
    share = bottom / bottom.sum(axis=1, keepdims=True)
    gap, tilt = value[:, None] - value, share[:, None] - share
    rate = (gap * (share[:, None] + share) / 2).sum(axis=2)
    return rate, (tilt * (value[:, None] + value) / 2).sum(axis=2)


def _standard(X: Floats, N: Floats, mix: Floats) -> tuple[Floats, Floats]:
    """(value [group], influence [group, shard]) at the age mix `mix` [age]."""
    n = N.sum(axis=2)
    by_age = X.sum(axis=2) / n
    residual = (X - by_age[:, :, None] * N) / n[:, :, None]
    people = (N > 0).sum(axis=2)  # as shards tell them apart: repeated photos change nothing
    inflate = np.sqrt(people / (people - 1))
    return by_age @ mix, np.einsum("gas,ga->gs", residual, mix * inflate)


def _rooted(value: Floats, influence: Floats) -> tuple[Floats, Floats]:
    root = np.sqrt(value)
    return root, influence / (2 * np.where(root > 0, root, 1.0))[:, None]
