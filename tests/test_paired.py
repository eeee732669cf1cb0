"""Paired changes and harm, judged by textbook tests and by laws."""

import numpy as np
import pytest
from scipy import stats

from audit.paired import Loss, Split, change, gap, harm, level
from audit.resample import replicate

N = 600


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def split_of(codes, *, people=None, given=False):
    codes = np.asarray(codes, dtype=np.int64)
    people = np.arange(len(codes)) if people is None else people
    return Split(codes, people % 1000, people, int(codes.max()) + 1, given)


def loss_of(*readings, scale=100.0, share=False, signed=False):
    values = np.stack(readings).astype(float)
    return Loss(values, np.ones(values.shape[1], dtype=bool), scale, share, signed)


def test_a_change_and_its_interval_are_those_of_the_paired_t_test(rng):
    clean, dark = rng.integers(0, 900, N), rng.integers(100, 1500, N)
    value, low, high = change(loss_of(clean, dark), split_of(np.zeros(N)), 1)
    judge = stats.ttest_rel(dark / 100, clean / 100).confidence_interval(0.95)
    assert value[0] == pytest.approx((dark - clean).mean() / 100)
    assert (low[0], high[0]) == pytest.approx((judge.low, judge.high))


def test_a_level_and_its_interval_are_those_of_one_reading_alone(rng):
    clean, dark = rng.integers(0, 900, N), rng.integers(100, 1500, N)
    value, low, high = level(loss_of(clean, dark, signed=True), split_of(np.zeros(N)), 1)
    judge = stats.ttest_1samp(dark / 100, 0).confidence_interval(0.95)
    assert value[0] == pytest.approx(dark.mean() / 100)
    assert (low[0], high[0]) == pytest.approx((judge.low, judge.high))


def test_harm_is_the_difference_of_differences_with_welchs_error(rng):
    codes = rng.integers(0, 3, N)
    clean, dark = rng.integers(0, 900, N), rng.integers(100, 1500, N) + 300 * (codes == 1)
    loss, split = loss_of(clean, dark), split_of(codes)
    record = harm(loss, split, [1], np.ones(3, dtype=bool))
    d = (dark - clean) / 100
    (answer,) = replicate([record])
    for g in range(3):
        own, rest = d[codes == g], d[codes != g]
        assert record.difference[g] == pytest.approx(own.mean() - rest.mean())
        welch = np.hypot(stats.sem(own), stats.sem(rest))
        assert answer.se[g] == pytest.approx(welch, rel=0.01)
    assert answer.p_value < 0.001
    low, high = answer.interval(0.05)
    assert low[1] < 3 * (1 - 0) < high[1] + 1  # planted: 3 years on the group's own side
    assert low[1] > 0


def test_pairing_narrows_a_change_to_what_the_pictures_did(rng):
    own = rng.integers(0, 3000, N)
    dark = own + rng.integers(150, 250, N)
    loss, split = loss_of(own, dark), split_of(rng.integers(0, 2, N))
    paired = change(loss, split, 1)
    alone = level(loss, split, 1)
    assert ((paired[2] - paired[1]) < 0.1 * (alone[2] - alone[1])).all()


def test_a_group_that_is_read_worse_and_loses_no_more_has_a_gap_and_no_harm(rng):
    codes = rng.integers(0, 2, N)
    clean = rng.integers(0, 500, N) + 700 * codes
    loss, split = loss_of(clean, clean + 250), split_of(codes)
    assert gap(loss, split, 0)[1][1] > 6
    assert gap(loss, split, 1)[0] == pytest.approx(gap(loss, split, 0)[0])
    assert harm(loss, split, [1], np.ones(2, dtype=bool)).difference == pytest.approx(
        [0, 0], abs=1e-9
    )


def test_doubling_every_photo_under_its_person_changes_no_interval(rng):
    codes, twice = rng.integers(0, 2, N), np.tile(np.arange(N), 2)
    clean, dark = rng.integers(0, 900, N), rng.integers(0, 1500, N)
    right, wrong = rng.random(N) < 0.9, rng.random(N) < 0.7
    for readings, share in (((clean, dark), False), ((right, wrong), True)):
        one = loss_of(*readings, share=share, scale=1.0)
        two = loss_of(*(np.tile(r, 2) for r in readings), share=share, scale=1.0)
        alone = split_of(codes, people=np.arange(N), given=True)
        doubled = split_of(np.tile(codes, 2), people=twice, given=True)
        for figure in (level, change, gap):
            pairs = zip(figure(two, doubled, 1), figure(one, alone, 1), strict=True)
            for found, wanted in pairs:
                assert found == pytest.approx(wanted, rel=2e-3)


def test_a_share_that_nobody_changed_is_not_known_without_error():
    right = np.arange(80) % 10 > 0
    value, low, high = change(
        loss_of(right, right, scale=1.0, share=True), split_of(np.zeros(80)), 1
    )
    assert value[0] == 0
    assert low[0] < -0.01
    assert high[0] > 0.01


def test_the_error_of_paired_shares_is_agresti_and_mins():
    """Judge: their adjusted Wald interval, half an observation added to each cell of the table."""
    before, after = (
        np.repeat([1, 1, 0, 0], [50, 20, 4, 26]),
        np.repeat([1, 0, 1, 0], [50, 20, 4, 26]),
    )
    value, low, high = change(
        loss_of(before, after, scale=1.0, share=True), split_of(np.zeros(100)), 1
    )
    b, c, n = 4.5, 20.5, 102
    half = stats.t.ppf(0.975, 99) * np.sqrt(b + c - (b - c) ** 2 / n) / n
    assert value[0] == pytest.approx(-0.16)
    assert (high[0] - low[0]) / 2 == pytest.approx(half, rel=0.02)
