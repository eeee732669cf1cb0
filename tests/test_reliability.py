"""Isotonic reliability, its band and its test: scikit-learn and simulated truth are the judges."""

import numpy as np
import pandas as pd
import pytest
from exact_scores import drawn, histogram
from model_diagnostics.calibration import compute_bias
from model_diagnostics.scoring import SquaredError, decompose
from pandas_tally import FEATURES, some_faces, tally_of
from sklearn.isotonic import IsotonicRegression

from audit.calibration import score_design
from audit.groups import gather
from audit.reliability import (
    MOST_BINS,
    fitted,
    hundredths,
    isotonic_fits,
    miscalibration,
    reliability_table,
    simulate,
    simulated,
    thin,
)
from audit.score_tests import isotonic_brier

RACE = FEATURES[:1]


def test_the_fit_is_scikit_learns_at_every_hundredth():
    score, female = drawn(3000, 1)
    judge = IsotonicRegression(out_of_bounds="clip").fit(score, female)
    at = histogram(score, female)
    grid = hundredths(*at)
    np.testing.assert_allclose(fitted(*at, grid), judge.predict(grid), atol=1e-12)


def test_brier_parts_are_those_of_model_diagnostics():
    score, female = drawn(2000, 2)
    at = histogram(score, female)
    judge = decompose(y_obs=female.astype(float), y_pred=score, scoring_function=SquaredError())
    brier, share = ((score - female) ** 2).mean(), female.mean()
    assert brier - isotonic_brier(at[0]) == pytest.approx(judge["miscalibration"][0], abs=1e-12)
    discrimination = share * (1 - share) - isotonic_brier(at[0])
    assert discrimination == pytest.approx(judge["discrimination"][0], abs=1e-12)
    assert share * (1 - share) == pytest.approx(judge["uncertainty"][0], abs=1e-12)


@pytest.mark.filterwarnings("ignore:the string cache:DeprecationWarning")  # the judge's own
def test_the_mean_residual_by_group_is_model_diagnostics_bias():
    faces = some_faces(3000, seed=3)
    female = (faces.gender_true == "female").astype(float)
    judge = compute_bias(
        y_obs=female, y_pred=faces.score, feature=faces.race.rename("race").astype(str)
    )
    groups = gather(tally_of(faces), RACE)
    mine = groups.totals("score_resid") / 1e6 / groups.totals("score_n")
    theirs = dict(zip(judge["race"], judge["bias_mean"], strict=True))
    for name, value in zip(groups.names, mine, strict=True):
        assert -value == pytest.approx(theirs[name], abs=1e-6)


def test_replicates_in_one_call_are_fitted_as_if_alone():
    rng = np.random.default_rng(4)
    rows = rng.integers(1, 9, 60)
    shares = rng.binomial(rows, 0.5, (30, 60)) / rows
    together = isotonic_fits(shares, rows)
    for alone, fit in zip(shares, together, strict=True):
        judge = IsotonicRegression().fit_transform(np.arange(60), alone, sample_weight=rows)
        np.testing.assert_allclose(fit, judge, atol=1e-9)


def test_thinned_bins_keep_every_face_and_the_miscalibration():
    score, female = drawn(30_000, 5, bend=lambda f: f**1.2)
    at = histogram(score, female)
    bins = thin(*at, 1.0)
    assert len(bins.rows) <= MOST_BINS
    assert bins.rows.sum() == 30_000
    assert (bins.score * bins.rows).sum() == pytest.approx(score.sum())
    own = bins.share[None]
    kept = miscalibration(own, isotonic_fits(own, bins.rows), bins.score, bins.rows)[0]
    brier = ((score - female) ** 2).mean()
    assert kept == pytest.approx(brier - isotonic_brier(at[0]), rel=0.05)


def test_repeated_photos_change_neither_band_nor_test():
    once = histogram(*drawn(700, 6))
    a, b = simulate(*once, 1.0), simulate(2 * once[0], 2 * once[1], 0.5)
    np.testing.assert_allclose(a.band_low, b.band_low, atol=1e-12)
    np.testing.assert_allclose(a.band_high, b.band_high, atol=1e-12)
    assert a.miscalibration_p == b.miscalibration_p
    assert a.miscalibration_null == pytest.approx(b.miscalibration_null)
    assert a.smooth_ece_null == pytest.approx(b.smooth_ece_null)


@pytest.mark.parametrize("n", [50, 200, 1000])
def test_a_perfect_score_is_refused_as_often_as_said_and_lies_in_its_band(n):
    runs = 100
    refused, inside, points = 0, 0, 0
    for seed in range(runs):
        at = histogram(*drawn(n, [n, seed]))
        chance = simulate(*at, 1.0)
        refused += chance.miscalibration_p <= 0.05
        fit = fitted(*at, chance.grid)
        inside += ((chance.band_low <= fit + 1e-12) & (fit <= chance.band_high + 1e-12)).sum()
        points += len(fit)
    assert refused / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)
    assert 0.92 <= inside / points <= 0.98


def test_a_bent_score_is_refused_and_leaves_its_band():
    at = histogram(*drawn(2000, 7, bend=lambda f: f + 0.2 * np.sin(np.pi * f)))
    chance = simulate(*at, 1.0)
    fit = fitted(*at, chance.grid)
    assert chance.miscalibration_p < 0.01
    assert (fit > chance.band_high).mean() > 0.5


def test_a_constant_score_is_a_point():
    score = np.full(200, 0.3)
    female = np.arange(200) < 60
    chance = simulate(*histogram(score, female), 1.0)
    assert chance.grid.tolist() == [0.3]
    assert chance.band_low[0] < 0.3 < chance.band_high[0]
    assert chance.miscalibration_p == 1.0


def test_the_table_holds_every_face_of_groups_that_are_shown():
    faces = some_faces(900, seed=8)
    faces = faces[(faces.race != "Asian") | (faces.groupby("race").cumcount() < 9)]
    groups = gather(tally_of(faces), RACE)
    table = pd.DataFrame(reliability_table(groups, simulated(groups)))
    assert table.groupby("group")["n"].sum().to_dict() == {
        race: (faces.race == race).sum() for race in ("Black", "White")
    }
    for _, rows in table.groupby("group"):
        assert rows["predicted"].is_monotonic_increasing
        assert rows["fitted"].is_monotonic_increasing
        assert (rows["band_low"] <= rows["band_high"]).all()


def test_people_who_repeat_widen_the_band():
    alone, five = some_faces(1000, seed=9), some_faces(200, seed=9, photos=5)
    groups = [gather(tally_of(faces), ()) for faces in (alone, five)]
    assert score_design(groups[1])[0] < 0.5 * score_design(groups[0])[0]
    tables = [pd.DataFrame(reliability_table(g, simulated(g))) for g in groups]
    widths = [(t["band_high"] - t["band_low"]).mean() for t in tables]
    assert widths[1] > 1.2 * widths[0]
