"""Calibration: scikit-learn and simulated truth are the judges."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas_tally import AGES, EDGES, FEATURES, RACES, some_faces, tally_of
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from audit.calibration import (
    BINS,
    age_calibration,
    binned,
    calibration_error,
    calibration_error_interval,
    equal_mass,
    gender_calibration,
    score_design,
)
from audit.groups import gather
from audit.score_tests import isotonic_brier, score_table

RACE = FEATURES[:1]


def histogram(score, female):
    """(rows [female, bin], sum of score in millionths [bin]) with a bin for every score."""
    scores = np.unique(score)
    rows = np.array([[np.sum((score == s) & (female == y)) for s in scores] for y in (False, True)])
    return rows.astype(float), scores * rows.sum(axis=0) * 1e6


def drawn(n, *, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    score = np.round(rng.beta(0.5, 0.5, n), 3)
    return score, rng.random(n) < np.clip(score + shift, 0, 1)


def test_bins_hold_equal_mass_where_scores_are_all_different():
    place = equal_mass(np.ones(300))
    assert np.bincount(place).tolist() == [20] * BINS


@given(st.lists(st.integers(1, 9), min_size=1, max_size=80))
@settings(max_examples=200)
def test_turning_the_scores_round_turns_the_bins_round(counts):
    n = np.array(counts, dtype=float)
    place = equal_mass(n)
    assert (np.diff(place) >= 0).all()
    assert place.min() >= 0
    assert place.max() < BINS
    np.testing.assert_array_equal(BINS - 1 - equal_mass(n[::-1])[::-1], place)


def test_turning_gender_round_leaves_error_and_decomposition():
    score, female = drawn(2000)
    mine, theirs = histogram(score, female), histogram(np.round(1 - score, 3), ~female)
    assert calibration_error(*mine) == pytest.approx(calibration_error(*theirs), abs=1e-12)
    assert isotonic_brier(mine[0]) == pytest.approx(isotonic_brier(theirs[0]), abs=1e-12)


def test_the_error_is_that_of_the_definition():
    score, female = drawn(1500)
    order = np.argsort(score, kind="stable")
    place = np.repeat(np.arange(BINS), 100)
    by_hand = sum(
        abs(female[order][place == b].mean() - score[order][place == b].mean()) / BINS
        for b in range(BINS)
    )
    assert calibration_error(*histogram(score, female)) == pytest.approx(by_hand, abs=0.005)


def test_an_empty_score_has_no_error():
    assert np.isnan(calibration_error(np.zeros((2, 3)), np.zeros(3)))
    assert np.isnan(calibration_error_interval(np.zeros((2, 3)), np.zeros(3), 1.0)).all()


@pytest.mark.parametrize(("n", "about"), [(100, 0.104), (5000, 0.014)])
def test_a_perfect_score_shows_the_error_known_of_it_and_stays_below_its_null_point(n, about):
    errors, above = [], 0
    for seed in range(150):
        score, female = drawn(n, seed=seed)
        at = histogram(score, female)
        errors.append(calibration_error(*at))
        above += errors[-1] > calibration_error_interval(*at, 1.0)[2]
    assert np.mean(errors) == pytest.approx(about, rel=0.45)
    assert above / 150 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


def test_the_interval_of_the_error_holds_the_truth_and_the_value():
    held = 0
    for seed in range(150):
        score, female = drawn(2000, seed=seed, shift=0.1)
        truth = np.mean(np.clip(score + 0.1, 0, 1) - score)
        error = calibration_error(*histogram(score, female))
        low, high, _ = calibration_error_interval(*histogram(score, female), 1.0)
        assert low <= error <= high
        held += low <= truth <= high
    assert held / 150 >= 0.9


@pytest.mark.parametrize("n", [50, 200, 2000])
def test_the_interval_of_a_perfect_scores_error_reaches_down_to_none(n):
    lows = []
    for seed in range(150):
        score, female = drawn(n, seed=seed)
        low, high, _ = calibration_error_interval(*histogram(score, female), 1.0)
        lows.append(low)
        assert high > 0
    assert np.mean(np.array(lows) == 0) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 150)


def test_repeated_photos_change_no_interval_of_the_error():
    rows, sums = histogram(*drawn(700, seed=3, shift=0.1))
    once = calibration_error_interval(rows, sums, 1.0)
    assert calibration_error_interval(4 * rows, 4 * sums, 0.25) == pytest.approx(once)


def test_a_score_is_told_from_its_null_when_it_is_off():
    at = histogram(*drawn(2000, shift=0.1))
    assert calibration_error(*at) > 2 * calibration_error_interval(*at, 1.0)[2]


def test_isotonic_recalibration_is_that_of_scikit_learn():
    score, female = drawn(1500, seed=2)
    fit = IsotonicRegression().fit_transform(score, female)
    judge = brier_score_loss(female, fit)
    assert isotonic_brier(histogram(score, female)[0]) == pytest.approx(judge, abs=1e-12)


def test_scores_add_up_and_are_those_of_the_rows():
    faces = some_faces(4000, seed=5)
    records = score_table(gather(tally_of(faces), RACE))
    assert [r["group"] for r in records] == list(RACES)
    for r in records:
        mine = faces[faces.race == r["group"]]
        female = mine.gender_true == "female"
        total = r["miscalibration"] - r["discrimination"] + r["uncertainty"]
        assert total == pytest.approx(r["brier"], abs=1e-12)
        assert r["brier"] == pytest.approx(brier_score_loss(female, mine.score), abs=1e-6)
        assert r["mean_score"] == pytest.approx(mine.score.mean(), abs=1e-6)
        assert r["observed"] == pytest.approx(female.mean())
        assert r["n"] == len(mine)
        assert 0 <= r["miscalibration"] < 0.02
        assert r["ece"] < 1.5 * r["ece_null"]


def test_reliability_bins_hold_every_face_and_bands_hold_a_perfect_score():
    inside = total = 0
    for seed in range(12):
        faces = some_faces(1500, seed=seed)
        records = gender_calibration(gather(tally_of(faces), RACE))
        for race in RACES:
            mine = [r for r in records if r["group"] == race]
            assert sum(r["n"] for r in mine) == (faces.race == race).sum()
            assert [r["bin"] for r in mine] == list(range(len(mine)))
            assert all(r["low"] <= r["observed"] <= r["high"] for r in mine)
            total += len(mine)
            inside += sum(r["band_low"] <= r["observed"] <= r["band_high"] for r in mine)
    assert 0.93 <= inside / total <= 0.995


def test_groups_of_fewer_than_ten_people_carry_n_alone():
    faces = some_faces(400)
    faces = faces[(faces.race != "Asian") | (faces.groupby("race").cumcount() < 9)]
    groups = gather(tally_of(faces), RACE)
    assert {r["group"] for r in gender_calibration(groups)} == {"Black", "White"}
    asian = score_table(groups)[0]
    assert asian == {"feature": "race", "group": "Asian", "n": 9}


def test_age_by_predicted_group_is_that_of_the_rows():
    faces = some_faces(3000, seed=6)
    place = np.digitize(faces.age_true + faces.error, EDGES[1:])
    records = age_calibration(tally_of(faces), RACE)
    assert sum(r["n"] for r in records) == len(faces)
    for r in records:
        mine = faces[(faces.race == r["group"]) & (place == AGES.index(r["bin"]))]
        assert r["n"] == len(mine)
        assert r["observed"] == pytest.approx(mine.age_true.mean())
        assert r["predicted"] == pytest.approx((mine.age_true + mine.error).mean())
        assert r["error"] == pytest.approx(mine.error.mean())
        assert r["mae"] == pytest.approx(mine.error.abs().mean())
        assert r["coverage"] == pytest.approx((mine.error.abs() <= mine.width / 2).mean())
        assert r["width"] == pytest.approx(mine.width.mean())
        assert r["coverage_low"] <= r["coverage"] <= r["coverage_high"]
        assert r["low"] <= r["observed"] <= r["high"]
        assert r["error_low"] <= r["error"] <= r["error_high"]


def test_a_bayes_reader_errs_by_true_age_and_not_by_predicted_age():
    rng = np.random.default_rng(1)
    faces = some_faces(20_000, seed=1)
    truth = np.clip(rng.normal(45, 15, len(faces)), 0, 99)
    seen = truth + rng.normal(0, 8, len(faces))
    read = 45 + (seen - 45) * 15**2 / (15**2 + 8**2)
    faces = faces.assign(age_true=truth, error=np.round(read - truth, 2))
    by_predicted = [r["error"] for r in age_calibration(tally_of(faces)) if r["n"] > 500]
    by_true = faces.groupby(np.digitize(truth, EDGES[1:])).error.mean()
    assert np.abs(by_predicted).max() < 0.7
    assert by_true.iloc[3] > 2
    assert by_true.iloc[-1] < -2


def test_a_bin_of_few_people_carries_n_alone():
    faces = some_faces(60)
    small = [r for r in age_calibration(tally_of(faces)) if r["n"] < 10]
    assert small
    assert all(r["mae"] is None and r["observed"] is None for r in small)


def test_repeated_photos_change_no_bin_interval():
    once = some_faces(1200, seed=4)
    twice = pd.concat([once, once], ignore_index=True)
    a, b = (gender_calibration(gather(tally_of(f), ())) for f in (once, twice))
    for x, y in zip(a, b, strict=True):
        assert (x["low"], x["high"]) == pytest.approx((y["low"], y["high"]), rel=1e-9)
        assert y["n"] == 2 * x["n"]


def test_a_biased_score_is_worth_no_more_rows_than_there_are():
    """The design effect is of the residuals' spread about their mean, not about 0."""
    faces = some_faces(1000, seed=12).assign(score=0.9)
    assert score_design(gather(tally_of(faces), ()))[0] == pytest.approx(1, abs=0.2)


def test_repeated_photos_change_no_interval_by_predicted_age():
    once = some_faces(200, seed=11)
    a, b = (age_calibration(tally_of(f)) for f in (once, pd.concat([once] * 5)))
    shown = [(x, y) for x, y in zip(a, b, strict=True) if x["mae"] is not None]
    assert min(x["n"] for x, _ in shown) < 30  # so few that degrees of freedom matter
    for x, y in shown:
        for key in ("low", "high", "error_low", "error_high", "mae_low", "mae_high"):
            assert x[key] == pytest.approx(y[key]), key


def test_binned_leaves_out_empty_bins():
    rows, stated, females = binned(np.array([[5.0], [5.0]]), np.array([4e6]))
    assert (rows.tolist(), stated.tolist(), females.tolist()) == ([10.0], [4.0], [5.0])
