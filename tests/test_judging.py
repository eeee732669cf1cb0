"""Before and after a map: figures are those of the rows, and paired intervals hold the truth."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm, t
from sklearn.metrics import brier_score_loss, mean_absolute_error, root_mean_squared_error

from audit.calibration import calibration_error
from audit.judging import judge_ages, judge_gap, judge_intervals, judge_scores
from audit.recalibration import corrected_age, corrected_score, logit

PLATT = {"slope": 0.7, "offset": 0.4}
LINEAR = {"slope": 0.8, "intercept": 6.0}
ROUNDS = 400
# Two Monte-Carlo errors of ROUNDS rounds around .95.
LEAST, MOST = 0.95 - 0.022 - 0.005, 0.95 + 0.022 + 0.005


def scored(n, rng):
    """Scores that PLATT would correct by half: neither before nor after is right."""
    score = np.round(np.clip(rng.beta(0.7, 0.7, n), 0.005, 0.995), 3)
    return score, rng.random(n) < expit(0.85 * logit(score) + 0.2)


def judged_scores(score, female, *, people=None):
    at, place = np.unique(score, return_inverse=True)
    females, males = (
        np.bincount(place, weights=rows, minlength=len(at)) for rows in (female, ~female)
    )
    changes = judge_scores(
        females,
        males,
        at,
        corrected_score(PLATT, at),
        people=people or len(score),
        threshold=0.5,
    )
    return {c.metric: c for c in changes}


def judged_ages(before, after, *, people=None):
    ones = np.ones(len(before))
    return {c.metric: c for c in judge_ages(before, after, ones, people=people or len(before))}


def test_scores_before_and_after_are_those_of_the_rows():
    score, female = scored(3000, np.random.default_rng(0))
    after = corrected_score(PLATT, score)
    got = judged_scores(score, female)
    for when, f in (("before", score), ("after", after)):
        stated = {name: getattr(c, when) for name, c in got.items()}
        assert stated["gender_brier"] == pytest.approx(brier_score_loss(female, f))
        assert stated["gender_me"] == pytest.approx((f - female).mean())
        assert stated["gender_accuracy"] == pytest.approx(((f >= 0.5) == female).mean())
        at, place = np.unique(f, return_inverse=True)
        rows = np.array(
            [np.bincount(place, weights=y, minlength=len(at)) for y in (~female, female)]
        )
        error = calibration_error(rows, at * rows.sum(axis=0) * 1e6)
        assert stated["gender_ece"] == pytest.approx(error)
    assert all(c.after - c.before == pytest.approx(c.change) for c in got.values())
    assert all(c.low <= c.change <= c.high for c in got.values() if c.low is not None)


def test_ages_before_and_after_are_those_of_the_rows():
    rng = np.random.default_rng(1)
    true = rng.uniform(1, 90, 500)
    before = 0.9 * true + 2 + rng.normal(0, 6, 500)
    after = corrected_age(LINEAR, before)
    got = judged_ages(before - true, after - true)
    for when, pred in (("before", before), ("after", after)):
        stated = {name: getattr(c, when) for name, c in got.items()}
        assert stated["age_mae"] == pytest.approx(mean_absolute_error(true, pred))
        assert stated["age_rmse"] == pytest.approx(root_mean_squared_error(true, pred))
        assert stated["age_me"] == pytest.approx((pred - true).mean())


def test_intervals_of_the_change_of_scores_hold_the_truth():
    big = judged_scores(*scored(2_000_000, np.random.default_rng(99)))
    rng = np.random.default_rng(2)
    held = dict.fromkeys(big, 0)
    for _ in range(ROUNDS):
        for name, c in judged_scores(*scored(600, rng)).items():
            if name == "gender_ece":  # a biased figure has no interval
                assert (c.low, c.high) == (None, None)
                continue
            held[name] += (c.low <= big[name].change <= c.high) / ROUNDS
    del held["gender_ece"]
    assert all(LEAST <= share <= MOST for share in held.values()), held


def test_intervals_of_the_change_of_ages_hold_the_truth():
    def errors(n, rng):
        true = rng.uniform(1, 90, n)
        pred = 0.85 * true + 5 + 4 * rng.standard_t(5, n)
        return pred - true, corrected_age(LINEAR, pred) - true

    big = judged_ages(*errors(2_000_000, np.random.default_rng(98)))
    rng = np.random.default_rng(3)
    held = dict.fromkeys(big, 0)
    for _ in range(ROUNDS):
        for name, c in judged_ages(*errors(300, rng)).items():
            held[name] += (c.low <= big[name].change <= c.high) / ROUNDS
    assert all(LEAST <= share <= MOST for share in held.values()), held


def test_intervals_of_the_change_of_coverage_hold_the_truth():
    rng, by, held = np.random.default_rng(4), 3.0, {"coverage": 0.0, "gap": 0.0}
    sigma, half = np.array([3.0, 6.0, 9.0]), 6.0
    was, now = (2 * norm.cdf((half + b) / sigma) - 1 for b in (0, by))
    truth = {
        "coverage": (now - was).mean(),
        "gap": np.abs(now - 0.9).mean() - np.abs(was - 0.9).mean(),
    }
    for _ in range(ROUNDS):
        misses = np.abs(rng.normal(0, sigma[:, None], (3, 400))) - half
        at, place = np.unique(np.ceil(misses * 10) / 10, return_inverse=True)
        counts = np.zeros((3, len(at)))
        np.add.at(counts, (np.repeat(np.arange(3), 400), place.ravel()), 1)
        n = counts.sum(axis=0)
        coverage, width = judge_intervals(n, at, np.full(len(at), by), people=1200, width=12.0)
        gap = judge_gap(counts, at, np.full(3, by), people=np.full(3, 400.0), stated=True)
        for name, c in (("coverage", coverage), ("gap", gap)):
            held[name] += (c.low <= truth[name] <= c.high) / ROUNDS
        assert (width.before, width.after, width.low, width.high) == (12, 18, 6, 6)
    assert all(LEAST <= share <= MOST for share in held.values()), held


def test_turning_gender_round_changes_no_loss():
    score, female = scored(2000, np.random.default_rng(5))
    score[score == 0.5] = 0.501  # a score of one half is called female on both sides
    mine = judged_scores(score, female)
    at, place = np.unique(np.round(1 - score, 3), return_inverse=True)
    f, m = (np.bincount(place, weights=y, minlength=len(at)) for y in (~female, female))
    turned = {"slope": PLATT["slope"], "offset": -PLATT["offset"]}
    theirs = judge_scores(f, m, at, corrected_score(turned, at), people=2000, threshold=0.5)
    for c in theirs:
        sign = -1 if c.metric == "gender_me" else 1
        for when in ("before", "after", "change"):
            theirs_ = sign * getattr(c, when)
            assert theirs_ == pytest.approx(getattr(mine[c.metric], when), abs=1e-9), c.metric


def test_photos_that_repeat_change_no_interval():
    score, female = scored(700, np.random.default_rng(6))
    once = judged_scores(score, female)
    twice = judged_scores(np.tile(score, 2), np.tile(female, 2), people=700)
    for name, c in once.items():
        assert vars(twice[name]) == pytest.approx(vars(c), abs=1e-12)


@pytest.mark.parametrize(("people", "freedom"), [(40, 39), (50_000, 999)])
def test_the_interval_of_a_change_is_students_over_people_told_apart_by_shards(people, freedom):
    rng = np.random.default_rng(7)
    before, after = rng.normal(0, 5, (2, 300))
    change = judged_ages(before, after, people=people)["age_me"]
    half = t.ppf(0.975, freedom) * (after - before).std() / np.sqrt(people - 1)
    assert (change.high - change.low) / 2 == pytest.approx(half)


def test_without_stated_intervals_there_is_nothing_before():
    n, at = np.ones(20), np.arange(20.0)
    for c in judge_intervals(n, at, np.full(20, 9.0), people=20, width=None):
        assert (c.before, c.change, c.low, c.high) == (None,) * 4
    gap = judge_gap(n[None], at, np.array([9.0]), people=np.array([20.0]), stated=False)
    assert gap.before is None
    assert gap.after == pytest.approx(0.4)
