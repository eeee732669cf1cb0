"""The law of the signed calibration error: moments by enumeration, p by a simulation of its own."""

from itertools import product

import numpy as np
import pytest
from pandas_tally import FEATURES, some_faces, tally_of
from scipy import stats

from audit.calibration import binned
from audit.groups import gather
from audit.signed_calibration import (
    CalibrationTest,
    _perfect,
    adjusted_of,
    signed_error,
    weigh_calibration,
)

RACE = FEATURES[0]


def pair_mean(n, share, females):
    """The mean of (y - s)(y' - s) over all pairs of a bin's faces, from its counts."""
    sum_ = females - n * share
    squares = females * (1 - share) ** 2 + (n - females) * share**2
    return (sum_**2 - squares) / (n * (n - 1))


def every_outcome(n, share):
    """(error, probability) of every number of females a perfect score may meet in its bins."""
    errors, chances = [], []
    for females in product(*(range(int(k) + 1) for k in n)):
        k = np.array(females)
        errors.append((pair_mean(n, share, k) * n).sum() / n.sum())
        chances.append(stats.binom.pmf(k, n, share).prod())
    return np.array(errors), np.array(chances)


def counts(n, share, females):
    """As `signed_error` takes them: rows [female 0/1, bin], sums in millionths."""
    return np.stack([n - females, females]).astype(float), np.round(n * share * 1e6)


@pytest.mark.parametrize(
    ("n", "share"), [((12, 8), (0.3, 0.6)), ((5, 9), (0.05, 0.9)), ((30,), (0.2,))]
)
def test_its_null_point_and_p_have_the_exact_mean_variance_and_skewness(n, share):
    n, share = np.array(n, dtype=float), np.array(share)
    errors, chances = every_outcome(n, share)
    assert chances @ errors == pytest.approx(0, abs=1e-12)
    sd = np.sqrt(chances @ errors**2)
    law = stats.pearson3((chances @ errors**3) / sd**3, scale=sd)
    females = np.array([1] + [int(k) - 1 for k in n[1:]])
    found = signed_error(*counts(n, share, females))
    assert found.error == pytest.approx((pair_mean(n, share, females) * n).sum() / n.sum())
    assert found.null == pytest.approx(law.ppf(0.95))
    assert found.p_value == pytest.approx(law.sf(found.error))


def test_a_bin_of_one_face_has_no_pair_and_no_part():
    n, share, females = np.array([1.0, 20]), np.array([0.1, 0.6]), np.array([1.0, 8])
    both = signed_error(*counts(n, share, females))
    alone = signed_error(*counts(n[1:], share[1:], females[1:]))
    assert (both.error, both.null, both.p_value) == pytest.approx(
        (alone.error, alone.null, alone.p_value)
    )
    scores, sums = counts(n[:1], share[:1], females[:1])
    assert np.isnan(signed_error(scores, sums).error)
    assert np.isnan(signed_error(2 * scores, 2 * sums, 0.5).error), "two photos are one person"


def test_scores_that_are_certain_are_refuted_by_one_face_and_by_none():
    one = np.array([1.0])
    refuted = signed_error(*counts(21 * one, one, 20 * one))
    assert refuted.error > 0
    assert (refuted.null, refuted.p_value) == (0, 0)
    right = signed_error(*counts(21 * one, one, 21 * one))
    assert (right.error, right.null, right.p_value) == (0, 0, 1)


@pytest.mark.parametrize("seed", [1, 5])
def test_p_of_a_group_is_how_often_any_group_lies_as_many_standard_errors_off(seed):
    faces = some_faces(500, seed=seed)
    faces.loc[faces["race"] == "White", "score"] **= 1.5  # the largest group: its errors are least
    groups = gather(tally_of(faces, people_given=False), (RACE,))
    found = weigh_calibration(groups, seed=1)
    rng, draws = np.random.default_rng(0), 20_000
    nulls, seen = [], []
    for g in range(3):
        n, stated, females = binned(groups.scores[g], groups.score_sums[g])
        share = np.clip(stated / n, 0, 1)
        drawn = rng.binomial(n.astype(int), share, (draws, len(n)))
        null = (pair_mean(n, share, drawn) * n).sum(axis=1) / n.sum()
        nulls.append(null / null.std())
        own = (pair_mean(n, share, females) * n).sum() / n.sum()
        assert found.error[g] == pytest.approx(own)
        seen.append(own / null.std())
    largest = np.max(nulls, axis=0)
    for g in range(3):
        assert found.p[g] == pytest.approx((largest >= seen[g]).mean(), abs=0.06)
    again, other = (weigh_calibration(groups, seed=s).p.tolist() for s in (1, 2))
    assert again == found.p.tolist() != other


def test_thirty_people_are_tested_and_twenty_nine_are_not():
    faces = some_faces(400, seed=3)
    kept = faces.groupby("race").cumcount() < faces["race"].map(
        {"Asian": 29, "Black": 30, "White": 99}
    )
    found = weigh_calibration(gather(tally_of(faces[kept], people_given=False), (RACE,)))
    assert np.isfinite(found.error).tolist() == [False, True, True]
    assert np.isfinite(found.p).tolist() == [False, True, True]


def test_a_group_of_certain_scores_is_refuted_surely_or_not_at_all():
    faces = some_faces(300, seed=4)
    faces["score"] = (faces["gender_true"] == "female").astype(float)
    wrong = (faces["race"] == "Black") & (np.arange(300) % 2 == 0)
    faces.loc[wrong, "score"] = 1 - faces.loc[wrong, "score"]
    found = weigh_calibration(gather(tally_of(faces, people_given=False), (RACE,)))
    assert 0 < found.p[1] < 1e-12, "labels that cannot vary never come to differ"
    assert found.p[[0, 2]].tolist() == [1, 1]


def test_a_perfect_scores_females_are_as_many_and_vary_as_stated():
    n, share = np.array([2.5, 7.4, 1000.0]), np.array([0.4, 0.7, 0.3])
    drawn = _perfect(np.random.default_rng(5), n, n * share, 50_000)
    assert ((drawn >= 0) & (drawn <= n)).all()
    error = 4 * drawn.std(axis=0) / np.sqrt(50_000)
    assert (np.abs(drawn.mean(axis=0) - n * share) < error).all()
    np.testing.assert_allclose(drawn[:, 2].var(), 1000 * 0.3 * 0.7, rtol=0.03)


def test_an_adjusted_p_is_no_more_than_one():
    test = CalibrationTest("race", np.array([0.1, 0.0]), np.array([0.3, 0.8]))
    assert adjusted_of(test, 0.6).tolist() == [0.6, 1.0]
