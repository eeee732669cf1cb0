"""The calibration figures of a score: MAPIE, uncertainty-calibration, scoringrules are the judges.

Scores stand on whole thousandths, or are moved to the means of the histogram's bins, so that
nothing is lost to binning.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
import scoringrules
from exact_scores import drawn, histogram
from mapie.metrics.calibration import spiegelhalter_p_value, spiegelhalter_statistic
from pandas_tally import FEATURES, RACES, some_faces, tally_of
from scipy import stats
from sklearn.metrics import brier_score_loss

from audit.calibration import score_design
from audit.groups import gather
from audit.reliability import simulated
from audit.score_tests import mean_calibration, score_table, spiegelhalter
from audit.signed_calibration import signed_error

with warnings.catch_warnings():  # the judge's own: invalid escapes in its documentation
    warnings.simplefilter("ignore")
    import calibration as uncertainty_calibration

RACE = FEATURES[:1]
TURNED = ("brier", "miscalibration", "discrimination", "uncertainty", "ece", "smooth_ece", "l2")


def records_of(faces, *, simulate=False, parts=RACE):
    groups = gather(tally_of(faces), parts)
    return pd.DataFrame(score_table(groups, simulated(groups) if simulate else None))


@pytest.mark.parametrize("bend", [0.0, 0.1])
def test_spiegelhalter_is_mapies(bend):
    score, female = drawn(1500, 1, bend=lambda f: f + bend)
    z, p = spiegelhalter(*histogram(score, female), 1.0)
    assert z == pytest.approx(spiegelhalter_statistic(female.astype(int), score), abs=1e-9)
    upper = spiegelhalter_p_value(female.astype(int), score)  # theirs is one-sided
    assert p == pytest.approx(2 * min(upper, 1 - upper), abs=1e-9)


@pytest.mark.parametrize("bend", [0.0, 0.1])
def test_the_signed_error_is_that_of_uncertainty_calibration(bend):
    """Their debiased error is a root, cut at 0; scores are equal within a bin for both."""
    rng = np.random.default_rng(2)
    score = np.repeat((np.arange(15) + 0.5) / 15, 200)
    score = np.round(score, 3)
    female = (rng.random(3000) < np.clip(score + bend, 0, 1)).astype(int)
    judge = uncertainty_calibration.get_calibration_error(
        score, female, p=2, debias=True, mode="marginal"
    )
    mine = signed_error(*histogram(score, female == 1)).error
    assert np.sqrt(max(mine, 0)) == pytest.approx(judge, abs=1e-9)


def test_brier_is_that_of_scoringrules_and_scikit_learn():
    faces = some_faces(3000, seed=3)
    for r in records_of(faces).to_dict("records"):
        mine = faces[faces.race == r["group"]]
        female = (mine.gender_true == "female").to_numpy()
        judge = scoringrules.brier_score(female.astype(float), mine.score.to_numpy()).mean()
        assert r["brier"] == pytest.approx(judge, abs=1e-6)
        assert r["brier"] == pytest.approx(brier_score_loss(female, mine.score), abs=1e-6)


def test_mean_calibration_is_by_hand_and_adjusted_over_the_groups():
    faces = some_faces(3000, seed=4)
    frame = records_of(faces).set_index("group")
    by_hand = {}
    for race in RACES:
        mine = faces[faces.race == race]
        residual = (mine.gender_true == "female") - mine.score
        by_hand[race] = residual.sum() / np.sqrt((mine.score * (1 - mine.score)).sum())
        worth = score_design(gather(tally_of(faces), RACE))[RACES.index(race)]
        assert frame.loc[race, "mean_z"] == pytest.approx(by_hand[race] * np.sqrt(worth), rel=1e-4)
    adjusted = stats.false_discovery_control(frame["mean_p"])
    np.testing.assert_allclose(frame["mean_p_adjusted"], adjusted)


def test_turning_gender_round_leaves_the_errors():
    rng = np.random.default_rng(5)
    faces = some_faces(2000, seed=5).assign(score=np.round(rng.beta(0.5, 0.5, 2000), 3))
    turned = faces.assign(
        score=np.round(1 - faces.score, 3),
        gender_true=faces.gender_true.map({"female": "male", "male": "female"}),
    )
    a, b = records_of(faces), records_of(turned)
    for key in TURNED:
        np.testing.assert_allclose(a[key], b[key], atol=2e-5, err_msg=key)
    np.testing.assert_allclose(a["mean_z"], -b["mean_z"], atol=1e-3)
    np.testing.assert_allclose(a["spiegelhalter_z"], b["spiegelhalter_z"], atol=0.02)


def test_repeated_photos_change_no_test():
    once = some_faces(1500, seed=6)
    twice = pd.concat([once, once], ignore_index=True)
    a, b = (records_of(f, simulate=True) for f in (once, twice))
    for key in a.columns.drop(["feature", "group", "n"]):
        np.testing.assert_allclose(a[key], b[key], rtol=1e-6, atol=1e-9, err_msg=key)
    assert (b["n"] == 2 * a["n"]).all()


def test_a_perfect_score_is_refused_by_no_test_more_often_than_said():
    refused = {"spiegelhalter_p": 0, "mean_p": 0, "l2_p": 0}
    runs = 200
    for seed in range(runs):
        score, female = drawn(300, [7, seed])
        at = histogram(score, female)
        refused["spiegelhalter_p"] += spiegelhalter(*at, 1.0)[1] <= 0.05
        refused["l2_p"] += signed_error(*at).p_value <= 0.05
        residual, variance = (female - score).sum(), (score * (1 - score)).sum()
        refused["mean_p"] += 2 * stats.norm.sf(abs(residual) / np.sqrt(variance)) <= 0.05
    for key, hits in refused.items():
        assert hits / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs), key


def test_one_group_that_is_off_is_the_one_that_is_named():
    faces = some_faces(6000, seed=8)
    black = faces.race == "Black"
    odds = faces.score / (1 - faces.score) * np.where(black, np.exp(0.8), 1)
    frame = records_of(faces.assign(score=odds / (1 + odds)), simulate=True).set_index("group")
    off = frame["mean_p_adjusted"] < 0.01
    assert off.to_dict() == {"Asian": False, "Black": True, "White": False}
    assert frame.loc["Black", "mean_z"] < 0
    assert frame.loc["Black", "miscalibration_p"] < 0.01
    assert frame.loc["Black", "miscalibration"] > frame.loc["Black", "miscalibration_null"]
    assert frame.loc["Black", "smooth_ece"] > frame.loc["Black", "smooth_ece_null"]
    assert frame.loc["Black", "l2"] > frame.loc["Black", "l2_null"]


def test_without_the_simulation_its_figures_are_absent():
    frame = records_of(some_faces(300))
    assert "miscalibration_p" not in frame
    assert frame["smooth_ece"].notna().all()


def test_scores_that_are_certain_leave_nothing_to_test():
    faces = some_faces(300, seed=9)
    certain = faces.assign(score=np.where(faces.gender_true == "female", 1.0, 0.0))
    frame = records_of(certain, simulate=True)
    assert frame["mean_z"].isna().all()
    assert frame["spiegelhalter_z"].isna().all()
    assert frame["mean_p_adjusted"].isna().all()
    assert (frame[["ece", "smooth_ece", "miscalibration"]] == 0).all().all()


def test_mean_calibration_counts_people_not_photos():
    five = gather(tally_of(some_faces(300, seed=10, photos=5)), RACE)
    z, _ = mean_calibration(five, score_design(five))
    plain, _ = mean_calibration(five, np.ones(3))
    assert (np.abs(z) < 0.8 * np.abs(plain)).all()
