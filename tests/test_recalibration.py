"""Maps of scores and ages: scikit-learn is the judge, on the rows that the counts were made of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression

from audit.config import AGE_METHODS, SCORE_METHODS
from audit.recalibration import (
    LOGIT_CLIP,
    STEEPEST,
    corrected_age,
    corrected_score,
    fit_age,
    fit_isotonic,
    fit_platt,
    fit_score,
    fit_temperature,
    logit,
)


def faces(n, *, seed=0, sharper=1.0, shift=0.0):
    """Scores, and genders whose true logit is `sharper` times theirs, plus `shift`."""
    rng = np.random.default_rng(seed)
    score = np.round(np.clip(rng.beta(0.6, 0.6, n), 0.002, 0.998), 3)
    female = rng.random(n) < expit(sharper * logit(score) + shift)
    return score, female


def counted(score, female):
    at = np.unique(score)
    rows = [[np.sum((score == s) & (female == y)) for s in at] for y in (True, False)]
    return (at, *np.array(rows, dtype=float))


def test_platt_is_the_unpenalised_logistic_regression_of_scikit_learn():
    score, female = faces(3000, sharper=0.6, shift=0.7)
    judge = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    judge.fit(logit(score)[:, None], female)
    mine = fit_platt(*counted(score, female))
    assert mine["slope"] == pytest.approx(judge.coef_[0, 0], abs=1e-5)
    assert mine["offset"] == pytest.approx(judge.intercept_[0], abs=1e-5)


def test_temperature_is_the_logistic_regression_without_an_intercept():
    score, female = faces(3000, sharper=0.5)
    judge = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000)
    judge.fit(logit(score)[:, None], female)
    mine = fit_temperature(*counted(score, female))
    assert mine["slope"] == pytest.approx(judge.coef_[0, 0], abs=1e-5)


class _Logit(LogisticRegression):
    """An estimator whose decision is its only column."""

    def fit(self, X, y):
        self.classes_, self.n_features_in_ = np.unique(y), X.shape[1]
        return self

    def decision_function(self, X):
        return X[:, 0]


def test_platt_states_what_the_sigmoid_of_calibrated_classifier_states():
    score, female = faces(20_000, sharper=0.6, shift=-0.5)
    x = logit(score)[:, None]
    judge = CalibratedClassifierCV(FrozenEstimator(_Logit().fit(x, female)), method="sigmoid")
    theirs = judge.fit(x, female).predict_proba(x)[:, 1]
    mine = corrected_score(fit_platt(*counted(score, female)), score)
    # scikit-learn adds Platt's prior, worth one face of either gender
    np.testing.assert_allclose(mine, theirs, atol=5e-4)


def test_isotonic_is_that_of_scikit_learn_between_its_knots_and_beyond_them():
    score, female = faces(2000, seed=3)
    judge = IsotonicRegression(out_of_bounds="clip").fit(score, female)
    grid = np.linspace(0, 1, 997)
    mine = corrected_score(fit_score("isotonic", *counted(score, female)), grid)
    np.testing.assert_allclose(mine, judge.predict(grid), atol=1e-12)


def test_linear_is_least_squares_of_true_on_predicted_age():
    rng = np.random.default_rng(1)
    predicted = np.round(rng.uniform(5, 70, 2000), 1)
    true = 0.7 * predicted + 12 + rng.normal(0, 5, 2000)
    judge = LinearRegression().fit(predicted[:, None], true)
    mine = fit_age("linear", predicted, predicted - true, np.ones(2000))
    assert mine["slope"] == pytest.approx(judge.coef_[0])
    assert mine["intercept"] == pytest.approx(judge.intercept_)
    np.testing.assert_allclose(corrected_age(mine, predicted), judge.predict(predicted[:, None]))


@pytest.mark.parametrize("method", ["linear", "isotonic"])
def test_an_age_map_of_counts_is_that_of_the_faces_one_by_one(method):
    rng = np.random.default_rng(4)
    predicted = np.sort(rng.choice(90, 30, replace=False)).astype(float)
    error, n = rng.normal(0.3 * (predicted - 20), 3), np.where(predicted > 60, 40.0, 1.0)
    faces = np.repeat(np.arange(30), n.astype(int))
    counted_, one_by_one = (
        fit_age(method, predicted[rows], error[rows], weights)
        for rows, weights in ((np.arange(30), n), (faces, np.ones(len(faces))))
    )
    ages = np.arange(90.0)
    maps = [corrected_age(m, ages) for m in (counted_, one_by_one)]
    np.testing.assert_allclose(*maps, rtol=1e-9)
    if method == "linear":
        judge = LinearRegression().fit(predicted[faces, None], (predicted - error)[faces])
        np.testing.assert_allclose(maps[0], judge.predict(ages[:, None]).clip(0, 120))


def test_bins_without_faces_change_no_map():
    x, error, n = np.array([10.0, 20, 30, 40]), np.array([1.0, 50, 3, 2]), np.array([5.0, 0, 9, 4])
    held = n > 0
    for method in AGE_METHODS:
        assert fit_age(method, x, error, n) == fit_age(method, x[held], error[held], n[held])
    score, male = x / 50, np.array([4.0, 0, 4, 1])
    for method in SCORE_METHODS:
        all_bins, held_bins = (
            fit_score(method, score[k], n[k], male[k]) for k in (slice(None), held)
        )
        assert all_bins == held_bins


def test_each_method_of_a_score_is_its_own():
    counts = counted(*faces(2000, sharper=0.6, shift=0.7))
    assert fit_score("temperature", *counts) == fit_temperature(*counts)
    assert fit_score("platt", *counts) == fit_platt(*counts)
    assert fit_score("temperature", *counts)["offset"] == 0
    assert fit_score("platt", *counts)["offset"] == pytest.approx(0.7, abs=0.15)


def test_a_map_that_changes_nothing_changes_no_score_of_a_32_bit_softmax():
    score = np.array([2.0**-23, 1e-5, 0.3, 0.5, 1 - 1e-5, 1 - 2.0**-23])
    same = corrected_score({"slope": 1.0, "offset": 0.0}, score)
    np.testing.assert_allclose(same, score, rtol=1e-9)


def test_isotonic_age_is_that_of_scikit_learn():
    rng = np.random.default_rng(2)
    predicted = np.sort(rng.choice(900, 400, replace=False) / 10)
    true = np.clip(predicted + rng.normal(0, 9, 400), 0, 110)
    n = rng.integers(1, 5, 400).astype(float)
    judge = IsotonicRegression(out_of_bounds="clip").fit(predicted, true, sample_weight=n)
    mine = fit_age("isotonic", predicted, predicted - true, n)
    grid = np.linspace(-5, 100, 501)
    np.testing.assert_allclose(corrected_age(mine, grid), judge.predict(grid), atol=1e-9)


def test_a_score_twice_too_sure_gets_the_temperature_two():
    score, female = faces(60_000, sharper=0.5)
    assert 1 / fit_temperature(*counted(score, female))["slope"] == pytest.approx(2, rel=0.05)


@given(
    st.lists(
        st.tuples(st.integers(1, 999), st.integers(0, 30), st.integers(0, 30)),
        min_size=3,
        max_size=40,
        unique_by=lambda cell: cell[0],
    ),
    st.sampled_from(SCORE_METHODS),
)
@settings(max_examples=200)
def test_turning_gender_round_turns_the_map_round(cells, method):
    at, female, male = np.array(sorted(cells), dtype=float).T
    score = at / 1000
    if not (female + male).any():
        return
    grid = np.linspace(0.001, 0.999, 41)
    mine = corrected_score(fit_score(method, score, female, male), grid)
    turned = fit_score(method, (1 - score)[::-1], male[::-1], female[::-1])
    np.testing.assert_allclose(mine, 1 - corrected_score(turned, 1 - grid), atol=2e-4)
    assert ((mine >= 0) & (mine <= 1)).all()
    assert (np.diff(mine) >= -1e-12).all(), "no map turns the order of faces round"


@pytest.mark.parametrize("method", SCORE_METHODS)
def test_photos_that_repeat_change_no_map(method):
    at, female, male = counted(*faces(800))
    once, thrice = (fit_score(method, at, k * female, k * male) for k in (1, 3))
    for key, value in once.items():
        np.testing.assert_allclose(thrice[key], value, rtol=1e-7, atol=1e-9)


def test_genders_parted_without_a_fault_stop_at_the_steepest_slope():
    at, female, male = np.array([0.2, 0.4, 0.6, 0.8]), np.array([0, 0, 9, 9.0]), np.ones(4)
    male = np.array([9, 9, 0, 0.0])
    for fit in (fit_temperature, fit_platt):
        assert fit(at, female, male)["slope"] == STEEPEST


def least_loss(score, female, male, slope):
    """The least negative log-likelihood that any offset reaches at a slope, by search."""

    def loss(offset):
        z = slope * logit(score) + offset
        return (female * np.logaddexp(0, -z) + male * np.logaddexp(0, z)).sum()

    return minimize_scalar(loss, bounds=(-200, 200), method="bounded").fun, loss


@pytest.mark.parametrize("centre", [-2.0, 0.0, 1.0, 2.0])
def test_the_steepest_slope_has_the_offset_that_fits_it_wherever_the_scores_lie(centre):
    """Scores huddled together beside one half ask for a slope beyond the bound."""
    rng = np.random.default_rng(1)
    female = rng.random(500) < 0.4
    score = np.round(expit(centre + np.where(female, 0.1, -0.1) + rng.normal(0, 0.03, 500)), 4)
    counts = counted(score, female)
    mine = fit_platt(*counts)
    assert mine["slope"] == STEEPEST
    least, loss = least_loss(*counts, STEEPEST)
    assert loss(mine["offset"]) == pytest.approx(least, rel=1e-6)


def test_a_score_that_points_the_wrong_way_is_levelled_and_never_turned():
    score, female = faces(5000)
    at, female, male = counted(score, ~female)
    assert fit_temperature(at, female, male)["slope"] == 0
    platt = fit_platt(at, female, male)
    assert platt["slope"] == 0
    assert expit(platt["offset"]) == pytest.approx(female.sum() / (female + male).sum())


def test_scores_of_exactly_0_and_1_have_a_place():
    sure = corrected_score({"slope": 0.5, "offset": 0.0}, np.array([0.0, 1.0]))
    np.testing.assert_allclose(sure, expit([-LOGIT_CLIP / 2, LOGIT_CLIP / 2]))


def test_missing_values_stay_missing():
    nan = np.array([np.nan])
    assert np.isnan(corrected_score(fit_isotonic(*np.eye(3)[:2], np.ones(3)), nan)).all()
    assert np.isnan(corrected_score({"slope": 1.0, "offset": 0.0}, nan)).all()
    assert np.isnan(corrected_age({"slope": 1.0, "intercept": 0.0}, nan)).all()


def test_a_model_that_always_says_the_same_is_moved_to_the_mean():
    numbers = fit_age("linear", np.array([30.0]), np.array([-4.0]), np.array([50.0]))
    assert corrected_age(numbers, np.array([30.0])) == pytest.approx([34.0])
    assert corrected_age(numbers, np.array([31.0])) == pytest.approx([35.0]), "and what lies beside"


def test_corrected_ages_stay_ages():
    assert corrected_age({"slope": 2.0, "intercept": -30.0}, np.array([5.0, 90])).tolist() == [
        0,
        120,
    ]
