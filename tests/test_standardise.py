"""Groups of unequal ages compared at one age mix: known answers, derivatives, planted nulls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from shard_sums import SHARDS, add_up

from audit.resample import Linear, Ratios, replicate
from audit.standardise import kitagawa, standardise

MIX = np.array([[6, 3, 1], [1, 3, 6], [3, 3, 3]]) / [[10.0], [10.0], [9.0]]
SIZES = (1200, 700, 400)


def by_age(seed, *, rates=(2.0, 5.0, 9.0), more=(0, 0, 0), share=False):
    """Sums [group, age, shard]: `rates` at each age, group g raised by more[g]; mixes as MIX."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(3), SIZES)
    age = np.concatenate([rng.choice(3, n, p=p) for n, p in zip(SIZES, MIX, strict=True)])
    expected = np.asarray(rates)[age] + np.asarray(more)[group]
    value = rng.random(len(group)) < expected if share else rng.gamma(1.5, expected / 1.5)
    shard = rng.integers(0, SHARDS, len(group))
    sums = [
        add_up(group * 3 + age, shard, v, groups=9).reshape(3, 3, SHARDS)
        for v in (value.astype(float), 1.0)
    ]
    return sums[0], sums[1], np.ones(3, bool)


@given(
    arrays(float, (3, 4), elements=st.floats(0.1, 50)),
    arrays(float, (3, 4), elements=st.floats(1, 99)),
)
def test_rate_and_composition_add_up_to_the_raw_difference(value, rows):
    rate, composition = kitagawa(value * rows, rows)
    raw = (value * rows).sum(axis=1) / rows.sum(axis=1)
    np.testing.assert_allclose(rate + composition, raw[:, None] - raw, atol=1e-9)
    np.testing.assert_allclose(rate, -rate.T, atol=1e-9)


def test_groups_alike_at_every_age_differ_by_composition_alone():
    _, N, ok = by_age(0)
    X = N * np.array([2.0, 5.0, 9.0])[None, :, None]
    found = standardise(X, N, ok)
    raw = X.sum(axis=(1, 2)) / N.sum(axis=(1, 2))
    np.testing.assert_allclose(found.value, found.value[0])
    np.testing.assert_allclose(found.difference, 0, atol=1e-9)
    np.testing.assert_allclose(found.rate, 0, atol=1e-9)
    np.testing.assert_allclose(found.composition, raw[:, None] - raw)
    assert np.ptp(raw) > 2


def test_a_difference_at_every_age_is_rate_and_not_composition():
    N = np.ones((2, 3, SHARDS))
    X = N * np.array([2.0, 5.0, 9.0])[None, :, None] + np.array([1.5, 0.0])[:, None, None] * N
    found = standardise(X, N, np.ones(2, bool), scale=10)
    assert found.rate[0, 1] == pytest.approx(0.15)
    assert found.composition[0, 1] == pytest.approx(0)
    np.testing.assert_allclose(found.difference, [0.15, -0.15])


def test_the_age_mix_is_that_of_all_rows_the_small_groups_included():
    N = np.zeros((3, 2, SHARDS))
    N[0, 0, :40], N[0, 1, :40] = 1, 1
    N[1, 0, :40], N[1, 1, :40] = 1, 1
    N[2, 1, :80] = 1  # too small to be compared, say, and all old
    X = N * np.array([1.0, 4.0])[None, :, None]
    found = standardise(X, N, np.array([True, True, False]))
    np.testing.assert_allclose(found.value, (1 * 80 + 4 * 160) / 240)


def test_an_age_that_one_group_lacks_is_dropped_for_all():
    X, N, ok = by_age(1)
    X[1, 0, :], N[1, 0, :] = 0, 0
    found = standardise(X, N, ok)
    assert found.ages.tolist() == [False, True, True]
    same = standardise(X[:, 1:], N[:, 1:], ok)
    np.testing.assert_allclose(found.difference, same.difference)
    N[:, 1:], X[:, 1:] = 0, 0
    assert standardise(X, N, ok) is None
    assert standardise(*by_age(1)[:2], np.array([True, False, False])) is None


@pytest.mark.parametrize(("people", "kept"), [(9, False), (10, True)])
def test_an_age_is_used_from_ten_people_of_every_compared_group(people, kept):
    N = np.ones((2, 2, SHARDS))
    N[1, 0, people:] = 0
    assert standardise(3 * N, N, np.ones(2, bool)).ages.tolist() == [kept, True]


def test_of_roots_what_standardising_takes_off_is_the_composition():
    X, N, ok = by_age(5)
    found = standardise(X, N, ok, root=True)
    raw = np.sqrt(X.sum(axis=(1, 2)) / N.sum(axis=(1, 2)))
    np.testing.assert_allclose(found.rate, found.value[:, None] - found.value)
    np.testing.assert_allclose(found.rate + found.composition, raw[:, None] - raw)
    alike = standardise(N * np.array([2.0, 5.0, 9.0])[None, :, None], N, ok, root=True)
    np.testing.assert_allclose(alike.rate, 0, atol=1e-9)
    assert np.ptp(alike.composition) > 0.5


def test_a_group_without_any_error_has_a_root_of_zero_and_no_influence():
    X, N, ok = by_age(6)
    X[0] = 0
    found = standardise(X, N, ok, root=True)
    assert found.value[0] == 0
    assert np.isfinite(found.influence).all()


@pytest.mark.parametrize("root", [False, True])
def test_a_unit_is_a_unit_of_every_figure(root):
    X, N, ok = by_age(7, rates=(0.2, 0.5, 0.9), share=True)
    years, hundredths = (
        standardise(X, N, ok, scale=scale, root=root, share=True) for scale in (100, 1)
    )
    for key in ("value", "difference", "influence", "rate", "composition", "least_se"):
        whole = getattr(hundredths, key)
        assert np.abs(whole).max() > 0
        np.testing.assert_allclose(getattr(years, key), whole / 100, err_msg=key)


def test_the_error_of_people_in_shards_of_their_own_is_that_of_two_means():
    rng = np.random.default_rng(8)
    a, b = rng.gamma(2, 3, 12), rng.gamma(2, 3, 300)
    N, X = np.zeros((2, 2, 1, SHARDS))
    N[0, 0, :12] = N[1, 0, 100:400] = 1
    X[0, 0, :12], X[1, 0, 100:400] = a, b
    found = standardise(X, N, np.ones(2, bool))
    se = np.hypot(stats.sem(a), stats.sem(b))
    np.testing.assert_allclose(np.sqrt((found.influence**2).sum(axis=1)), se)


@pytest.mark.parametrize("root", [False, True])
def test_influence_is_the_derivative_of_the_difference(root):
    X, N, ok = by_age(2)
    found = standardise(X, N, ok, root=root)
    weights = np.ones(SHARDS)
    for s in (3, 500):
        weights[s] = 1 + 1e-5
        moved = standardise(X * weights, N * weights, ok, root=root)
        weights[s] = 1
        mix_kept = moved.difference - found.difference
        # the mix moves too, by its own small share: what is left of the slope agrees to 2 %
        slope = mix_kept / 1e-5
        np.testing.assert_allclose(
            slope, found.influence[:, s], atol=2e-2 * np.abs(found.influence).max()
        )
    np.testing.assert_allclose(found.influence.sum(axis=1), 0, atol=1e-9)


def test_groups_that_differ_in_ages_only_are_seldom_told_apart_once_standardised(monkeypatch):
    monkeypatch.setattr("audit.resample.LOOK_AGAIN", 0)
    raw, at_one_mix = [], []
    for seed in range(80):
        X, N, ok = by_age(seed)
        s = standardise(X, N, ok)
        a, b = replicate(
            [Ratios(X.sum(axis=1), N.sum(axis=1), ok), Linear(s.difference, s.influence)], seed=seed
        )
        raw.append(a.p_value <= 0.05)
        at_one_mix.append(b.p_value <= 0.05)
    assert np.mean(raw) == 1
    assert np.mean(at_one_mix) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 80)


def test_a_planted_difference_is_found_through_unequal_ages():
    X, N, ok = by_age(3, more=(0, 1.2, 0))
    s = standardise(X, N, ok)
    [found] = replicate([Linear(s.difference, s.influence)])
    low, high = found.interval(0.05)
    assert found.p_value < 0.01
    assert found.difference.argmax() == 1
    assert low[1] < 1.2 < high[1]


def test_a_share_without_a_miss_in_a_small_group_still_has_an_error():
    X, N, ok = by_age(4, rates=(0.97, 0.97, 0.97), share=True)
    X[2] = N[2]
    found = standardise(X, N, ok, share=True)
    n = N.sum(axis=2)
    p = X.sum(axis=(0, 2)) / N.sum(axis=(0, 2))
    mix = N.sum(axis=(0, 2)) / N.sum()
    rest = n.sum(axis=0) - n[2]
    expected = np.sqrt((mix**2 * p * (1 - p) * (1 / n[2] + 1 / rest)).sum())
    assert found.least_se[2] == pytest.approx(expected, rel=0.03)  # people by their shards
    [tested] = replicate([Linear(found.difference, found.influence, found.least_se)])
    assert tested.se[2] == found.least_se[2]


def test_people_are_never_more_than_rows_and_are_rows_where_shards_are_full():
    N = np.zeros((2, 1, SHARDS))
    N[0, 0, :200], N[1] = 1, 5
    hits = np.floor(N / 2)
    found = standardise(hits, N, np.ones(2, bool), share=True)
    p = hits.sum() / N.sum()
    np.testing.assert_allclose(found.least_se, np.sqrt(p * (1 - p) * (1 / 200 + 1 / 5000)))
