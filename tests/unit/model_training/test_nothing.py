"""Pictures of nothing, and the limits that end before them."""

import numpy as np

from model_training.calibrate import cluster_limits
from model_training.cluster_model import ClusterModel
from model_training.nothing import pictures_of_nothing


def test_pictures_of_nothing_are_of_many_kinds() -> None:
    """Each is a whole tile with some contrast, and a seed gives the same again."""
    tiles = pictures_of_nothing(32, seed=3)
    assert tiles.shape == (360, 32, 32)
    assert tiles.dtype == np.uint8
    assert (np.ptp(tiles.reshape(len(tiles), -1), axis=1) > 0).all()
    np.testing.assert_array_equal(tiles, pictures_of_nothing(32, seed=3))
    assert (tiles != pictures_of_nothing(32, seed=4)).any()


def test_limits_end_before_the_nearest_picture_of_nothing() -> None:
    """Of two clusters with radius 5 the one with noise at distance 2 ends at 1.9."""
    model = ClusterModel(np.array([[0.0, 0.0], [100.0, 0.0]]), degrees=1.0)
    nothing = np.array([[2.0, 0.0], [0.0, 4.0], [100.0, 60.0]])
    own = np.array([[0.5, 0.0], [1.0, 0.0], [3.0, 0.0], [100.0, 7.0]])
    limits = cluster_limits({"": 5.0}, model, own, nothing)
    np.testing.assert_allclose(limits, [1.9, 5.0])


def test_a_cluster_knows_half_of_what_it_learnt_from() -> None:
    """Noise right at a center does not make its cluster know nothing."""
    model = ClusterModel(np.array([[0.0, 0.0]]), degrees=1.0)
    own = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    limits = cluster_limits({"": 5.0}, model, own, np.array([[0.1, 0.0]]))
    np.testing.assert_allclose(limits, [2.0])
