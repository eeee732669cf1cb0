"""What replicates say, counted by hand; standard errors and replicates of few rows, by scipy."""

import numpy as np
import pytest
from scipy import stats

from audit.resample import MANY, MORE, MOST, Linear, Ratios, Replicates, replicate, weights

NONE = np.zeros((0, 0), np.float32)
COUNTED = np.arange(1.0, 1000.0)  # 999 replicates, so that a rank is a thousandth


def said(difference, t_high, t_low, *, se=1.0):
    d = np.asarray(difference, dtype=float)
    ends = np.sort(t_high), np.sort(t_low)
    return Replicates(d, np.full(len(d), se), *ends, NONE, NONE, np.zeros(len(d)))


@pytest.mark.parametrize(
    ("difference", "p"),
    [
        ([990.0, -1.0], 2 * 11 / 1000),  # ten of the largest t reach it
        ([1.0, -1980.0], 2 * 11 / 1000),  # ten of the smallest, twice as far out, reach it
        ([1000.0, 1.0], 2 / 1000),
        ([1.0, -1999.0], 2 / 1000),
        ([2.0, 1.0], 1.0),
    ],
)
def test_p_is_twice_the_smaller_tail_with_the_sample_itself_among_the_replicates(difference, p):
    assert said(difference, COUNTED, -2 * COUNTED).p_value == pytest.approx(p)


@pytest.mark.parametrize("alpha", [0.05, 0.0509])
def test_an_interval_has_the_quantile_of_the_other_end_and_rounds_to_the_wider_one(alpha):
    lean = said([7.0], COUNTED, -2 * COUNTED, se=0.5)
    assert np.ravel(lean.interval(alpha)).tolist() == [7 - 975 / 2, 7 + 1950 / 2]
    assert lean.critical(alpha) == 1950
    assert said([7.0], 3 * COUNTED, -COUNTED).critical(alpha) == 3 * 975


@pytest.mark.parametrize("groups", [1, 3])
def test_beyond_all_replicates_p_is_that_of_the_normal_tail_on_either_side(groups):
    share = np.arange(1, MORE + 1) / (MORE + 1)
    largest = stats.norm.ppf(share ** (1 / groups))
    rest = [0.0] * (groups - 1)
    exact = 2 * groups * stats.norm.sf(6)
    assert said([6.0, *rest], largest, -2 * largest).p_value == pytest.approx(exact, rel=0.01)
    assert said([-12.0, *rest], largest, -2 * largest).p_value == pytest.approx(exact, rel=0.01)


def rows_alone(sizes, *, seed, shards):
    """Sums [group, shard] of rows of which no two of a group share a shard, and the rows."""
    rng = np.random.default_rng(seed)
    rows = [rng.exponential(300, n).round() for n in sizes]
    top, bottom = np.zeros((2, len(sizes), shards))
    for g, values in enumerate(rows):
        place = rng.permutation(shards)[: len(values)]
        top[g, place], bottom[g, place] = values, 1
    return top, bottom, rows


def test_t_of_people_alone_is_welchs():
    top, bottom, (a, b) = rows_alone((12, 40), seed=1, shards=200)
    [found] = replicate([Ratios(top, bottom, np.ones(2, bool))])
    judge = stats.ttest_ind(a, b, equal_var=False).statistic
    np.testing.assert_allclose(found.t, [judge, -judge])
    np.testing.assert_allclose(found.value_se, [stats.sem(a), stats.sem(b)])


def test_a_given_difference_is_replicated_as_the_t_of_the_shards_drawn(monkeypatch):
    monkeypatch.setattr("audit.resample.LOOK_AGAIN", 0)
    x = np.random.default_rng(2).exponential(1, 20)
    influence = (x - x.mean())[None] / len(x)
    plain, held = replicate(
        [Linear(x.mean()[None], influence), Linear(x.mean()[None], influence, 9.0)], seed=3
    )
    assert plain.se[0] == pytest.approx(stats.sem(x))
    assert held.se.tolist() == [9.0]
    drawn = [np.repeat(x, w.astype(int)) for w in weights(0, shards=20, seed=3)]
    naive = [(d.mean() - x.mean()) / stats.sem(d, ddof=0) for d in drawn]
    np.testing.assert_allclose(plain.t_high, np.sort(naive), rtol=2e-3, atol=2e-3)


def test_more_tests_than_many_are_given_more_replicates_for_either_tail():
    top, bottom, _ = rows_alone((30, 30), seed=4, shards=40)
    quiet = Ratios(top, bottom, np.ones(2, bool))
    planted = Ratios(top * np.array([[3.0], [1.0]]), bottom, np.ones(2, bool))
    for others, replicates in ((MANY - 1, MORE), (MANY, MOST)):
        found = replicate([*[quiet] * others, planted])[-1]
        assert len(found.t_high) == len(found.t_low) == replicates
        np.testing.assert_allclose(found.t_high, np.sort(-found.t_low), rtol=1e-3, atol=1e-3)


def test_a_replicate_that_lacks_a_group_reaches_every_t_on_both_sides(monkeypatch):
    monkeypatch.setattr("audit.resample.LOOK_AGAIN", 0)
    top, bottom, _ = rows_alone((3, 18), seed=5, shards=20)
    [found] = replicate([Ratios(top, bottom, np.ones(2, bool))], seed=6)
    lacking = (weights(0, shards=20, seed=6)[:, bottom[0] > 0].sum(axis=1) == 0).sum()
    assert lacking > 10
    assert np.isposinf(found.t_high).sum() >= lacking
    assert np.isneginf(found.t_low).sum() >= lacking
    assert not np.isneginf(found.t_high).any()


def test_groups_without_spread_that_differ_have_the_least_p_that_replicates_allow():
    _, bottom, _ = rows_alone((30, 30), seed=7, shards=40)
    [found] = replicate([Ratios(bottom * [[300.0], [500.0]], bottom, np.ones(2, bool))])
    assert found.p_value == pytest.approx(2 / (MORE + 1))
    assert np.ravel(found.interval(0.05)).tolist() == [-200, 200, -200, 200]


def test_one_face_whose_person_repeats_widens_no_other_group():
    rng = np.random.default_rng(8)
    bottom = np.ones((3, 100))
    bottom[2] = np.arange(100) == 0
    top = bottom * (rng.random((3, 100)) < 0.6)
    both = np.array([True, True, False])
    one, many = (
        replicate([Ratios(top, bottom, both, "share", 1.0, np.array([1.0, 1.0, d]))])[0]
        for d in (1.0, 50.0)
    )
    np.testing.assert_allclose(many.se, one.se, rtol=0.1)
