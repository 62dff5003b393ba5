"""The equations of clustering against numbers worked by hand."""

import numpy as np
import pytest

from model_training.network.clustering import (
    fit_whitening,
    initial_centers,
    soft_assignment,
    squared_distances,
    target_distribution,
)


def test_soft_assignment_by_hand() -> None:
    """Squared distances 1 and 4 with one degree of freedom give kernels 1/2 and 1/5, so 5/7 and 2/7."""
    q = soft_assignment(np.array([[0.0]]), np.array([[1.0], [2.0]]))
    np.testing.assert_allclose(q, [[5 / 7, 2 / 7]])


def test_soft_assignment_with_more_degrees_of_freedom() -> None:
    """With three degrees the exponent is -2: (4/3)^-2 against (7/3)^-2."""
    q = soft_assignment(np.array([[0.0]]), np.array([[1.0], [2.0]]), degrees=3.0)
    near, far = (4 / 3) ** -2, (7 / 3) ** -2
    np.testing.assert_allclose(q, [[near / (near + far), far / (near + far)]])


def test_target_distribution_by_hand() -> None:
    """P sharpens q and weighs clusters down by their frequency over the whole set."""
    q = np.array([[0.75, 0.25], [0.25, 0.75]])
    p = target_distribution(q)  # f = (1, 1); 0.5625 and 0.0625 of 0.625
    np.testing.assert_allclose(p, [[0.9, 0.1], [0.1, 0.9]])
    uneven = target_distribution(np.array([[0.8, 0.2], [0.6, 0.4]]))
    # f = (1.4, 0.6): 0.64/1.4 and 0.04/0.6; 0.36/1.4 and 0.16/0.6
    np.testing.assert_allclose(uneven[0, 0], (0.64 / 1.4) / (0.64 / 1.4 + 0.04 / 0.6))
    np.testing.assert_allclose(uneven[1, 1], (0.16 / 0.6) / (0.36 / 1.4 + 0.16 / 0.6))


def test_distances_are_euclidean() -> None:
    """Distances equal the sum of squared differences."""
    rng = np.random.default_rng(2)
    z, centers = rng.normal(size=(7, 5)), rng.normal(size=(3, 5))
    expected = ((z[:, None] - centers[None]) ** 2).sum(2)
    np.testing.assert_allclose(squared_distances(z, centers), expected, atol=1e-12)


def test_whitening_leaves_unit_variances_without_correlation() -> None:
    """The whitened covariance is the identity."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(500, 4)) @ rng.normal(size=(4, 4)) + 5
    covariance = np.cov(fit_whitening(z).apply(z), rowvar=False)
    np.testing.assert_allclose(covariance, np.eye(4), atol=1e-8)


def test_centers_start_where_the_groups_are() -> None:
    """k-means finds two well-separated groups."""
    rng = np.random.default_rng(4)
    z = np.concatenate([rng.normal(0, 0.1, (50, 2)), rng.normal(5, 0.1, (50, 2))])
    centers = initial_centers(z, 2, seed=1)
    np.testing.assert_allclose(np.sort(centers[:, 0]), [0, 5], atol=0.2)


def test_too_few_images_for_the_clusters_is_an_error() -> None:
    """Three images cannot fill four clusters."""
    with pytest.raises(ValueError, match="3 images cannot fill 4 clusters"):
        initial_centers(np.zeros((3, 2)), 4, seed=1)
