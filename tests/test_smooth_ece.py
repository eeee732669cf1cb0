"""The smooth calibration error: the definition, computed the slow way, is the judge."""

import numpy as np
import pytest
from scipy.optimize import brentq

from audit.smooth_ece import smooth_error, smooth_error_null


def by_definition(score, residual):
    """smECE by images of the Gaussian reflected at 0 and 1, on a fine grid of the interval."""
    t = (np.arange(4000) + 0.5) / 4000

    def area(width):
        kernel = np.zeros((len(t), len(score)))
        for image in range(-4, 5):
            for mirrored in (score + 2 * image, -score + 2 * image):
                kernel += np.exp(-(((t[:, None] - mirrored) / width) ** 2) / 2)
        smooth = (kernel / (width * np.sqrt(2 * np.pi))) @ residual
        return np.abs(smooth).mean()

    return brentq(lambda width: area(width) - width, 1e-3, 1, xtol=1e-6)


@pytest.mark.parametrize(("n", "shift"), [(60, 0.0), (200, 0.15), (400, -0.3)])
def test_it_is_the_fixed_point_of_the_definition(n, shift):
    rng = np.random.default_rng(n)
    score = rng.random(n)
    female = rng.random(n) < np.clip(score + shift, 0, 1)
    residual = (female - score) / n
    got = smooth_error(score, residual)
    assert got == pytest.approx(by_definition(score, residual), abs=5e-4)


@pytest.mark.parametrize("n", [1e9, 1e12])
def test_errors_far_smaller_than_a_cell_are_found(n):
    rng = np.random.default_rng(4)
    score = np.linspace(0.001, 0.999, 400)
    residuals = rng.normal(0, np.sqrt(score * (1 - score) / 400 / n), (50, 400))
    for residual in residuals[:10]:
        assert smooth_error(score, residual) == pytest.approx(np.abs(residual).sum(), rel=0.2)
    small = smooth_error_null(score, residuals, level=0.95)
    assert small == pytest.approx(
        smooth_error_null(score, residuals / 10, level=0.95) * 10, rel=0.2
    )


def test_turning_gender_round_changes_nothing():
    rng = np.random.default_rng(1)
    score, residual = rng.random(500), rng.normal(0, 1 / 500, 500)
    score[:6], residual[:6] = (0, 0.0003, 0.0008, 1, 0.9996, 0.9991), (9, -7, 5, 8, -8, 6)
    residual /= 300 * np.abs(residual).sum()  # narrow enough a kernel to tell the ends apart
    assert smooth_error(1 - score, -residual) == pytest.approx(smooth_error(score, residual))


def test_a_constant_score_that_is_off_is_off_by_its_residual():
    assert smooth_error(np.array([0.5]), np.array([0.2])) == pytest.approx(0.2, abs=1e-4)


def test_it_lies_below_the_mean_absolute_residual_and_moves_little_with_the_scores():
    rng = np.random.default_rng(2)
    score, residual = rng.random(300), rng.normal(0, 1 / 300, 300)
    error = smooth_error(score, residual)
    assert error <= np.abs(residual).sum()
    nudged = np.clip(score + rng.uniform(-0.001, 0.001, 300), 0, 1)
    assert smooth_error(nudged, residual) == pytest.approx(error, abs=0.003)


def test_no_residual_no_error():
    assert smooth_error(np.array([0.3]), np.zeros(1)) == 0
    assert np.isnan(smooth_error(np.zeros(0), np.zeros(0)))


def test_the_null_point_is_the_quantile_of_the_replicates_own_errors():
    rng = np.random.default_rng(3)
    score = rng.random(100)
    residuals = ((rng.random((200, 100)) < score) - score) / 100
    own = [smooth_error(score, r) for r in residuals]
    point = smooth_error_null(score, residuals, level=0.95)
    assert point == pytest.approx(np.quantile(own, 0.95), abs=0.002)


def test_scores_that_are_off_one_way_everywhere_are_off_by_the_mean_of_it():
    """No width lets residuals of one sign cancel: the reflected kernel loses no mass."""
    rng = np.random.default_rng(5)
    for n in range(1, 40):
        score, residual = rng.random(n), rng.random(n) / n
        for size in (1, 1e-5):  # far below the width of a cell the kernel rings
            error = smooth_error(score, size * residual)
            assert error == pytest.approx(size * residual.sum(), rel=0.01)


def test_a_hairs_breadth_in_the_scores_moves_the_error_by_no_more():
    """Also where a score passes from one cell of the grid to the next."""
    score = (np.arange(200, 600) + 0.5) / 1024
    residual = np.where(np.arange(400) % 2, 1.0, -1.0) / 400
    moved = score + np.where(np.arange(400) % 4 < 2, 1e-9, -1e-9)
    assert smooth_error(moved, residual) == pytest.approx(smooth_error(score, residual), abs=1e-5)
