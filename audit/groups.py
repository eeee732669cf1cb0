"""The groups of a feature or a crossing, and the sums of each: what every figure is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.features import Feature
from audit.intervals import effective, freedom
from audit.metrics import BY_PREDICTED, SUMS, Floats
from audit.rungs import told
from audit.shards import SHARDS, counted_people
from audit.tally import Tally
from audit.words import CROSS

OVERALL = "overall"
SUPPRESSED_BELOW = 10  # subjects: only n is shown
FEW_BELOW = 30  # subjects: shown, but out of every comparison


@dataclass(frozen=True)
class Groups:
    """The occupied groups of one feature (or crossing), in the feature's own order.

    parts: names of the features crossed; empty for the whole table.
    names: group names, `Black × female`. levels: the same in parts.
    sums: per name in metrics.SUMS an array [group, shard]; and of audit.rungs `age_far`,
        `female_scored`, `male_scored`, `female_placed`, `male_placed`.
    error_bins: the occupied bins of |e| (1/10 year, see Tally), rising; errors: rows [group, bin].
    score_bins: the occupied bins of P(female) (see `score_edges`), rising; scores: rows [group,
    female 0/1, bin]; score_sums: sum of P(female) in millionths [group, bin].
    codes: one number a group, rising, for `spread_out`.
    people_given: the table names its people (else rows are taken for people, one photo each).
    people_per_row: over the whole table; exactly 1 where nobody has two photos.
    """

    feature: str
    parts: tuple[str, ...]
    names: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    sums: Mapping[str, Floats]
    error_bins: Floats
    errors: Floats
    score_bins: Floats
    scores: Floats
    score_sums: Floats
    people_given: bool
    people_per_row: float
    codes: NDArray[np.int64]

    def totals(self, key: str) -> Floats:
        """Sum `key` of every group, over all shards [group]."""
        return np.asarray(self.sums[key].sum(axis=1))

    def people(self, key: str) -> Floats:
        """Subjects behind the rows counted by sum `key` [group]: rows where each is a person."""
        return self.totals(key) if self.people_per_row == 1 else self.counted(key)

    def independent(self, key: str) -> Floats:
        """Subjects that intervals may count on: `counted` where the table names its people."""
        return self.counted(key) if self.people_given else self.totals(key)

    def freedom(self, key: str) -> Floats:
        """Degrees of freedom of a variance over the rows counted by sum `key` [group]."""
        return freedom(self.independent(key), self.sums[key] if self.people_given else None)

    def counted(self, key: str) -> Floats:
        """Subjects estimated from the occupied shards alone, so that repeated photos do not count.

        See `counted_people`.
        """
        return counted_people(self.sums[key], self.people_per_row)

    def worth(self, top: str, bottom: str) -> Floats:
        """Effective rows behind the share `top` / `bottom` of two sums [group].

        The rows where each is taken for a person; else `effective` by the share's own variance.
        """
        n = self.totals(bottom)
        if not self.people_given:
            return n
        with np.errstate(divide="ignore", invalid="ignore"):
            share = self.totals(top) / n
            sums = self.sums[top], self.sums[bottom]
            return effective(*sums, np.clip(share * (1 - share), 0, None), self.counted(bottom))


def crossings(features: Sequence[Feature], *, depth: int) -> tuple[tuple[Feature, ...], ...]:
    """Nothing (the whole), every feature, then every crossing of up to `depth`, in order."""
    return tuple(c for size in range(depth + 1) for c in combinations(features, size))


def with_tails(tally: Tally) -> Tally:
    """The same tally with what `audit.rungs` tells of all faces in its cells, worked out once."""
    return replace(tally, cells=tally.cells.assign(**told(tally)))


def gather(tally: Tally, parts: Sequence[Feature]) -> Groups:
    """Sum the tally over everything but the levels of `parts` (none: the whole table)."""
    columns = {name: tally.cells[name].to_numpy(np.float64) for name in SUMS}
    return _gathered(tally, tally.cells, parts, columns | dict(told(tally)))


def gather_predicted(tally: Tally, parts: Sequence[Feature]) -> Groups:
    """Groups of `parts` crossed with the predicted age group: faces with an error, no histograms.

    parts: any features but the true age group. Sums are those of metrics.BY_PREDICTED alone.
    """
    columns = {name: tally.predicted[name].to_numpy(np.float64) for name in BY_PREDICTED}
    bins = Feature("age_group_pred", tally.age_groups, ordered=True)
    none = {key: getattr(tally, key)[:0].assign(age_group_pred=0) for key in ("errors", "scores")}
    bare = replace(tally, **none)
    return _gathered(bare, tally.predicted, [*parts, bins], columns)


def _gathered(
    tally: Tally, frame: pd.DataFrame, parts: Sequence[Feature], columns: Mapping[str, Floats]
) -> Groups:
    """Groups of `parts`: `columns` of `frame` (its keys hold them and the shard) added up."""
    cells = _codes(frame, parts)
    occupied = np.unique(cells)
    levels = tuple(
        tuple(f.levels[i] for f, i in zip(parts, position, strict=True))
        for position in _positions(occupied, parts)
    )
    size = len(occupied)
    key = np.searchsorted(occupied, cells) * SHARDS + frame["shard"].to_numpy(np.int64)
    sums = {
        name: added(key, column, size * SHARDS).reshape(size, SHARDS)
        for name, column in columns.items()
    }
    error_bins, errors = _histogram(tally.errors, parts, occupied)
    score_bins, scores = _histogram(tally.scores, parts, occupied, by_gender=True)
    _, score_sums = _histogram(tally.scores, parts, occupied, column="score")
    audited = tally.rows_read - sum(tally.rows_left_out.values())
    return Groups(
        feature=CROSS.join(f.name for f in parts) or OVERALL,
        parts=tuple(f.name for f in parts),
        names=tuple(CROSS.join(words) or OVERALL for words in levels),
        levels=levels,
        sums=sums,
        error_bins=error_bins,
        errors=errors,
        score_bins=score_bins,
        scores=scores.reshape(size, 2, len(score_bins)),
        score_sums=score_sums,
        people_given=not tally.subjects_assumed,
        people_per_row=1.0 if tally.subjects_are_rows else tally.subjects / max(audited, 1),
        codes=occupied,
    )


def spread_out(
    groups: Groups,
    frame: pd.DataFrame,
    parts: Sequence[Feature],
    *,
    keys: Mapping[str, int],
    weights: Floats | None = None,
) -> Floats:
    """Counts of one of the tally's histograms [group, *keys], groups as in `groups`.

    parts: the features of `groups`. keys: columns of `frame` (whole numbers from 0) and their
    sizes. weights: what is added up instead of `n` [row].
    """
    place = np.searchsorted(groups.codes, _codes(frame, parts))
    for name, size in keys.items():
        place = place * size + frame[name].to_numpy(np.int64)
    shape = (len(groups.codes), *keys.values())
    counted = frame["n"].to_numpy(np.float64) if weights is None else weights
    flat = np.bincount(place, weights=counted, minlength=int(np.prod(shape)))
    return flat.astype(np.float64).reshape(shape)


def enough_people(people: Floats | float, least: int = SUPPRESSED_BELOW) -> NDArray[np.bool_]:
    """Whether at least `least` people, an estimate, are there: below, a group shows its n alone."""
    return np.asarray(np.floor(np.asarray(people) + 0.5) >= least)


def status(people: Floats, rows: Floats) -> NDArray[np.str_]:
    """`ok`, `few`, `suppressed` or `undefined` from the subjects of the metric's denominator."""
    return np.select(
        [rows == 0, ~enough_people(people), ~enough_people(people, FEW_BELOW)],
        ["undefined", "suppressed", "few"],
        default="ok",
    )


def _codes(frame: pd.DataFrame, parts: Sequence[Feature]) -> NDArray[np.int64]:
    """One number per row for its group, rising in the parts' own order."""
    code = np.zeros(len(frame), dtype=np.int64)
    for part in parts:
        code = code * len(part.levels) + frame[part.name].to_numpy(np.int64)
    return code


def _positions(codes: NDArray[np.int64], parts: Sequence[Feature]) -> list[tuple[int, ...]]:
    if not parts:
        return [()] * len(codes)
    unravelled = np.unravel_index(codes, tuple(len(p.levels) for p in parts))
    return [tuple(int(i) for i in row) for row in np.stack(unravelled, axis=1)]


def added(key: NDArray[np.int64], values: Floats, size: int) -> Floats:
    """Sums by key [size]. Whole numbers below 2^53 add exactly in float64: order is nothing."""
    return np.bincount(key, weights=values, minlength=size).astype(np.float64)


def _histogram(
    frame: pd.DataFrame,
    parts: Sequence[Feature],
    occupied: NDArray[np.int64],
    *,
    column: str = "n",
    by_gender: bool = False,
) -> tuple[Floats, Floats]:
    """(occupied bins, counts [group, bin]); by gender, counts [group, 2 * bin]."""
    bin_of = frame["bin"].to_numpy(np.int64)
    least = bin_of.min(initial=0)
    held = np.bincount(bin_of - least) > 0  # np.unique would sort the rows, anew for every crossing
    bins, place = np.flatnonzero(held) + least, (np.cumsum(held) - 1)[bin_of - least]
    group = np.searchsorted(occupied, _codes(frame, parts))
    if by_gender:
        group = group * 2 + frame["female"].to_numpy(np.int64)
    width = len(bins) * (2 if by_gender else 1)
    flat = added(
        group * len(bins) + place, frame[column].to_numpy(np.float64), len(occupied) * width
    )
    return bins.astype(np.float64), flat.reshape(len(occupied), width)
