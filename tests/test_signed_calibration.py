"""The signed calibration error: zero on average, tested at the right size, and able to see."""

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from pandas_tally import FEATURES, some_faces, tally_of

from audit.calibration import binned
from audit.groups import gather
from audit.signed_calibration import (
    CalibrationTest,
    adjusted_of,
    signed_error,
    signed_l2,
    tell_calibration,
    weigh_calibration,
)

RACE = FEATURES[0]
BINS = 200


def race_groups(n, *, seed, bend=None):
    """Faces by race with a perfect score, or with one bent for `Black`."""
    faces = some_faces(n, seed=seed)
    if bend is not None:
        black = faces["race"] == "Black"
        faces.loc[black, "score"] = bend(faces.loc[black, "score"])
    return gather(tally_of(faces, people_given=False), (RACE,))


def test_a_perfect_score_has_no_error_on_average_at_any_n():
    rng = np.random.default_rng(1)
    for size in (5.0, 200.0):
        n, share = np.full(15, size), np.linspace(0.02, 0.98, 15)
        errors = signed_l2(n, n * share, rng.binomial(int(size), share, (4000, 15)).astype(float))
        assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(4000)


def test_the_error_is_the_planted_squared_one():
    rng = np.random.default_rng(2)
    n, share = np.full(15, 400.0), np.linspace(0.1, 0.9, 15)
    drawn = rng.binomial(400, share + 0.05, (5000, 15)).astype(float)
    assert signed_l2(n, n * share, drawn).mean() == pytest.approx(0.05**2, rel=0.03)


@pytest.mark.parametrize("n", [160, 1500])
def test_a_perfect_score_is_called_miscalibrated_no_more_often_than_said(n):
    p = np.array([weigh_calibration(race_groups(n, seed=seed)).p_value for seed in range(150)])
    for level in (0.05, 0.2):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 150)
    assert (p <= 0.5).mean() > 0.3


def test_a_bent_score_is_found_in_the_group_where_it_was_bent():
    groups = race_groups(3000, seed=3, bend=lambda f: f**2)
    found = weigh_calibration(groups)
    black = groups.names.index("Black")
    assert found.p_value == found.p[black] < 0.0002
    assert np.argmax(found.error) == black
    assert np.delete(found.p, black).min() > 0.01


@pytest.mark.parametrize("bend", [lambda f: f**2, lambda f: (f > 0.5).astype(float)])
def test_a_gross_error_outlives_a_correction_for_a_thousand_tests(bend):
    groups = race_groups(3000, seed=3, bend=bend)
    p = weigh_calibration(groups).p[groups.names.index("Black")]
    assert 0 < p < 1e-8


def test_the_tail_carried_on_is_that_of_more_draws(monkeypatch):
    groups = race_groups(600, seed=3, bend=lambda f: f**2)
    black = groups.names.index("Black")
    drawn = np.mean([weigh_calibration(groups, seed=seed).p[black] for seed in range(3)])
    monkeypatch.setattr("audit.signed_calibration.MORE", 999)
    carried = np.median([weigh_calibration(groups, seed=seed).p[black] for seed in range(9)])
    assert 1e-4 <= drawn < 3e-4
    assert drawn / 3 < carried < 3 * drawn


def test_photos_repeated_under_their_person_do_not_make_a_claim_surer():
    faces = some_faces(500, seed=4)
    faces["score"] = faces["score"] ** 1.3
    five = pd.concat([faces] * 5)
    once, people, rows = (
        weigh_calibration(gather(tally_of(f, people_given=given), (RACE,)))
        for f, given in ((faces, True), (five, True), (five, False))
    )
    np.testing.assert_allclose(people.p, once.p, atol=0.05)
    assert rows.p_value < 0.1 * people.p_value


def test_groups_of_few_are_not_tested():
    found = weigh_calibration(race_groups(60, seed=5))
    assert np.isnan(found.p).any()
    none = weigh_calibration(race_groups(20, seed=5))
    assert np.isnan(none.p_value)
    assert np.isnan(none.error).all()


def test_a_group_is_never_surer_than_its_feature():
    test = CalibrationTest("race", np.array([0.1, 0.2, np.nan]), np.array([0.01, 0.001, np.nan]))
    np.testing.assert_allclose(adjusted_of(test, 0.03), [0.3, 0.03, np.nan])
    records = [{"feature": "race"}, {"feature": "race"}, {"feature": "race"}, {"feature": "site"}]
    tell_calibration(records, [test], np.array([0.03]))
    assert [r.get("l2_p_adjusted") for r in records[:2]] == pytest.approx([0.3, 0.03])
    assert "l2_p_adjusted" not in records[3]


def test_bins_are_the_reviews_own():
    groups = race_groups(2000, seed=6)
    n, stated, females = binned(groups.scores[0], groups.score_sums[0])
    found = weigh_calibration(groups)
    assert found.error[0] == pytest.approx(float(signed_l2(n, stated, females)))


# One group alone


def histogram(score, female):
    """scores [female 0/1, bin] and their sums in millionths, bins of equal width."""
    place = np.minimum((score * BINS).astype(int), BINS - 1)
    scores = np.stack([np.bincount(place[female == y], minlength=BINS) for y in (0, 1)])
    sums = np.bincount(place, weights=np.round(score * 1e6), minlength=BINS)
    return scores.astype(float), sums


def drawn(seed, n, *, bend=lambda f: f):
    rng = np.random.default_rng(seed)
    score = rng.beta(0.8, 0.8, n)
    return histogram(score, (rng.random(n) < bend(score)).astype(int))


@pytest.mark.parametrize("n", [50, 1000])
def test_one_group_has_no_error_on_average_and_small_p_as_often_as_said(n):
    found = [signed_error(*drawn(seed, n)) for seed in range(1500)]
    found = np.array([(f.error, f.p_value) for f in found])
    assert abs(found[:, 0].mean()) < 4 * found[:, 0].std() / np.sqrt(1500)
    assert (found[:, 1] <= 0.05).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1500)
    assert (found[:, 1] <= 0.5).mean() > 0.3


def test_a_bent_score_has_the_squared_error_that_was_planted():
    def bend(f):
        return np.clip(f + 0.2 * np.sin(np.pi * f), 0, 1)

    found = [signed_error(*drawn(seed, 3000, bend=bend)) for seed in range(40)]
    found = np.array([(f.error, f.p_value) for f in found])
    f = np.random.default_rng(0).beta(0.8, 0.8, 200_000)
    planted = ((bend(f) - f) ** 2).mean()
    assert found[:, 0].mean() == pytest.approx(planted, rel=0.1)
    assert (found[:, 1] < 0.001).all()


def test_turning_the_genders_round_changes_nothing():
    rng = np.random.default_rng(3)
    score = (rng.integers(0, BINS, 2000) + 0.5) / BINS
    female = (rng.random(2000) < score**1.3).astype(int)
    once = signed_error(*histogram(score, female))
    turned = signed_error(*histogram(1 - score, 1 - female))
    assert astuple(once) == pytest.approx(astuple(turned), rel=1e-6)


def test_without_faces_there_is_no_error():
    assert np.isnan(astuple(signed_error(np.zeros((2, 4)), np.zeros(4)))).all()
