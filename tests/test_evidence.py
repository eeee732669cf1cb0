"""From tests to verdicts: statsmodels and scipy judge, laws bind, planted spreads are covered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from audit.evidence import (
    POWER,
    SURE,
    alphas,
    beyond,
    cochran,
    detectable,
    detectable_share,
    exact_p,
    holm,
    joined_p,
    newcombe,
    outlying,
    rare,
    spread,
    verdict,
)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_holm_agrees_with_statsmodels(p):
    expected = multipletests(p, method="holm")[1]
    np.testing.assert_allclose(holm(np.array(p)), expected, atol=1e-12)


def test_holm_does_not_count_what_was_not_tested():
    adjusted = holm(np.array([0.01, np.nan, 0.02, np.nan]))
    np.testing.assert_allclose(adjusted, [0.02, np.nan, 0.02, np.nan])


def test_exact_p_is_fishers_test_twice_the_smaller_tail():
    x, n, y, m = (
        np.array(a)
        for a in ([0, 3, 9, 40], [60, 30, 200, 50], [90, 5, 20, 700], [900, 400, 900, 1000])
    )
    for i, p in enumerate(exact_p(x, n, y, m)):
        table = [[x[i], n[i] - x[i]], [y[i], m[i] - y[i]]]
        tails = [stats.fisher_exact(table, alternative=a)[1] for a in ("less", "greater")]
        assert p == pytest.approx(min(1, 2 * min(tails)), rel=1e-6)


def test_no_exact_p_is_above_one():
    assert exact_p(*(np.array([x]) for x in (5.0, 10.0, 50.0, 100.0))) == 1


def test_effective_counts_are_tested_as_the_whole_numbers_they_are_nearest_to():
    near = exact_p(*(np.array([x]) for x in (2.6, 29.7, 40.2, 300.4)))
    assert near == exact_p(*(np.array([x]) for x in (3.0, 30.0, 40.0, 300.0)))


def test_newcombes_interval_agrees_with_statsmodels():
    low, high = newcombe(
        np.array([0.9]), np.array([50.0]), np.array([0.97]), np.array([900.0]), alpha=0.02
    )
    expected = confint_proportions_2indep(45, 50, 873, 900, method="newcomb", alpha=0.02)
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-6)


def test_events_are_rare_when_few_are_seen_or_expected_or_few_are_not():
    rows = np.array([1000.0, 1000.0, 30.0, 1000.0])
    hits = np.array([100.0, 5.0, 12.0, 995.0])
    assert rare(hits, rows).tolist() == [False, True, False, True]
    assert rare(np.array([10.0, 30.0]), np.array([1000.0, 1000.0])).tolist() == [False, False]
    assert rare(np.array([9.9, 30.0]), np.array([1000.0, 1000.0])).tolist() == [True, False]
    many_seen = rare(np.array([12.0, 40.0]), np.array([100.0, 1000.0]))  # 4.7 are expected
    assert many_seen.tolist() == [True, False]
    assert rare(np.array([900.0, 99.0]), np.array([1000.0, 100.0])).tolist() == [False, True]


def test_joined_p_gives_every_group_an_equal_part_of_the_error():
    assert joined_p(0.03, np.zeros(0), groups=7) == pytest.approx(0.03)
    assert joined_p(np.nan, np.array([0.01, 0.5]), groups=2) == pytest.approx(0.02)
    assert joined_p(0.03, np.array([0.2]), groups=3) == pytest.approx(0.03 * 3 / 2)
    assert joined_p(0.03, np.array([0.001]), groups=3) == pytest.approx(0.003)
    assert joined_p(0.9, np.array([0.9]), groups=2) == 1


@pytest.mark.parametrize(
    ("p", "low", "high", "expected"),
    [
        (0.001, 0.2, 0.4, "disparity"),
        (0.001, 2.0, 4.0, "disparity"),
        (0.5, -0.3, 0.4, "no disparity found"),
        (0.5, -0.3, 1.2, "insufficient evidence"),
        (0.5, -1.2, 0.2, "insufficient evidence"),
        (0.04, -0.3, 0.4, "no disparity found"),
        (0.04, 0.1, 1.4, "insufficient evidence"),
    ],
)
def test_a_verdict_follows_p_first_and_the_margin_next(p, low, high, expected):
    ends = np.array([-0.1, low]), np.array([0.1, high])
    assert verdict(p, *ends, margin=1.0, alpha=0.04) == expected


def test_one_interval_beyond_the_margin_is_enough_to_leave_it_open():
    wide = np.array([-0.1, -0.1]), np.array([0.1, np.nan])
    assert verdict(0.9, *wide, margin=1.0, alpha=0.04) == "insufficient evidence"


def test_without_a_group_nothing_is_cleared():
    none = np.zeros(0)
    assert verdict(0.5, none, none, margin=1.0, alpha=0.04) == "insufficient evidence"


@pytest.mark.parametrize(
    ("better", "expected"), [("lower", 1), ("higher", 0), ("zero", 3), ("neither", 3)]
)
def test_the_outlying_group_is_the_one_established_to_be_worst_else_that_of_the_largest_t(
    better, expected
):
    difference = np.array([-3.0, 2.0, 1.0, -1.0, 4.0, np.nan])
    reach = np.array([1.0, 1.0, 0.5, 0.1, 5.0, np.nan])
    ends = difference - reach, difference + reach
    t = 2.5 * difference / reach
    assert outlying(difference, *ends, t, better=better) == expected


def test_records_and_slices_share_the_error_of_an_audit():
    assert alphas(0.05) == pytest.approx((0.04, 0.01))
    assert sum(alphas(0.1)) == pytest.approx(0.1)


def test_what_is_detectable_is_found_80_times_in_100():
    assert stats.norm.cdf(POWER) == pytest.approx(0.8, abs=0.001)


@settings(max_examples=50)
@given(st.floats(0.05, 2), st.floats(2, 30), st.floats(1.5, 5))
def test_a_detectable_growth_meets_its_own_error(se, value, critical):
    delta = detectable(np.array([se]), np.array([value]), critical=critical, grows=True)
    k = critical + POWER
    if k * se >= SURE * value:  # near its pole the formula asked for 205 years
        assert np.isnan(delta)
    else:
        assert delta == pytest.approx(k * se * (1 + delta / value))
    plain = detectable(
        np.array([se, se / 2]), np.array([value] * 2), critical=critical, grows=False
    )
    assert plain == pytest.approx(k * se)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.7, 0.9, 0.97])
@pytest.mark.parametrize("n", [100, 300])
def test_a_detectable_share_varies_as_it_would_there_and_is_found_80_times_in_100(share, n):
    critical, m = 3.5, 5000
    sizes = np.array([share * n]), np.array([n]), np.array([share * m]), np.array([m])
    delta = detectable_share(*sizes, critical=critical)
    there = share - delta if share > 0.5 else share + delta
    rng = np.random.default_rng(0)
    hits, rest = rng.binomial(n, there, 20_000), rng.binomial(m, share, 20_000)
    a, b = (hits + 1) / (n + 2), (rest + 1) / (m + 2)
    t = (hits / n - rest / m) / np.sqrt(a * (1 - a) / (n + 2) + b * (1 - b) / (m + 2))
    assert 0.76 < (np.abs(t) > critical).mean() < 0.9


def test_where_no_share_is_sure_to_be_found_the_least_difference_is_unknown():
    ones = np.ones(1)
    assert np.isnan(detectable_share(5 * ones, 10 * ones, 500 * ones, 1000 * ones, critical=6.0))


def test_what_one_group_can_never_show_leaves_the_least_difference_unknown():
    se, value = np.array([0.1, 2.0]), np.array([5.0, 5.0])
    assert np.isnan(detectable(se, value, critical=2.5, grows=True))
    assert np.isnan(detectable(np.zeros(0), np.zeros(0), critical=2.5, grows=False))


def test_a_stricter_level_needs_a_larger_t_along_the_normal_curve():
    assert beyond(2.5, groups=4, alpha=0.05, share=0.05) == pytest.approx(2.5)
    exact = stats.norm.isf(0.001 / 8), stats.norm.isf(0.05 / 8)
    assert beyond(exact[1], groups=4, alpha=0.05, share=0.001) == pytest.approx(exact[0])


def some_values(seed, *, tau, K=9, se=1.0):
    rng = np.random.default_rng(seed)
    errors = se * rng.uniform(0.5, 1.5, K)
    return 10 + tau * rng.standard_normal(K) + errors * rng.standard_normal(K), errors


def test_cochrans_q_and_its_p_are_those_of_statsmodels():
    values, se = some_values(1, tau=1.0)
    judge = combine_effects(values, se**2).test_homogeneity()
    assert cochran(values, se) == pytest.approx((judge.statistic, judge.pvalue))


def test_cochrans_p_over_replicates_counts_those_that_reach_q_and_the_sample_itself():
    values, se = np.array([0.0, 2.0]), np.ones(2)  # Q = 2; of a replicate half its squared gap
    gaps = np.array([0.0, 1.0, 1.9, 2.0, 2.1, 3.0, 0.5, 2.0, 0.1])
    own = np.stack([np.zeros(9), gaps], axis=1)
    own_se = np.ones_like(own)
    own_se[-1] = 0  # a replicate without an error says nothing
    q, p = cochran(values, se, noise=(own, own_se))
    assert (q, p) == pytest.approx((2, (1 + 4) / (1 + 8)))


def test_groups_without_a_value_or_an_error_have_no_q():
    for values, se in (([1.0], [1.0]), ([1.0, np.nan], [1.0, 1.0]), ([1.0, 2.0], [1.0, 0.0])):
        assert np.isnan(cochran(np.array(values), np.array(se))).all()
        assert np.isnan(spread(np.array(values), np.array(se))).all()


def test_spread_is_paule_and_mandels():
    for seed in range(8):
        values, se = some_values(seed, tau=2.0)
        theirs = combine_effects(values, se**2, method_re="iterated").tau2
        tau, low, high = spread(values, se)
        assert tau == pytest.approx(np.sqrt(max(theirs, 0)), abs=1e-3)
        assert low <= tau <= high


def test_the_ends_of_the_spread_put_cochrans_q_on_its_quantiles():
    values, se = some_values(3, tau=3.0)
    _, low, high = spread(values, se)
    ends = stats.chi2.ppf([0.975, 0.025], len(values) - 1)
    for tau, q in zip((low, high), ends, strict=True):
        assert cochran(values, np.sqrt(se**2 + tau**2))[0] == pytest.approx(q, rel=1e-6)


def test_the_interval_of_the_spread_covers_it():
    held = []
    for seed in range(400):
        values, se = some_values(seed, tau=1.5)
        _, low, high = spread(values, se)
        held.append(low <= 1.5 <= high)
    assert 0.91 <= np.mean(held) <= 0.99


def test_replicates_of_q_take_the_place_of_chi_squared():
    rng = np.random.default_rng(5)
    values, se = some_values(5, tau=1.0)
    own = rng.standard_normal((4000, 9)) * se
    by_chi = spread(values, se)
    by_noise = spread(values, se, noise=(own, np.broadcast_to(se, own.shape)))
    np.testing.assert_allclose(by_noise, by_chi, rtol=0.1, atol=0.1)
    heavier = spread(values, se, noise=(own * 1.5, np.broadcast_to(se, own.shape)))
    assert heavier[1] < by_chi[1]


def test_equal_values_have_no_spread_and_two_groups_no_interval_of_it():
    assert spread(np.full(5, 3.0), np.full(5, 0.5))[:2] == (0.0, 0.0)
    tau, low, high = spread(np.array([1.0, 5.0]), np.array([0.5, 0.5]))
    assert tau == pytest.approx(np.sqrt(8 - 0.25))
    assert np.isnan([low, high]).all()
    assert np.isnan(spread(np.array([1.0]), np.array([1.0]))).all()
    assert np.isnan(spread(np.array([1.0, 2, 3]), np.array([1.0, 0, 1]))).all()
