"""Weak subgroups: the lattice counted a second time, scipy's Welch test, planted slices."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from audit.slices import Cells, confirm, lattice, nominate, weak_slices, welch

SIZES = (4, 2, 5)
SHARDS = 1000


def cells_of(codes, error, shard, *, sizes=SIZES, shards=SHARDS):
    error = np.asarray(error, dtype=float)
    return Cells(codes, sizes, shard, shards, np.ones(len(error)), error, error**2)


def some_faces(seed, *, n=6000, planted=None, more=1.5):
    """Codes and |t4| errors; faces at the levels `planted` (feature -> level) have `more` error."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, k, n) for k in SIZES], axis=1)
    weak = np.zeros(n, bool) if planted is None else np.ones(n, bool)
    for feature, level in (planted or {}).items():
        weak &= codes[:, feature] == level
    error = np.abs(rng.standard_t(4, n)) * 5 * np.where(weak, more, 1.0)
    return cells_of(codes, error, rng.integers(0, SHARDS, n))


def test_the_lattice_holds_every_slice_of_one_to_three_features_once():
    cells = some_faces(0, n=400)
    found = lattice(cells)
    assert len(set(found.levels)) == len(found.levels)
    frame = pd.DataFrame(cells.codes).assign(half=cells.shard % 2, n=1, x=cells.x, xx=cells.xx)
    expected = 0
    for parts in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        for levels, rows in frame.groupby(list(parts)):
            i = found.levels.index(tuple(zip(parts, map(int, np.atleast_1d(levels)), strict=True)))
            for half in (0, 1):
                sums = rows.loc[rows["half"] == half, ["n", "x", "xx"]].sum()
                np.testing.assert_allclose(found.sums[:, i, half], sums)
            expected += 1
    assert len(found.levels) == expected
    assert max(map(len, lattice(cells, levels=2).levels)) == 2


def test_welchs_t_agrees_with_scipy():
    rng = np.random.default_rng(1)
    a, b = rng.gamma(2, 3, 40), rng.gamma(2, 2, 300)
    sums = [np.array([[len(v)], [v.sum()], [(v**2).sum()]]) for v in (a, b)]
    assert welch(*sums)[0] == pytest.approx(stats.ttest_ind(a, b, equal_var=False).statistic)
    single = np.array([[1.0], [3.0], [9.0]])
    assert welch(single, sums[1])[0] == -np.inf


def test_confirmation_is_welchs_test_on_the_half_that_nominated_nothing():
    rng = np.random.default_rng(2)
    n = 600
    codes = np.stack([rng.integers(0, k, n) for k in SIZES], axis=1)
    error = rng.gamma(2, 2, n) + (codes[:, 0] == 1)
    shard = rng.permutation(n)  # every face in a shard of its own
    [found] = confirm(cells_of(codes, error, shard, shards=n), [((0, 1),)])
    odd, inside = shard % 2 == 1, codes[:, 0] == 1
    a, b = error[odd & inside], error[odd & ~inside]
    judge = stats.ttest_ind(a, b, equal_var=False, alternative="greater")
    assert found.p_value == pytest.approx(judge.pvalue)
    assert found.difference == pytest.approx(a.mean() - b.mean())
    both = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx((both.low, both.high))
    assert (found.n, found.n_confirm) == (inside.sum(), (odd & inside).sum())


def test_what_happens_in_one_half_alone_is_nominated_and_not_confirmed():
    cells = some_faces(3)
    even = (cells.shard % 2 == 0) & (cells.codes[:, 0] == 2)
    error = np.where(even, cells.x * 2, cells.x)
    [tested] = weak_slices([cells_of(cells.codes, error, cells.shard)])
    p = {s.levels: p for s, p in tested}
    assert ((0, 2),) in p
    assert all(value > 0.01 for value in p.values())


def test_a_planted_slice_of_two_features_is_confirmed_and_its_children_are_not_listed():
    found = []
    for seed in range(12):
        [tested] = weak_slices([some_faces(seed, planted={0: 1, 2: 3}, more=1.6)])
        confirmed = [s.levels for s, p in tested if p < 0.01]
        found.append(((0, 1), (2, 3)) in confirmed)
        assert ((0, 1), (1, 0), (2, 3)) not in confirmed
        assert ((0, 1), (1, 1), (2, 3)) not in confirmed
    assert np.mean(found) >= 0.8


def test_a_weak_feature_level_is_told_once_and_not_through_its_crossings():
    cells = some_faces(5, planted={0: 1}, more=1.6)
    found = lattice(cells)
    chosen = [found.levels[i] for i in nominate(found)]
    assert chosen[0] == ((0, 1),)
    assert sum(((0, 1) in levels) for levels in chosen) <= 3  # of 17 that hold it


def test_without_a_weak_slice_none_is_confirmed():
    wrong = sum(
        any(p < 0.01 for _, p in weak_slices([some_faces(seed, n=3000)])[0]) for seed in range(60)
    )
    assert wrong <= 3  # .01 of 60 is .6: more than 3 has a chance below .01


def test_metrics_share_one_correction_and_constant_ones_are_never_weak():
    cells = some_faces(6)
    same = cells_of(cells.codes, np.ones(len(cells.shard)), cells.shard)
    alone, nothing = weak_slices([cells])[0], weak_slices([same])[0]
    twice = weak_slices([cells, cells])
    assert nothing == []
    for (_, p), (_, q) in zip(alone, twice[0], strict=True):
        assert p <= q <= min(1, 2 * p) + 1e-12


def test_small_slices_are_not_looked_at():
    cells = some_faces(7, n=300)
    found = lattice(cells)
    assert all(found.sums[0, i].min() >= 15 for i in nominate(found))


@pytest.mark.parametrize(
    ("even", "odd", "looked_at"), [(15, 15, True), (14, 40, False), (40, 14, False)]
)
@pytest.mark.parametrize("weak", [0, 1])
def test_a_slice_needs_fifteen_rows_in_either_half_and_as_many_beside_it(
    weak, even, odd, looked_at
):
    """The few are of level 0: weak themselves, or all that is beside the weak."""
    halves = np.repeat([0, 1, 0, 1], [even, odd, 200, 200])
    codes = np.repeat([[0, 0], [1, 0]], [even + odd, 400], axis=0)
    error = np.where(codes[:, 0] == weak, 9.0, 1.0)
    error += np.random.default_rng(0).random(len(error))
    found = lattice(cells_of(codes, error, halves + 2 * np.arange(len(halves)) % 400, sizes=(2, 1)))
    assert [found.levels[i] for i in nominate(found)] == ([((0, weak),)] if looked_at else [])


def test_a_nominated_crossing_is_clearly_worse_than_what_each_parent_holds_beside_it():
    crossings = 0
    for seed in range(12):
        cells = some_faces(seed, n=3000)
        cells = cells_of(cells.codes, np.random.default_rng(seed).random(3000), cells.shard)
        found, even = lattice(cells), cells.shard % 2 == 0
        for i in nominate(found):
            levels = found.levels[i]
            inside = even & np.all([cells.codes[:, f] == v for f, v in levels], axis=0)
            for left_out in levels if len(levels) > 1 else ():
                kept = [pair for pair in levels if pair != left_out]
                parent = even & np.all([cells.codes[:, f] == v for f, v in kept], axis=0)
                beside = cells.x[parent & ~inside]
                assert stats.ttest_ind(cells.x[inside], beside, equal_var=False).statistic > 2
                crossings += 1
    assert crossings > 5


def test_adjusted_p_is_holms_of_statsmodels_over_the_slices_of_all_metrics():
    tested = weak_slices([some_faces(8, planted={0: 1}), some_faces(9)])
    together = [pair for slices in tested for pair in slices]
    judge = multipletests([s.p_value for s, _ in together], method="holm")[1]
    np.testing.assert_allclose([p for _, p in together], judge)


def test_where_neither_side_varies_p_is_one_in_all_choices_of_as_many_people():
    shard = np.arange(8) * 2 + 1
    codes = np.array([[0, 0]] * 3 + [[1, 0]] * 5)
    failed = cells_of(codes, codes[:, 0] == 0, shard, sizes=(2, 1))
    weak, strong = confirm(failed, [((0, 0),), ((0, 1),)])
    assert weak.p_value == pytest.approx(1 / 56)
    assert strong.p_value == 1


def test_a_slice_of_which_all_fail_is_the_weakest():
    """Neither side varies: t is infinite, and no other choice of people differs as much."""
    rng = np.random.default_rng(5)
    codes = np.stack([rng.integers(0, k, 2000) for k in SIZES], axis=1)
    failed = ((codes[:, 0] == 1) & (codes[:, 1] == 0)).astype(float)
    cells = cells_of(codes, failed, rng.integers(0, SHARDS, 2000))
    [slices] = weak_slices([cells])
    first, p = slices[0]
    assert first.levels == ((0, 1), (1, 0))
    assert (first.value, first.complement_value) == (1.0, 0.0)
    assert (first.low, first.high) == (1.0, 1.0)
    assert p < 1e-30
    none_fails = cells_of(codes, np.zeros(2000), cells.shard)
    assert weak_slices([none_fails]) == [[]]


def test_of_a_slice_of_one_person_nothing_is_known():
    """One person's rows fill one shard, whose spread nobody knows."""
    codes = np.zeros((400, 2), dtype=int)
    codes[:60, 0] = 1
    shard = np.concatenate([np.full(30, 1), np.full(30, 2), np.arange(340) + 3])
    error = np.where(codes[:, 0] == 1, 9.0, 1.0) + np.random.default_rng(0).random(400)
    cells = cells_of(codes, error, shard, sizes=(2, 1))
    [found] = confirm(cells, [((0, 1),)])
    assert found.difference > 5
    assert found.p_value == 1


def test_nearly_all_faces_are_no_weak_slice_beside_a_few_who_never_fail():
    rng = np.random.default_rng(3)
    rare = np.arange(4000) % 80 < 2  # a hundred people, half of them in either half
    wrong = ((rng.random(4000) < 0.03) & ~rare).astype(float)
    cells = Cells(
        codes=rare[:, None].astype(np.int64),
        sizes=(2,),
        shard=np.arange(4000) % 1000,
        shards=1000,
        n=np.ones(4000),
        x=wrong,
        xx=wrong,
    )
    (found,) = confirm(cells, [((0, 0),)])
    assert found.p_value > 0.05
    assert found.low < 0 < found.difference


def test_a_slice_of_which_a_few_own_most_photos_is_less_sure_than_its_people_are_many():
    """Of 40 people in the slice the first has 60 photos, the next 30, the next 20."""
    photos = np.concatenate([np.maximum(60 // np.arange(1, 41), 1), np.ones(400, int)])
    person = np.repeat(np.arange(440), photos)
    error = np.random.default_rng(1).random(440)[person] + (person < 40)
    cells = cells_of((person >= 40)[:, None] * 1, error, 2 * person + 1, sizes=(2,), shards=1000)
    of_photos, of_people = (
        confirm(replace(cells, people_given=given), [((0, 0),)])[0] for given in (True, False)
    )
    assert of_photos.difference == of_people.difference
    assert of_photos.p_value > 10 * of_people.p_value
    assert of_photos.high - of_photos.low > 1.2 * (of_people.high - of_people.low)
