"""Intervals against independent judges, and against the truth they should hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.proportion import proportion_confint

from audit.intervals import (
    around,
    clustered_se,
    delong,
    effective,
    freedom,
    paule_mandel,
    quantile,
    quantile_interval,
    shrunken,
    student,
    student_above_zero,
    wilson,
)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (97, 100), (1, 4000)])
def test_wilson_is_that_of_statsmodels(hits, n):
    low, high = wilson(np.array([hits / n]), np.array([float(n)]))
    assert (low[0], high[0]) == pytest.approx(proportion_confint(hits, n, method="wilson"))


def test_a_share_of_nothing_has_no_interval():
    assert np.isnan(wilson(np.array([np.nan]), np.array([0.0]))).all()


@pytest.mark.parametrize(("end", "beyond"), [(0.0, -0.2), (1.0, 1.2)])
def test_no_interval_of_a_share_leaves_0_to_1_nor_does_a_share_that_rounding_moved_out(end, beyond):
    n = np.arange(1.0, 3000)
    low, high = wilson(np.full(len(n), end), n)
    assert low.min() >= 0
    assert high.max() <= 1
    np.testing.assert_array_equal(wilson(np.full(len(n), beyond), n), (low, high))


@pytest.mark.parametrize(("people", "known"), [(30, 29), (50_000, 999), (1, 1)])
def test_degrees_of_freedom_are_those_of_people_and_no_more_than_shards_tell_apart(people, known):
    assert freedom(np.array([float(people)])) == [known]
    ends = student(np.zeros(1), np.ones(1), np.array([known]))
    assert np.ravel(ends) == pytest.approx(stats.t.ppf([0.025, 0.975], known))


@given(st.lists(st.integers(0, 40), min_size=3, max_size=30), st.integers(1, 5))
@settings(max_examples=60)
def test_uneven_photos_leave_satterthwaites_degrees_of_freedom(photos, times):
    rows = np.array(photos, dtype=np.float64)
    known = freedom(np.array([30.0]), times * rows[None])[0]
    a = rows[rows > 0]
    if len(a) < 2:
        assert known == 1
        return
    centre = np.eye(len(a)) - np.outer(a / a.sum(), np.ones(len(a)))
    of_residuals = centre @ np.diag(a**2) @ centre.T
    judge = np.trace(of_residuals) ** 2 / np.trace(of_residuals @ of_residuals)
    assert known == pytest.approx(np.clip(judge, 1, 29))


def test_even_photos_leave_the_people_less_one():
    assert freedom(np.array([40.0]), np.full((1, 40), 5.0))[0] == pytest.approx(39)


def test_intervals_hold_where_a_few_people_own_most_photos():
    """Of 100 people the first has 200 photos, the second 100, the third 66; errors go together."""
    rng = np.random.default_rng(8)
    photos = np.maximum(200 // np.arange(1, 101), 1)
    person, rows, people = np.repeat(np.arange(100), photos), photos[None] * 1.0, np.array([100.0])
    held = dict.fromkeys(("mean", "mean, people counted", "share"), 0)
    for _ in range(400):
        error = np.abs(rng.normal(size=100)[person] + rng.normal(size=len(person)))
        top = np.bincount(person, error)[None]
        mean, se = error.mean(), clustered_se(top, rows)
        for name, known in (
            ("mean", freedom(people, rows)),
            ("mean, people counted", freedom(people)),
        ):
            low, high = student_above_zero(np.array([mean]), se, known)
            held[name] += int(low[0] <= 2 / np.sqrt(np.pi) <= high[0])
        right = rng.random(len(person)) < rng.beta(9, 1, 100)[person]
        p = np.array([right.mean()])
        n = effective(np.bincount(person, right)[None], rows, p * (1 - p), people)
        low, high = wilson(p, n)
        held["share"] += int(low[0] <= 0.9 <= high[0])
    assert held["mean, people counted"] < 0.9 * 400
    assert min(held["mean"], held["share"]) >= 0.95 * 400


def test_one_row_a_shard_gives_the_standard_error_of_the_mean():
    x = np.random.default_rng(0).gamma(2, 3, 200)
    se = clustered_se(x[None], np.ones((1, 200)))
    assert se[0] == pytest.approx(stats.sem(x))
    low, high = student(np.array([x.mean()]), se, np.array([199.0]))
    judge = stats.t.interval(0.95, 199, x.mean(), stats.sem(x))
    assert (low[0], high[0]) == pytest.approx(judge)


@given(st.integers(2, 9), st.integers(0, 99))
@settings(max_examples=30)
def test_repeating_every_row_in_its_shard_changes_no_standard_error(times, seed):
    rng = np.random.default_rng(seed)
    bottom = rng.integers(0, 4, (3, 50)).astype(float)
    top = rng.normal(size=(3, 50)) * bottom
    np.testing.assert_allclose(clustered_se(times * top, times * bottom), clustered_se(top, bottom))


def test_the_rows_of_one_person_have_no_standard_error():
    bottom = np.zeros((1, 50))
    bottom[0, 7] = 5
    assert np.isnan(clustered_se(3 * bottom, bottom)).all()


def test_effective_rows_are_the_rows_when_each_is_a_person():
    hit = (np.random.default_rng(1).random(80) < 0.3).astype(float)
    p = hit.mean()
    n = effective(hit[None], np.ones((1, 80)), np.array([p * (1 - p)]), np.array([80.0]))
    assert n[0] == pytest.approx(80)


def test_five_equal_photos_of_a_person_count_once():
    hit = (np.random.default_rng(1).random(80) < 0.3).astype(float)
    p = hit.mean()
    five = effective(
        5 * hit[None], np.full((1, 80), 5.0), np.array([p * (1 - p)]), np.array([80.0])
    )
    assert five[0] == pytest.approx(80)


def test_a_groups_rows_are_worth_no_more_than_those_of_all_groups_together():
    """The second group's people agree by chance: its own design effect of 0 is not believed."""
    top = np.stack([np.arange(40) % 2 * 5.0, np.full(40, 2.0)])
    bottom = np.full((2, 40), 5.0)
    n = effective(top, bottom, np.array([0.5 * 0.5, 0.4 * 0.6]), np.array([40.0, 40.0]))
    between = 40 * (5 * 0.5) ** 2  # of the first group's people; none in the second
    assert n == pytest.approx([40, 200 * (200 * 0.25 + 200 * 0.24) / between])


@pytest.mark.parametrize("rows", [3.0, 7.0, 49.0, 1000.0])
@pytest.mark.parametrize("hits", [1.0, 2.0, 3.0])
def test_people_stand_in_where_nothing_varies_between_them(hits, rows):
    variance = np.array([hits / rows * (1 - hits / rows)])
    of_one = np.eye(1, 20, 4)
    assert effective(hits * of_one, rows * of_one, variance, np.ones(1)) == [1]
    alike = np.ones((1, 20))
    assert effective(rows * alike, rows * alike, np.zeros(1), np.array([20.0])) == [20]


def test_cluster_intervals_hold_the_mean_where_row_intervals_do_not():
    rng = np.random.default_rng(5)
    held = {"people": 0, "rows": 0}
    for _ in range(400):
        own = rng.normal(size=(1, 60))
        photos = own[..., None] + rng.normal(size=(1, 60, 5)) * 0.5
        top, bottom = photos.sum(axis=2), np.full((1, 60), 5.0)
        mean = photos.mean(axis=(1, 2))
        low, high = student(mean, clustered_se(top, bottom), np.array([59.0]))
        held["people"] += int(low[0] <= 0 <= high[0])
        half = 1.96 * photos.std() / np.sqrt(300)
        held["rows"] += int(abs(mean[0]) <= half)
    assert 0.92 <= held["people"] / 400 <= 0.98
    assert held["rows"] / 400 < 0.75


def histogram(values, edges):
    return np.array([[np.sum(values == e) for e in edges]], dtype=float)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.sampled_from([0.1, 0.5, 0.9, 1.0]))
@settings(max_examples=100)
def test_the_quantile_is_the_inverse_of_the_distribution_function(values, share):
    edges = np.arange(31.0)
    got = quantile(histogram(np.array(values), edges), edges, share)[0]
    assert got == np.quantile(values, share, method="inverted_cdf")


@pytest.mark.parametrize("n", [30, 200])
def test_the_quantile_interval_covers_the_true_quantile(n):
    rng, edges = np.random.default_rng(2), np.arange(600) / 10
    truth = stats.expon.ppf(0.9, scale=5)
    held = 0
    for _ in range(1000):
        bins = np.minimum(np.ceil(rng.exponential(5, n) * 10).astype(int), 599)
        counts = np.bincount(bins, minlength=600)[None].astype(float)
        low, high = quantile_interval(counts, edges, 0.9, np.array([float(n)]))
        held += int(low[0] - 0.1 <= truth <= high[0])
    assert 0.925 <= held / 1000 <= 0.98


@pytest.mark.parametrize("n", [10, 25, 200, 333])
def test_a_rank_over_the_rows_is_the_value_of_that_rank(n):
    rank = np.arange(1, n + 1)
    values = np.arange(n) / 10
    np.testing.assert_array_equal(quantile(np.ones((n, n)), values, rank / n), values)


def test_an_empty_group_has_no_quantile():
    assert np.isnan(quantile(np.zeros((2, 3)), np.arange(3.0), 0.5)).all()
    ends = quantile_interval(np.zeros((2, 3)), np.arange(3.0), 0.9, np.array([0.0, 0.3]))
    assert np.isnan(ends).all()
    assert np.isnan(quantile(np.zeros((2, 0)), np.zeros(0), 0.5)).all()


@pytest.mark.parametrize("n", [30, 100, 333])
def test_the_quantile_interval_lies_between_the_two_ranks_that_the_binomial_allows(n):
    """Conover's l and u: the largest with P(B < l) and the least with P(B >= u) within 2.5 %."""
    counts, values = np.ones((1, n)), np.arange(1.0, n + 1)
    low, high = (e[0] for e in quantile_interval(counts, values, 0.9, np.array([float(n)])))
    law = stats.binom(n, 0.9)
    assert law.cdf(low - 1) <= 0.025 < law.cdf(low)
    assert law.sf(high - 2) > 0.025
    assert high == n or law.sf(high - 1) <= 0.025


def test_an_interval_is_stretched_to_its_value_and_no_further():
    low, high = around(np.array([0.2, 0.3, 0.1]), np.array([0.4, 0.5, 0.2]), np.full(3, 0.25))
    assert (low.tolist(), high.tolist()) == ([0.2, 0.25, 0.1], [0.4, 0.5, 0.25])


def test_the_area_is_that_of_scikit_learn_ties_included():
    rng = np.random.default_rng(3)
    female = rng.random(500) < 0.4
    score = np.clip(np.round(rng.normal(0.4 + 0.2 * female, 0.2), 1), 0, 1)
    edges = np.round(np.arange(0, 1.05, 0.1), 1)
    counts = [histogram(score[female == y], edges) for y in (True, False)]
    area, variance = delong(*counts)
    assert area[0] == pytest.approx(roc_auc_score(female, score))
    assert variance[0] == pytest.approx(delong_by_hand(score[female], score[~female]))


def delong_by_hand(female, male):
    wins = (female[:, None] > male) + 0.5 * (female[:, None] == male)
    return wins.mean(axis=1).var() / len(female) + wins.mean(axis=0).var() / len(male)


def test_one_gender_alone_has_no_area():
    area, _ = delong(np.array([[3.0, 2.0]]), np.zeros((1, 2)))
    assert np.isnan(area[0])


def test_between_group_variance_is_that_of_statsmodels():
    rng = np.random.default_rng(4)
    variances = rng.uniform(0.5, 2, 12)
    values = rng.normal(0, 2, 12) + rng.normal(0, np.sqrt(variances))
    judge = combine_effects(values, variances, method_re="iterated")
    assert paule_mandel(values, variances) == pytest.approx(judge.tau2, rel=1e-4)


def test_groups_that_differ_by_noise_only_shrink_to_one_value():
    values, se, n = np.array([1.0, 1.1, 0.9]), np.full(3, 0.5), np.full(3, 40.0)
    assert np.ptp(shrunken(values, se, n)) < 1e-12
    assert paule_mandel(values, se**2) == 0


def test_a_small_group_leans_further_to_the_others_than_a_large_one():
    values, n = np.array([0.0, 10.0, 4.0, 6.0]), np.array([10.0, 1000.0, 1000.0, 1000.0])
    lean = shrunken(values, 8 / np.sqrt(n), n)
    assert abs(lean[0] - values[0]) > 5 * abs(lean[1] - values[1]) > 0
    assert (np.sort(lean[1:]) == lean[[2, 3, 1]]).all()


def test_groups_shrink_by_tau_of_statsmodels_and_one_variance_of_all_rows():
    rng = np.random.default_rng(6)
    n = rng.integers(20, 900, 8).astype(float)
    values, deviation = rng.normal(10, 1, 8), rng.uniform(2, 9, 8)
    variances = np.average(deviation**2, weights=n) / n
    tau2 = combine_effects(values, variances, method_re="iterated").tau2
    centre = np.average(values, weights=1 / (variances + tau2))
    own = tau2 / (tau2 + variances)
    lean = shrunken(values, deviation / np.sqrt(n), n)
    assert 0.1 < own.min() < own.max() < 1
    np.testing.assert_allclose(lean, own * values + (1 - own) * centre, rtol=1e-4)


def test_an_unknown_value_stays_unknown_and_moves_no_other():
    values, se, n = np.array([1.0, 3.0, 2.0]), np.full(3, 0.2), np.full(3, 50.0)
    more = shrunken(np.append(values, np.nan), np.append(se, np.nan), np.append(n, 5.0))
    np.testing.assert_array_equal(more[:3], shrunken(values, se, n))
    assert np.isnan(more[3])


def test_values_without_a_spread_within_groups_are_taken_at_their_word():
    values, n = np.array([1.0, 3.0, 2.0]), np.full(3, 50.0)
    np.testing.assert_array_equal(shrunken(values, np.zeros(3), n), values)
    assert paule_mandel(values, np.array([0.1, 0.0, 0.1])) == 0
    assert np.isnan(shrunken(values, np.zeros(3), np.zeros(3))).all()


@pytest.mark.parametrize(("n", "least"), [(30, 0.90), (100, 0.925), (1000, 0.925)])
@pytest.mark.parametrize("law", [stats.norm, stats.t(4)], ids=["normal", "t4"])
def test_intervals_of_the_mean_absolute_error_cover(law, n, least):
    rng = np.random.default_rng(n)
    truth = {"normal": np.sqrt(2 / np.pi), "t4": 1.0}["normal" if law is stats.norm else "t4"]
    size = np.abs(law.rvs(size=(600, n), random_state=rng))
    low, high = student(
        size.mean(axis=1), clustered_se(size, np.ones_like(size)), np.full(600, n - 1)
    )
    held = np.mean((low <= truth) & (truth <= high))
    assert least <= held <= 0.975


def test_the_mean_of_leaning_values_is_held_more_often_on_the_logarithm():
    rng = np.random.default_rng(30)
    rows = np.abs(rng.standard_t(4, (4000, 30))) * 5
    mean, se = rows.mean(axis=1), rows.std(axis=1, ddof=1) / np.sqrt(30)
    known = np.full(4000, 29.0)
    held = [
        ((low <= 5) & (high >= 5)).mean()
        for low, high in (student(mean, se, known), student_above_zero(mean, se, known))
    ]
    assert 0.93 - 2 * np.sqrt(0.93 * 0.07 / 4000) < held[1] < 0.96
    assert held[1] > held[0] + 0.005


def test_a_mean_of_zero_stays_zero_and_no_interval_is_negative():
    mean, se = np.array([0.0, 1.0, 2.0, 0.0]), np.array([0.0, 5.0, np.nan, np.nan])
    low, high = student_above_zero(mean, se, np.array([19.0, 19.0, 1.0, 1.0]))
    assert (low[0], high[0]) == (0, 0)
    assert 0 < low[1] < 1 < high[1]
    assert np.isnan([low[2:], high[2:]]).all()
