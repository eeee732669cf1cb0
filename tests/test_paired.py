"""Paired changes and harm, judged by textbook tests and by laws."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

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


def test_a_level_that_cannot_be_negative_has_its_interval_on_the_logarithm(rng):
    read = rng.exponential(500, 20).round()
    value, low, high = level(loss_of(read), split_of(np.zeros(20)), 0)
    factor = np.exp(stats.t.ppf(0.975, 19) * stats.sem(read) / read.mean())
    assert (low[0], high[0]) == pytest.approx((value[0] / factor, value[0] * factor))


def test_without_people_every_face_counts_in_a_share_though_some_meet_in_a_shard():
    right = np.arange(3000) % 1000 > 300  # the faces of a shard agree: that is chance
    _, low, high = level(loss_of(right, scale=1.0, share=True), split_of(np.zeros(3000)), 0)
    judge = proportion_confint(right.sum(), 3000, method="wilson")
    assert (low[0], high[0]) == pytest.approx(judge)


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


def test_a_gap_and_its_interval_are_those_of_two_means(rng):
    codes = rng.integers(0, 3, N)
    read = rng.integers(0, 900, N) + 200 * codes
    value, low, high = gap(loss_of(read), split_of(codes), 0)
    for g in range(3):
        own, rest = read[codes == g] / 100, read[codes != g] / 100
        welch = np.hypot(stats.sem(own), stats.sem(rest))
        half = stats.t.ppf(0.975, len(own) - 1) * welch
        assert value[g] == pytest.approx(own.mean() - rest.mean())
        assert ((high - low) / 2)[g] == pytest.approx(half, rel=0.01)


def test_the_rest_of_a_compared_group_holds_those_that_are_not_compared(rng):
    codes = rng.integers(0, 3, N)
    clean, dark = rng.integers(0, 900, N), rng.integers(100, 1500, N) + 500 * (codes == 2)
    record = harm(loss_of(clean, dark), split_of(codes), [1], np.array([True, True, False]))
    d = (dark - clean) / 100
    for g in range(2):
        expected = d[codes == g].mean() - d[codes != g].mean()
        assert record.difference[g] == pytest.approx(expected)


def test_a_face_without_a_value_in_one_reading_counts_in_none(rng):
    clean, dark = rng.integers(0, 900, N).astype(float), rng.integers(100, 1500, N).astype(float)
    valid = rng.random(N) < 0.7
    dark[~valid] = np.nan
    some = Loss(np.stack([clean, dark]), valid, 100.0, share=False)
    kept = loss_of(clean[valid], dark[valid])
    few = Split(np.zeros(N, dtype=np.int64), np.arange(N), np.arange(N), 1, people_given=False)
    for figure in (level, change):
        found = np.ravel(figure(some, few, 1))
        assert found == pytest.approx(np.ravel(figure(kept, split_of(np.zeros(valid.sum())), 1)))


def test_harm_of_shares_that_nobody_lost_has_the_error_of_half_a_face_each_way():
    """Judge: Agresti & Min's error of either side, the two added as independent."""
    codes = np.repeat([0, 1], [60, 200])
    before = np.arange(260) % 10 > 0
    after = before & (np.arange(260) < 240)  # 18 of the second group are lost
    record = harm(
        loss_of(before, after, scale=1.0, share=True), split_of(codes), [1], np.ones(2, dtype=bool)
    )
    own, rest = (
        np.sqrt(b + c - (b - c) ** 2 / n) / n for b, c, n in ((0.5, 0.5, 62), (0.5, 18.5, 202))
    )
    assert record.least_se == pytest.approx([np.hypot(own, rest)] * 2)


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
    # The spread that was seen is a little wider than theirs here, and is not taken to be less.
    plain = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert (low[0], high[0]) == pytest.approx((plain.low, plain.high))
