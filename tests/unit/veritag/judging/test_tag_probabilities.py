"""The arithmetic of tag probabilities, by hand-worked numbers."""

import numpy as np
import pytest

from veritag.bundles.manifest import TagCalibration
from veritag.judging.tag_probabilities import (
    calibrated,
    contradiction_scores,
    independent_pictures,
    pooled,
    sharpened,
)


def test_sharpening_squares_and_renormalizes() -> None:
    """(2/3, 1/3) with exponent 2 becomes (4/5, 1/5)."""
    np.testing.assert_allclose(sharpened(np.array([[2 / 3, 1 / 3]]), 2.0), [[0.8, 0.2]])


def test_sharpening_survives_extremes() -> None:
    """Zero and tiny shares with a huge exponent still sum to one."""
    weights = sharpened(np.array([[1.0, 0.0], [1e-200, 1e-201]]), 128.0)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert np.isfinite(weights).all()


def test_contradiction_scores_by_hand() -> None:
    """The mass of concepts that do not fit counts, half of that which fits by half."""
    rows = np.array([[0.2, 0.6, 0.2], [0.9, 0.1, 0.0], [0.5, 0.25, 0.25]])
    values = ("HAND", "WRIST", "KNEE")

    def fit(a: str, b: str) -> float:
        return 1.0 if a == b else 0.5 if {a, b} == {"HAND", "WRIST"} else 0.0

    scores = contradiction_scores(rows, values, ["HAND", "KNEE", None], fit)
    np.testing.assert_allclose(scores, [1 - 0.2 - 0.6 / 2, 1.0, np.nan])


def test_a_picture_without_probabilities_has_no_score() -> None:
    """NaN among the probabilities of a picture makes its score NaN."""
    rows = np.array([[np.nan, 0.5], [0.5, 0.5]])
    scores = contradiction_scores(rows, ("CT", "MR"), ["CT", "CT"], lambda a, b: a == b)
    np.testing.assert_allclose(scores, [np.nan, 0.5])


def test_one_picture_is_pooled_to_itself() -> None:
    """The probabilities of a series of one are those of its picture."""
    p = np.array([[0.7, 0.3, 0.0]])
    for rho in (0.0, 0.4, 1.0):
        np.testing.assert_allclose(pooled(p, rho)[None, :], p, atol=1e-9)


def test_alike_pictures_count_as_many_as_are_independent() -> None:
    """Four pictures with rho 1 count as one, with rho 0 as four."""
    p = np.tile([0.75, 0.25], (4, 1))
    assert independent_pictures(4, 1.0) == 1
    assert independent_pictures(4, 0.0) == 4
    assert independent_pictures(5, 0.25) == pytest.approx(2.5)
    assert independent_pictures(4, float("nan")) == 1
    np.testing.assert_allclose(pooled(p, 1.0), [0.75, 0.25])
    np.testing.assert_allclose(pooled(p, 0.0), [81 / 82, 1 / 82])


@pytest.mark.parametrize("count", [3, 5, 40])
@pytest.mark.parametrize("rho", [0.1, 0.9])
def test_one_odd_slice_does_not_outvote_the_rest(count: int, rho: float) -> None:
    """One picture that is sure of another value does not change the pooled value."""
    p = np.tile([0.9, 0.1], (count, 1))
    p[0] = [1e-9, 1.0]
    assert pooled(p, rho)[0] > 0.6


def test_hard_zeros_and_many_pictures_stay_numbers() -> None:
    """Zeros and 5,000 independent pictures give a distribution without NaN."""
    p = np.tile([1.0, 0.0, 0.0], (5000, 1))
    found = pooled(p, 0.0)
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1.0)
    assert found.argmax() == 0


def test_calibration_is_piecewise_linear_and_keeps_silence() -> None:
    """Scores between knots are interpolated, NaN stays NaN, no knots change nothing."""
    knots = TagCalibration(0.5, (0.0, 0.5, 1.0), (0.0, 0.2, 0.9))
    scores = np.array([0.25, 1.0, np.nan])
    np.testing.assert_allclose(calibrated(knots, scores), [0.1, 0.9, np.nan])
    np.testing.assert_allclose(calibrated(TagCalibration(0.5), scores), scores)
