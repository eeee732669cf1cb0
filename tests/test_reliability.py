"""Isotonic reliability, its band and its test: scikit-learn and simulated truth are the judges."""

import numpy as np
import pandas as pd
import pytest
from exact_scores import drawn, histogram
from model_diagnostics.calibration import compute_bias
from model_diagnostics.scoring import SquaredError, decompose
from pandas_tally import FEATURES, some_faces, tally_of
from scipy import stats
from scipy.optimize import isotonic_regression
from sklearn.isotonic import IsotonicRegression

from audit.calibration import DRAWS, score_design
from audit.groups import gather
from audit.reliability import (
    MOST_BINS,
    _between,
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
from audit.smooth_ece import smooth_error

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


def brier_saved(score, females, rows):
    """What an isotonic fit saves of the Brier score, row by row."""
    y = np.concatenate([np.arange(n) < k for k, n in zip(females, rows, strict=True)]).astype(float)
    f = np.repeat(score, rows)
    fit = isotonic_regression(females / rows, weights=rows).x
    return ((f - y) ** 2).mean() - ((np.repeat(fit, rows) - y) ** 2).mean()


def test_miscalibration_weighs_bins_by_their_rows():
    score, rows = np.array([0.2, 0.5, 0.8]), np.array([40, 3, 11])
    females = np.array([15, 0, 10])
    share = (females / rows)[None]
    mine = miscalibration(share, isotonic_fits(share, rows), score, rows)
    assert mine[0] == pytest.approx(brier_saved(score, females, rows))


def at_scores(score, females, rows):
    """Histogram of `rows` faces at each of a few scores."""
    f = np.repeat(score, rows)
    return histogram(
        f, np.concatenate([np.arange(n) < k for k, n in zip(females, rows, strict=True)])
    )


@pytest.mark.parametrize(
    ("rows", "females"), [((20, 30, 25), (7, 13, 17)), ((60, 6, 9), (15, 2, 8))]
)
def test_the_null_point_and_p_are_those_of_labels_drawn_a_second_time(rows, females):
    score, rows, females = np.array([0.2, 0.5, 0.8]), np.array(rows), np.array(females)
    chance = simulate(*at_scores(score, females, rows), 1.0)
    rng = np.random.default_rng(0)
    drawn = rng.binomial(rows, score, (4000, 3))
    null = np.array([brier_saved(score, k, rows) for k in drawn])
    seen = brier_saved(score, females, rows)
    assert chance.miscalibration_null == pytest.approx(np.quantile(null, 0.95), rel=0.12)
    assert chance.miscalibration_p == pytest.approx((null >= seen - 1e-12).mean(), abs=0.04)
    smooth = [smooth_error(score, (k - rows * score) / rows.sum()) for k in drawn[:1000]]
    assert chance.smooth_ece_null == pytest.approx(np.quantile(smooth, 0.95), rel=0.12)
    none = simulate(*at_scores(score, rows - 1, rows), 1.0)
    assert none.miscalibration_p == 1 / (DRAWS + 1), "what was seen is one of the replicates"


def test_of_one_score_band_and_smooth_null_are_the_binomials():
    chance = simulate(*at_scores(np.array([0.5]), np.array([200]), np.array([400])), 1.0)
    law = stats.binom(400, 0.5)
    assert chance.band_low[0] == pytest.approx(law.ppf(0.025) / 400, abs=0.005)
    assert chance.band_high[0] == pytest.approx(law.ppf(0.975) / 400, abs=0.005)
    off = np.abs(np.arange(401) / 400 - 0.5)
    order = np.argsort(off)
    reached = np.cumsum(law.pmf(np.arange(401))[order]) >= 0.95
    assert chance.smooth_ece_null == pytest.approx(off[order][reached][0], rel=0.08)


def test_between_bins_a_replicate_runs_straight_and_beyond_them_level():
    rng = np.random.default_rng(1)
    score, fits = np.sort(rng.random(12)) * 0.8 + 0.1, np.sort(rng.random((5, 12)), axis=1)
    grid = np.linspace(0, 1, 101)
    judge = [np.interp(grid, score, fit) for fit in fits]
    np.testing.assert_allclose(_between(grid, score, fits), judge)


@pytest.mark.parametrize("shrink", [1.0, 0.37])
def test_thinned_bins_turn_round_with_the_scores_and_lose_no_row(shrink):
    score, female = drawn(907, 10)  # a prime: no bin lies on an edge
    rows, sums = histogram(score, female)
    bins = thin(rows, sums, shrink)
    turned = thin(rows[::-1, ::-1], (rows.sum(axis=0) * 1e6 - sums)[::-1], shrink)
    assert bins.rows.sum() == turned.rows.sum() == round(907 * shrink)
    np.testing.assert_array_equal(bins.rows, turned.rows[::-1])
    np.testing.assert_allclose(bins.share, 1 - turned.share[::-1], atol=1e-12)
    np.testing.assert_allclose(bins.score, 1 - turned.score[::-1])


def test_the_grid_runs_from_the_nearest_hundredth_to_the_nearest_and_so_do_the_faces():
    score = np.array([0.296] * 9 + [0.404] * 8 + [0.485] * 7)
    at = histogram(score, np.arange(24) % 2 == 0)
    grid = hundredths(*at)
    assert (grid[0], grid[-1], len(grid)) == (0.3, 0.49, 20)
    faces = some_faces(24, seed=11).assign(race="Black", score=score)
    groups = gather(tally_of(faces), RACE)
    table = pd.DataFrame(reliability_table(groups, simulated(groups))).set_index("predicted")
    assert table["n"][table["n"] > 0].to_dict() == {0.3: 9, 0.4: 8, 0.49: 7}


def test_ten_people_are_shown_and_nine_are_not():
    faces = some_faces(300, seed=12)
    kept = faces.groupby("race").cumcount() < faces["race"].map(
        {"Asian": 9, "Black": 10, "White": 99}
    )
    found = simulated(gather(tally_of(faces[kept], people_given=False), RACE))
    assert [one is None for one in found] == [True, False, False]
