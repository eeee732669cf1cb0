"""The signed calibration error: unbiased at any n, of the right size, and able to see."""

from dataclasses import astuple

import numpy as np
import pytest

from audit.signed_calibration import signed_l2

BINS = 200


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


@pytest.mark.parametrize("n", [60, 1000])
def test_a_perfect_score_has_no_error_on_average_and_small_p_as_often_as_said(n):
    found = [signed_l2(*drawn(seed, n)) for seed in range(400)]
    found = np.array([(f.error, f.p_value) for f in found])
    assert abs(found[:, 0].mean()) < 4 * found[:, 0].std() / np.sqrt(400)
    assert (found[:, 1] <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert (found[:, 1] <= 0.5).mean() > 0.3


def test_a_bent_score_has_the_squared_error_that_was_planted():
    def bend(f):
        return np.clip(f + 0.2 * np.sin(np.pi * f), 0, 1)

    found = [signed_l2(*drawn(seed, 3000, bend=bend)) for seed in range(40)]
    found = np.array([(f.error, f.p_value) for f in found])
    f = np.random.default_rng(0).beta(0.8, 0.8, 200_000)
    planted = ((bend(f) - f) ** 2).mean()
    assert found[:, 0].mean() == pytest.approx(planted, rel=0.1)
    assert (found[:, 1] < 0.001).all()


def test_turning_the_genders_round_changes_nothing():
    rng = np.random.default_rng(3)
    score = (rng.integers(0, BINS, 2000) + 0.5) / BINS
    female = (rng.random(2000) < score**1.3).astype(int)
    once = signed_l2(*histogram(score, female))
    turned = signed_l2(*histogram(1 - score, 1 - female))
    assert astuple(once) == pytest.approx(astuple(turned), rel=1e-6)


def test_without_faces_there_is_no_error():
    assert np.isnan(astuple(signed_l2(np.zeros((2, 4)), np.zeros(4)))).all()
