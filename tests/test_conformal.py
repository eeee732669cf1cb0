"""Conformal intervals: crepes and simulated people are the judges."""

import math

import crepes
import numpy as np
import pytest

from audit.conformal import widened, widening

# A hair below .9: crepes floors (1 - .9)(n + 1) in floating point, one rank off where 10 divides
# it.
CONFIDENCE = 0.9 - 1e-12


def counted(misses):
    at = np.unique(misses)
    return np.array([np.sum(misses == m) for m in at], dtype=float), at


@pytest.mark.parametrize("n", [100, 109, 110, 999, 5000])
def test_the_widening_is_the_half_width_of_crepes(n):
    rng = np.random.default_rng(n)
    misses = np.ceil(np.abs(rng.normal(0, 7, n)) * 10) / 10
    judge = crepes.ConformalRegressor().fit(misses)
    interval = judge.predict_int(np.array([0.0]), confidence=CONFIDENCE)
    assert widening(*counted(misses), n) == pytest.approx(interval[0, 1])


def test_by_groups_it_is_the_mondrian_half_width_of_crepes():
    rng = np.random.default_rng(0)
    group = rng.choice(4, 2000, p=[0.4, 0.3, 0.2, 0.1])
    misses = np.ceil(np.abs(rng.normal(0, 1 + 3 * group)) * 10) / 10
    judge = crepes.ConformalRegressor().fit(misses, bins=group)
    theirs = judge.predict_int(np.zeros(4), bins=np.arange(4), confidence=CONFIDENCE)[:, 1]
    mine = [widening(*counted(misses[group == g]), np.sum(group == g)) for g in range(4)]
    np.testing.assert_allclose(mine, theirs)


def test_by_groups_nine_in_ten_are_held_in_each_where_one_widening_serves_few():
    noise = np.array([2.0, 4.0, 7.0, 14.0])
    rng = np.random.default_rng(4)
    one, each = np.zeros(4), np.zeros(4)
    rounds, n, fresh = 60, 400, 2000
    for _ in range(rounds):
        misses = [np.ceil(np.abs(rng.normal(0, s, n)) * 10) / 10 for s in noise]
        pooled = widening(*counted(np.concatenate(misses)), 4 * n)
        own = np.array([widening(*counted(m), n) for m in misses])
        new = np.abs(rng.normal(0, noise[:, None], (4, fresh)))
        one += (new <= pooled).mean(axis=1) / rounds
        each += (new <= own[:, None]).mean(axis=1) / rounds
    np.testing.assert_allclose(each, 0.9, atol=0.02)
    assert one[0] > 0.98
    assert one[-1] < 0.7
    assert one.mean() == pytest.approx(0.9, abs=0.02)


def test_photos_that_repeat_change_no_widening():
    counts, at = counted(np.ceil(np.abs(np.random.default_rng(1).normal(0, 5, 333)) * 10) / 10)
    assert widening(4 * counts, at, 333) == widening(counts, at, 333)


@pytest.mark.parametrize(("people", "enough"), [(0, False), (8.4, False), (8.6, True), (9, True)])
def test_too_few_people_for_the_rank_have_no_widening(people, enough):
    got = widening(np.ones(9), np.arange(9) / 10, people)
    assert math.isfinite(got) == enough
    if enough:
        assert got == 0.8


def test_the_rank_of_a_level_is_a_whole_number_where_rounding_makes_it_a_hair_more():
    assert 100 * 0.55 > 55
    assert widening(np.ones(99), np.arange(1.0, 100), 99, level=0.55) == 55


def test_intervals_too_wide_become_narrower_and_never_cross():
    low, high = widened(np.array([10.0, 10.0]), np.array([20.0, 12.0]), np.array([-2.0, -2.0]))
    assert low.tolist() == [12, 11]
    assert high.tolist() == [18, 11]
