"""The same faces read twice: what a change of the pictures does to a group, and to it alone.

Every face is its own control. With d the change of a face's loss (its error, or whether it was
called rightly), a group's *change* is the mean of d over its faces, and its *harm* is that mean
less the mean over everyone else: a difference of differences, so a group that is read worse in
clean pictures and loses no more than others has no harm. All errors are clustered by person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.intervals import (
    around,
    clustered_se,
    effective,
    freedom,
    student,
    student_above_zero,
    wilson,
)
from audit.metrics import Floats
from audit.resample import Linear
from audit.shards import SHARDS


@dataclass(frozen=True)
class Loss:
    """One metric of the same faces under several readings, the clean one first.

    values: what the metric averages, in whole units of 1/`scale` [reading, face]; valid: faces
    with a value in *every* reading [face]. share: values are 0 or 1. signed: they may be negative.
    """

    values: Floats
    valid: NDArray[np.bool_]
    scale: float
    share: bool
    signed: bool = False


@dataclass(frozen=True)
class Split:
    """Faces in groups. codes: group of each face [face]; shard: the person's; people: keys [face].

    people_given: False where one photo per person is assumed.
    """

    codes: NDArray[np.int64]
    shard: NDArray[np.int64]
    people: NDArray[np.int64]
    groups: int
    people_given: bool

    def sums(self, values: Floats) -> Floats:
        """Sums by group and shard [group, shard]; whole numbers, so their order is nothing."""
        key = self.codes * SHARDS + self.shard
        flat = np.bincount(key, weights=values, minlength=self.groups * SHARDS)
        return np.asarray(flat.reshape(self.groups, SHARDS), dtype=np.float64)

    def counted(self, valid: NDArray[np.bool_]) -> Floats:
        """Persons behind the valid faces of every group [group]."""
        pairs = np.unique(np.column_stack([self.codes[valid], self.people[valid]]), axis=0)
        return np.bincount(pairs[:, 0], minlength=self.groups).astype(np.float64)

    def freedom(self, valid: NDArray[np.bool_]) -> Floats:
        """Degrees of freedom of a variance over the valid faces of every group [group]."""
        rows = self.sums(valid.astype(np.float64)) if self.people_given else None
        return freedom(self.counted(valid), rows)


Interval = tuple[Floats, Floats, Floats]  # value, low, high, each [group], in the metric's unit


def level(loss: Loss, split: Split, reading: int) -> Interval:
    """The metric in every group under one reading, with its own 95 % interval."""
    top, bottom = _sums(loss, split, loss.values[reading])
    value, people = _ratio(top, bottom) / loss.scale, split.counted(loss.valid)
    if loss.share:
        n = bottom.sum(axis=1)
        if split.people_given:
            n = effective(top, bottom, np.clip(value * (1 - value), 0, None), people)
        return value, *around(*wilson(value, n), value)
    of_mean = student if loss.signed else student_above_zero
    se = clustered_se(top, bottom) / loss.scale
    return value, *of_mean(value, se, split.freedom(loss.valid))


def change(loss: Loss, split: Split, reading: int) -> Interval:
    """How much the metric rose from the clean reading, with its paired 95 % interval."""
    d = loss.values[reading] - loss.values[0]
    top, bottom = _sums(loss, split, d)
    se = clustered_se(top, bottom) / loss.scale
    if loss.share:
        se = np.fmax(se, _least_se(*_moves(loss, split, d)))
    value = _ratio(top, bottom) / loss.scale
    return value, *student(value, se, split.freedom(loss.valid))


def gap(loss: Loss, split: Split, reading: int) -> Interval:
    """A group less everyone else under one reading, each with a 95 % interval of its own."""
    everyone = np.ones(split.groups, dtype=bool)
    top, bottom = _sums(loss, split, loss.values[reading])
    value, influence = _against_rest(top, bottom, everyone)
    se = np.sqrt((influence**2).sum(axis=1) * SHARDS / (SHARDS - 1)) / loss.scale
    return value / loss.scale, *student(value / loss.scale, se, split.freedom(loss.valid))


def harm(loss: Loss, split: Split, readings: Sequence[int], compared: NDArray[np.bool_]) -> Linear:
    """The record to resample: harm of every compared group under every reading, readings outer.

    Its one p-value asks whether any of these groups loses more, or less, than everyone else under
    any of these readings; its intervals hold together.
    """
    parts = []
    for reading in readings:
        d = loss.values[reading] - loss.values[0]
        top, bottom = _sums(loss, split, d)
        value, influence = _against_rest(top, bottom, compared)
        least = np.zeros(int(compared.sum()))
        if loss.share:
            own = _moves(loss, split, d)
            rest = tuple(x.sum() - x for x in own)
            least = np.hypot(_least_se(*own), _least_se(*rest))[compared]
        parts.append((value, influence, least))
    values, influences, least_se = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Linear(values / loss.scale, influences / loss.scale, least_se)


def _sums(loss: Loss, split: Split, values: Floats) -> tuple[Floats, Floats]:
    return (
        split.sums(np.where(loss.valid, values, 0.0)),
        split.sums(loss.valid.astype(np.float64)),
    )


def _ratio(top: Floats, bottom: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(top.sum(axis=1) / bottom.sum(axis=1))


def _against_rest(
    top: Floats, bottom: Floats, compared: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Mean of each compared group less that of all other faces, and its influence per shard."""
    sides = []
    for x, n in (
        (top[compared], bottom[compared]),
        (top.sum(axis=0) - top[compared], bottom.sum(axis=0) - bottom[compared]),
    ):
        rows = n.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = x.sum(axis=1, keepdims=True) / rows
            sides.append((mean[:, 0], (x - mean * n) / rows))
    (own, own_influence), (rest, rest_influence) = sides
    return own - rest, own_influence - rest_influence


def _moves(loss: Loss, split: Split, d: Floats) -> tuple[Floats, Floats, Floats]:
    """Faces of each group that went from 0 to 1, from 1 to 0, and all [group], as persons."""
    up, down = (split.sums(loss.valid * (d == way)).sum(axis=1) for way in (1, -1))
    rows = split.sums(loss.valid.astype(np.float64)).sum(axis=1)
    people = split.counted(loss.valid)
    once = people / np.maximum(rows, 1)  # a person's many photos count as one
    return up * once, down * once, people


def _least_se(up: Floats, down: Floats, n: Floats) -> Floats:
    """Standard error of a paired difference of shares, half a face added to each way.

    Agresti & Min (2005): where nobody, or next to nobody, changed sides, the spread of the sample
    says nothing of the spread there is.
    """
    b, c, rows = up + 0.5, down + 0.5, n + 2
    return np.asarray(np.sqrt(b + c - (b - c) ** 2 / rows) / rows)
