"""The arithmetic of tag profiles, by hand-worked numbers."""

import numpy as np
import pytest

from veritag.bundle import ClusterProfile
from veritag.profiles import (
    contradiction_score,
    series_posterior,
    series_weights,
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


def test_a_series_weighs_its_images_alike() -> None:
    """The weights of a series are the mean of its images' weights."""
    q = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(series_weights(q, 1.0), [0.75, 0.25, 0.0], atol=1e-12)


def test_the_posterior_mixes_the_profiles() -> None:
    """Half of cluster 0 and half of cluster 1 give CT 0.45 and MR 0.55."""
    found = series_posterior(CLUSTERS, 1.0, np.array([[0.5, 0.5, 0.0]]), "Modality")
    assert found == pytest.approx({"MR": 0.55, "CT": 0.45})
    assert list(found or {}) == ["MR", "CT"]


def test_clusters_that_do_not_know_the_tag_are_left_out() -> None:
    """A quarter of the weight on an ignorant cluster is spread over the others."""
    found = series_posterior(CLUSTERS, 1.0, np.array([[0.75, 0.0, 0.25]]), "Modality")
    assert found == pytest.approx({"CT": 0.9, "MR": 0.1})


@pytest.mark.parametrize(
    ("q", "tag"),
    [
        (np.array([[0.1, 0.1, 0.8]]), "Modality"),
        (np.empty((0, 3)), "Modality"),
        (np.array([[1.0, 0.0, 0.0]]), "BodyPartExamined"),
    ],
)
def test_ignorance_is_no_opinion(q: np.ndarray, tag: str) -> None:
    """Mostly ignorant clusters, no images or an unlearnt tag give None."""
    assert series_posterior(CLUSTERS, 1.0, q, tag) is None


def test_the_score_is_what_nothing_fits() -> None:
    """Only the mass of incompatible values counts against a value."""
    probabilities = {"HEAD": 0.2, "BRAIN": 0.5, "KNEE": 0.3}
    fits = {"HEAD", "BRAIN"}
    score = contradiction_score(probabilities, "HEAD", lambda v, _: v in fits)
    assert score == pytest.approx(0.3)
