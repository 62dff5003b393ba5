"""The arithmetic of tag profiles, by hand-worked numbers."""

import numpy as np
import pytest

from veritag.bundles.bundle import ClusterProfile, TagCalibration
from veritag.judging.tag_probabilities import (
    calibrated,
    contradiction_score,
    contradiction_scores,
    independent_pictures,
    pooled,
    profile_table,
    series_posterior,
    sharpened,
)

CLUSTERS = (
    ClusterProfile(0, {"Modality": {"CT": 0.9, "MR": 0.1}}, {"Modality": 10.0}),
    ClusterProfile(1, {"Modality": {"MR": 1.0}}, {"Modality": 10.0}),
    ClusterProfile(2, {}, {}),
)


def test_sharpening_squares_and_renormalizes() -> None:
    """(2/3, 1/3) with exponent 2 becomes (4/5, 1/5)."""
    np.testing.assert_allclose(sharpened(np.array([[2 / 3, 1 / 3]]), 2.0), [[0.8, 0.2]])


def test_sharpening_survives_extremes() -> None:
    """Zero and tiny shares with a huge exponent still sum to one."""
    weights = sharpened(np.array([[1.0, 0.0], [1e-200, 1e-201]]), 128.0)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert np.isfinite(weights).all()


def test_the_posterior_mixes_the_profiles() -> None:
    """Half of cluster 0 and half of cluster 1 give CT 0.45 and MR 0.55."""
    table = profile_table(CLUSTERS, "Modality")
    found = series_posterior(table, np.array([0.5, 0.5, 0.0]))
    assert found == pytest.approx({"MR": 0.55, "CT": 0.45})
    assert list(found or {}) == ["MR", "CT"]


def test_clusters_that_do_not_know_the_tag_are_left_out() -> None:
    """A quarter of the weight on an ignorant cluster is spread over the others."""
    table = profile_table(CLUSTERS, "Modality")
    found = series_posterior(table, np.array([0.75, 0.0, 0.25]))
    assert found == pytest.approx({"CT": 0.9, "MR": 0.1})


@pytest.mark.parametrize(
    ("weights", "tag"),
    [
        (np.array([0.1, 0.1, 0.8]), "Modality"),
        (np.array([1.0, 0.0, 0.0]), "BodyPartExamined"),
    ],
)
def test_ignorance_is_no_opinion(weights: np.ndarray, tag: str) -> None:
    """Mostly ignorant clusters or an unlearnt tag give None."""
    assert series_posterior(profile_table(CLUSTERS, tag), weights) is None


def test_the_score_is_what_nothing_fits() -> None:
    """Only the mass of incompatible values counts against a value."""
    probabilities = {"HEAD": 0.2, "BRAIN": 0.5, "KNEE": 0.3}
    fits = {"HEAD", "BRAIN"}
    score = contradiction_score(probabilities, "HEAD", lambda v, _: v in fits)
    assert score == pytest.approx(0.3)


def test_what_fits_halfway_counts_half() -> None:
    """A neighbor's mass speaks half against a value."""
    halves = {"HAND": 1.0, "WRIST": 0.5, "KNEE": 0.0}
    probabilities = {"HAND": 0.2, "WRIST": 0.6, "KNEE": 0.2}
    score = contradiction_score(probabilities, "HAND", lambda v, _: halves[v])
    assert score == pytest.approx(0.5)


def test_scores_of_many_pictures_are_those_of_each() -> None:
    """The array form says the same as the one for a single picture."""
    rows = np.array([[0.2, 0.6, 0.2], [0.9, 0.1, 0.0], [0.5, 0.25, 0.25]])
    values = ("HAND", "WRIST", "KNEE")

    def fit(a: str, b: str) -> float:
        return 1.0 if a == b else 0.5 if {a, b} == {"HAND", "WRIST"} else 0.0

    observed = ["HAND", "KNEE", None]
    found = contradiction_scores(rows, values, observed, fit)
    each = [
        contradiction_score(dict(zip(values, row, strict=True)), value, fit)
        for row, value in zip(rows[:2].tolist(), ("HAND", "KNEE"), strict=True)
    ]
    np.testing.assert_allclose(found, [*each, np.nan])


def test_one_picture_is_pooled_to_itself() -> None:
    """A series of one says what its picture says, whatever the correlation."""
    p = np.array([[0.7, 0.3, 0.0]])
    for rho in (0.0, 0.4, 1.0):
        np.testing.assert_allclose(pooled(p, rho)[None, :], p, atol=1e-9)


def test_alike_pictures_count_as_many_as_are_independent() -> None:
    """Four pictures with rho 1 are one witness, with rho 0 four."""
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
    """A picture that is quite sure of something else leaves the others' opinion."""
    p = np.tile([0.9, 0.1], (count, 1))
    p[0] = [1e-9, 1.0]
    assert pooled(p, rho)[0] > 0.6


def test_hard_zeros_and_many_pictures_stay_numbers() -> None:
    """Zeros and 5,000 independent pictures give a distribution, not NaN."""
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
