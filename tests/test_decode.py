from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import beta

from model.decode import (
    apply_rule,
    choose_rule,
    conformal_correction,
    mean_age,
    quantile_age,
    safe_level,
)
from model.losses import age_targets, two_headed_loss


def bumps(centres, width=3.0):
    """Age distributions [N, 121], Gaussian around `centres`."""
    years = np.arange(121)
    shares = np.exp(-0.5 * ((years - np.asarray(centres)[:, None]) / width) ** 2)
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)


def test_the_mean_is_that_of_the_years_drawn_from_the_distribution():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(121, 0.3), 4)
    drawn = [rng.choice(121, 200_000, p=p).mean() for p in shares]
    assert mean_age(shares) == pytest.approx(drawn, abs=0.3)


def test_quantiles_agree_with_those_of_a_dense_sample():
    shares = bumps([20.0, 60.3, 90.0], width=6)
    rng = np.random.default_rng(0)
    for level in (0.05, 0.5, 0.95):
        for p, found in zip(shares, quantile_age(shares, level), strict=True):
            years = rng.choice(121, 400_000, p=p / p.sum()) + rng.uniform(-0.5, 0.5, 400_000)
            assert found == pytest.approx(np.quantile(years, level), abs=0.06)


def test_quantiles_rise_with_their_level_and_stay_within_the_contract_s_years():
    shares = np.random.default_rng(1).dirichlet(np.full(121, 0.05), 50)
    levels = [quantile_age(shares, level) for level in (0.01, 0.05, 0.5, 0.95, 0.99)]
    for lower, higher in pairwise(levels):
        assert (lower <= higher).all()
    assert min(level.min() for level in levels) >= 0
    assert max(level.max() for level in levels) <= 120


def test_moving_the_distribution_moves_the_age_as_far():
    for read in (mean_age, lambda p: quantile_age(p, 0.5), lambda p: quantile_age(p, 0.95)):
        assert read(bumps([67.0])) - read(bumps([50.0])) == pytest.approx(17, abs=1e-4)


def test_the_correction_is_the_order_statistic_of_split_conformal_prediction():
    scores = np.random.default_rng(0).permutation(99) + 1.0
    assert conformal_correction(scores) == 90  # ⌈100 · .9⌉
    assert conformal_correction(np.arange(8.0)) is None, "nine scores are needed for .9"
    assert conformal_correction(np.arange(9.0)) == 8
    assert conformal_correction(scores, level=0.95) == 95
    assert conformal_correction(np.arange(8.0), level=0.95) is None
    assert conformal_correction(np.arange(9.0), level=0.95) == 8, "the widest there is"


@pytest.mark.parametrize("overconfident", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("plain", [False, True])
def test_the_intervals_cover_what_is_promised_whatever_the_network_believes(overconfident, plain):
    """The law of split conformal: over fresh draws, n faces cover rank / (n + 1)."""
    rng = np.random.default_rng(5)
    covered, expected = [], []
    for _ in range(60):
        truth = rng.uniform(25, 90, 700)
        said = truth + rng.normal(0, 4, 700)
        age = said if plain else bumps(said, width=4 * overconfident)
        rule = choose_rule(age[:200], truth[:200])
        _, low, high = apply_rule(age[200:], rule)
        covered.append(((low <= truth[200:]) & (truth[200:] <= high)).mean())
        n = np.array(rule["interval"]["n"])
        assert n.sum() == 200
        assert n.min() >= 50
        rank = np.ceil((n + 1) * rule["interval"]["calibrated_at"])
        expected.append((n * rank / (n + 1)).sum() / 200)
    standard_error = np.std(covered) / np.sqrt(len(covered))
    assert np.mean(covered) == pytest.approx(np.mean(expected), abs=3 * standard_error)


def test_nine_choices_of_validation_faces_in_ten_keep_the_promise():
    """Coverage given the n faces is Beta(rank, n + 1 - rank): exact, without drawing."""
    for n in (100, 400, 1800, 20_000):
        rank = min(n, np.ceil((n + 1) * safe_level(n)))
        kept = beta.sf(0.9, rank, n + 1 - rank)
        assert 0.9 <= kept < 0.95
        plain = np.ceil((n + 1) * 0.9)
        assert beta.sf(0.9, plain, n + 1 - plain) < 0.65, (
            "without the margin: hardly more than half"
        )
        assert 0.9 < safe_level(n) < 0.94
    assert safe_level(9) == 1, "no level is above 1"


@pytest.mark.parametrize("plain", [False, True])
def test_nine_in_ten_hold_at_every_predicted_age_where_the_network_errs_more_with_some(plain):
    rng = np.random.default_rng(6)
    spread = np.array([2.0, 9.0, 4.0])  # below 30, below 60, above
    said = rng.uniform(5, 110, 40_000)
    group = np.searchsorted([30, 60], said)
    truth = said + rng.normal(0, spread[group])
    age = said if plain else bumps(said, width=5.0)
    rule = choose_rule(age[:20_000], truth[:20_000])
    assert rule["interval"]["edges"] == [10, 20, 30, 40, 50, 60, 70]
    _, low, high = apply_rule(age[20_000:], rule)
    inside = (low <= truth[20_000:]) & (truth[20_000:] <= high)
    for which in range(3):
        level = rule["interval"]["calibrated_at"]
        assert inside[group[20_000:] == which].mean() == pytest.approx(level, abs=0.012)


def test_a_rule_of_before_the_edges_corrects_all_alike():
    old = {"age": "value", "interval": {"correction": 2.0}}
    years, low, high = apply_rule(np.array([20.0, 1.0, 119.0]), old)
    assert [*years] == [20, 1, 119]
    assert [*low] == [18, 0, 117]
    assert [*high] == [22, 3, 120]


def test_ranges_of_too_few_faces_are_corrected_with_their_neighbours():
    truth = np.concatenate([np.full(60, 5.0), np.full(10, 25.0), np.full(60, 45.0)])
    interval = choose_rule(truth + 0.5, truth)["interval"]
    assert interval["edges"] == [10]
    assert interval["n"] == [60, 70]


def test_the_reading_with_the_lower_validation_error_is_chosen():
    skewed = 0.7 * bumps(np.full(50, 30.0), 1) + 0.3 * bumps(np.full(50, 80.0), 1)
    assert choose_rule(skewed, np.full(50, 30.0))["age"] == "median"
    assert choose_rule(skewed, np.full(50, 45.0))["age"] == "mean"


def test_an_interval_holds_its_own_age_and_without_faces_to_calibrate_says_nothing():
    age = np.random.default_rng(0).dirichlet(np.full(121, 0.05), 200)
    truth = np.random.default_rng(1).uniform(0, 120, 200)
    years, low, high = apply_rule(age, choose_rule(age, truth))
    assert ((low <= years) & (years <= high)).all()
    _, low, high = apply_rule(age, choose_rule(age[:5], truth[:5]))
    assert (low == 0).all()
    assert (high == 120).all()


def test_age_targets_are_distributions_around_the_age_wider_for_the_old():
    targets = age_targets(torch.tensor([0.0, 30.0, 60.0, 116.0]))
    years = torch.arange(121.0)
    assert targets.sum(1) == pytest.approx(1, abs=1e-5)
    assert (targets @ years)[1:3] == pytest.approx([30.0, 60.0], abs=1e-3)
    spread = (targets @ years.square() - (targets @ years).square()).sqrt()
    assert spread[1:3] == pytest.approx([1.9, 2.8], abs=0.01)


def test_the_loss_is_least_for_the_target_itself_and_a_certain_right_gender():
    age, female = torch.tensor([40.0, 12.0]), torch.tensor([1.0, 0.0])
    perfect = torch.log(age_targets(age) + 1e-30)
    sure = torch.tensor([20.0, -20.0])
    best, years = two_headed_loss(perfect, sure, age, female)
    assert best.item() == pytest.approx(0, abs=1e-2)
    assert years == pytest.approx(age, abs=0.01)
    for out, gender in ((perfect.roll(3, 1), sure), (perfect, -sure), (perfect * 0.5, sure)):
        assert two_headed_loss(out, gender, age, female)[0] > best + 0.05


def test_a_gender_that_is_not_known_costs_twice_its_cross_entropy():
    age, female = torch.tensor([40.0, 12.0]), torch.tensor([1.0, 0.0])
    perfect = torch.log(age_targets(age) + 1e-30)
    loss, _ = two_headed_loss(perfect, torch.zeros(2), age, female)
    assert loss.item() == pytest.approx(2 * np.log(2), abs=1e-3)


def test_the_notebook_s_loss_weighs_gender_ten_and_squared_years_one():
    age, female = torch.tensor([40.0]), torch.tensor([1.0])
    loss, _ = two_headed_loss(torch.tensor([43.0]), torch.tensor([0.0]), age, female)
    assert loss.item() == pytest.approx(10 * np.log(2) + 9)
