"""What the proposals need of each head: how a map is fitted, and what it makes of counted faces.

A head lays its faces into cells: bins of P(female), pairs of predicted year and error, or bins of
how far the true age lies outside the interval. One representative value stands for a cell.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit.config import AGE_METHODS, SCORE_METHODS
from audit.conformal import FEWEST, PREDICTED, widening
from audit.groups import OVERALL, added
from audit.halves import FIT, JUDGE, LABELS, Kind, counted
from audit.histograms import YEARS, score_edges
from audit.judging import Change, judge_ages, judge_gap, judge_intervals, judge_scores
from audit.metrics import Floats
from audit.recalibration import (
    LOGIT_CLIP,
    Numbers,
    corrected_age,
    corrected_score,
    fit_age,
    fit_score,
    logit,
)
from audit.shards import SHARDS
from audit.tally import Tally

ERRORS_A_YEAR = 5  # bins of the error in Tally.ages
MISSES_A_YEAR = 10  # bins of the miss in Tally.misses
FEWEST_OF_A_GENDER = 25  # about ten for each number of a map of two, and some to spare


@dataclass(frozen=True)
class Head:
    """One head's counts and functions.

    methods, by_group: of maps for everyone, of maps for groups. kinds: what its groups are judged
    by. counts: faces of each kind [group, half, ..., cell].
    fit(method, kind, g): the map of group g from its fitting half. enough(kind, g): whether that
    half bears one. value(numbers) [cell]: what a map makes of every cell. judge(kind, groups,
    value [group, cell], people): the changes in the judging half of these groups together.
    over(kind, value): changes that are told of all groups of a kind at once.
    """

    name: str
    methods: tuple[str, ...]
    by_group: tuple[str, ...]
    kinds: Mapping[str, Kind]
    counts: Mapping[str, Floats]
    fit: Callable[[str, Kind, int], Numbers]
    enough: Callable[[Kind, int], bool]
    value: Callable[[Numbers], Floats]
    judge: Callable[[Kind, NDArray[np.int64], Floats, float], list[Change]]
    over: Callable[[Kind, Floats], list[Change]]

    def scopes(self) -> tuple[str, ...]:
        """The kinds that a map may ask for: never a label."""
        known = {OVERALL, *LABELS} | (set() if self.name == "interval" else {PREDICTED})
        return tuple(name for name in self.kinds if name not in known)

    def faces(self, kind: Kind, half: int) -> Floats:
        """Faces of every group in a half [group]."""
        of_half = self.counts[kind.name][:, half]
        return np.asarray(of_half.reshape(len(of_half), -1).sum(axis=1))


def score_head(tally: Tally, kinds: Mapping[str, Kind], *, threshold: float) -> Head:
    """P(female): cells are bins of the score, parted by true gender."""
    frame = tally.scores
    judged = {name: k for name, k in kinds.items() if name not in {PREDICTED, *LABELS}}
    bins, place = np.unique(frame["bin"].to_numpy(np.int64), return_inverse=True)
    score = _bin_scores(tally, bins, place)
    cell = frame["female"].to_numpy(np.int64) * len(bins) + place
    counts = counted(frame, judged, cell, (2, len(bins)))

    def enough(kind: Kind, g: int) -> bool:
        people = counts[kind.name][g, FIT].sum(axis=1) * kind.people[g]
        return bool(people.sum() >= FEWEST and people.min() >= FEWEST_OF_A_GENDER)

    def fit(method: str, kind: Kind, g: int) -> Numbers:
        male, female = counts[kind.name][g, FIT]
        return fit_score(method, score, female, male)

    def judge(kind: Kind, groups: NDArray[np.int64], value: Floats, people: float) -> list[Change]:
        male, female = np.moveaxis(counts[kind.name][groups, JUDGE], 1, 0).reshape(2, -1)
        held = male + female > 0
        before, after = np.tile(score, len(groups))[held], value.ravel()[held]
        return judge_scores(
            female[held], male[held], before, after, people=people, threshold=threshold
        )

    return Head(
        name="gender",
        methods=SCORE_METHODS,
        by_group=SCORE_METHODS,
        kinds=judged,
        counts=counts,
        fit=fit,
        enough=enough,
        value=lambda numbers: corrected_score(numbers, score),
        judge=judge,
        over=_nothing,
    )


def _bin_scores(tally: Tally, bins: NDArray[np.int64], place: NDArray[np.int64]) -> Floats:
    """P(female) that stands for a bin: the mean of its faces, held inside the bin.

    Sums of scores are in millionths, too coarse near 0 and 1, where the bin itself says more.
    """
    n, sums = (
        added(place, tally.scores[c].to_numpy(np.float64), len(bins)) for c in ("n", "score")
    )
    edges = logit(score_edges())
    z = np.clip(logit(sums / n / 1e6), edges[bins], edges[bins + 1])
    score = 1 / (1 + np.exp(-z))
    return np.where(np.abs(z) >= LOGIT_CLIP, (z > 0).astype(np.float64), score)


def age_head(tally: Tally, kinds: Mapping[str, Kind], *, edges: tuple[int, ...]) -> Head:
    """Age: cells are pairs of a predicted year and an error."""
    frame = tally.ages
    year, bin_ = (frame[c].to_numpy(np.int64) for c in ("pred_year", "bin"))
    frame = frame.assign(**{PREDICTED: np.digitize(year, edges[1:])})
    lowest, width = int(bin_.min()), int(np.ptp(bin_)) + 1
    pair = year * width + bin_ - lowest
    pairs = np.flatnonzero(np.bincount(pair))  # the occupied ones, without a sort of every row
    place = np.searchsorted(pairs, pair)
    of_pair, error = pairs // width, (pairs % width + lowest) / ERRORS_A_YEAR
    n, sums = (added(year, frame[c].to_numpy(np.float64), YEARS) for c in ("n", "pred"))
    predicted = sums / np.maximum(n, 1) / 100
    counts = counted(frame, kinds, place, (len(pairs),))
    years = np.flatnonzero(n)

    def fit(method: str, kind: Kind, g: int) -> Numbers:
        cells = counts[kind.name][g, FIT]
        n_, e = (added(of_pair, w, YEARS)[years] for w in (cells, cells * error))
        mean = np.divide(e, n_, out=np.zeros_like(e), where=n_ > 0)
        return fit_age(method, predicted[years], mean, n_)

    def enough(kind: Kind, g: int) -> bool:
        return bool(counts[kind.name][g, FIT].sum() * kind.people[g] >= FEWEST)

    def value(numbers: Numbers) -> Floats:
        moved = np.zeros(len(n))
        moved[years] = corrected_age(numbers, predicted[years]) - predicted[years]
        return np.asarray(error + moved[of_pair])

    def judge(kind: Kind, groups: NDArray[np.int64], after: Floats, people: float) -> list[Change]:
        cells = counts[kind.name][groups, JUDGE].ravel()
        held = cells > 0
        before = np.tile(error, len(groups))[held]
        return judge_ages(before, after.ravel()[held], cells[held], people=people)

    return Head(
        name="age",
        methods=AGE_METHODS,
        by_group=AGE_METHODS,
        kinds=kinds,
        counts=counts,
        fit=fit,
        enough=enough,
        value=value,
        judge=judge,
        over=_nothing,
    )


def interval_head(tally: Tally, kinds: Mapping[str, Kind]) -> Head:
    """Age intervals: cells are bins of how far the true age lies outside, below 0 inside."""
    stated = bool(tally.misses["iv"].any())  # then rows without an interval have no part in it
    frame = tally.misses
    if stated and not frame["iv"].all():
        frame = frame[frame["iv"] == 1]
    bins, place = np.unique(frame["bin"].to_numpy(np.int64), return_inverse=True)
    misses = bins / MISSES_A_YEAR
    counts = counted(frame, kinds, place, (len(bins),))
    widths = _widths(tally, kinds)

    def people(kind: Kind, g: int) -> float:
        return float(counts[kind.name][g, FIT].sum() * kind.people[g])

    def fit(_method: str, kind: Kind, g: int) -> Numbers:
        return {"widen": widening(counts[kind.name][g, FIT], misses, people(kind, g))}

    def judge(kind: Kind, groups: NDArray[np.int64], by: Floats, behind: float) -> list[Change]:
        cells = counts[kind.name][groups, JUDGE].ravel()
        width = None
        if stated:
            total, n = widths[kind.name][groups].sum(axis=0)
            width = total / n
        return judge_intervals(
            cells, np.tile(misses, len(groups)), by.ravel(), people=behind, width=width
        )

    def over(kind: Kind, by: Floats) -> list[Change]:
        cells = counts[kind.name][:, JUDGE]
        behind = cells.sum(axis=1) * kind.people
        seen = behind > 0
        return [judge_gap(cells[seen], misses, by[seen, 0], people=behind[seen], stated=stated)]

    return Head(
        name="interval",
        methods=("conformal",),
        by_group=("mondrian",),
        kinds=kinds,
        counts=counts,
        fit=fit,
        enough=lambda kind, g: people(kind, g) >= FEWEST,
        value=lambda numbers: np.full(len(bins), numbers["widen"]),
        judge=judge,
        over=over,
    )


def _widths(tally: Tally, kinds: Mapping[str, Kind]) -> dict[str, Floats]:
    """Sum of interval widths in years, and intervals, of every group in the judging half."""
    cells = tally.predicted
    judging = (cells["shard"].to_numpy() >= SHARDS // 2) & (cells["iv_n"].to_numpy() > 0)
    sums = [cells[c].to_numpy(np.float64)[judging] for c in ("iv_width", "iv_n")]
    widths = {}
    for name, kind in kinds.items():
        codes = kind.codes(cells)[judging]
        width, n = (added(codes, values, len(kind.groups)) for values in sums)
        widths[name] = np.stack([width / 100, n], axis=1)
    return widths


def _nothing(_kind: Kind, _value: Floats) -> list[Change]:
    return []
