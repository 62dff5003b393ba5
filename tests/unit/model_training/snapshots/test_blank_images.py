"""Blank images: noise, ramps and checkerboards."""

import numpy as np

from model_training.snapshots.blank_images import blank_images


def test_blank_images_are_of_many_kinds() -> None:
    """Each is a tile with some contrast, and equal seeds give equal tiles."""
    tiles = blank_images(32, seed=3)
    assert tiles.shape == (360, 32, 32)
    assert tiles.dtype == np.uint8
    assert (np.ptp(tiles.reshape(len(tiles), -1), axis=1) > 0).all()
    np.testing.assert_array_equal(tiles, blank_images(32, seed=3))
    assert (tiles != blank_images(32, seed=4)).any()
