"""Images without anatomy, which every bundle must take for an unknown kind."""

import numpy as np
from numpy.typing import NDArray

Tiles = NDArray[np.uint8]

IMAGES_PER_PATTERN = 60


def blank_images(size: int, seed: int) -> Tiles:
    """Return noise of several grains, ramps and checkerboards, (n, size, size)."""
    rng = np.random.default_rng(seed)
    parts = [_noise(size, grain, rng) for grain in (1, 2, 4, 8)]
    return np.concatenate([*parts, _ramps(size, rng), _checkerboards(size, rng)])


def _noise(size: int, grain: int, rng: np.random.Generator) -> Tiles:
    coarse = rng.integers(0, 256, (IMAGES_PER_PATTERN, size // grain, size // grain))
    return coarse.repeat(grain, axis=1).repeat(grain, axis=2).astype(np.uint8)


def _ramps(size: int, rng: np.random.Generator) -> Tiles:
    """Return gray values that rise along one direction."""
    along = np.linspace(-0.5, 0.5, size)
    angles = rng.uniform(0, 2 * np.pi, (IMAGES_PER_PATTERN, 1, 1))
    place = np.cos(angles) * along[:, None] + np.sin(angles) * along[None, :]
    # |place| <= sqrt(2) / 2, so that gray values stay within 0 to 255.
    return ((place + 0.71) / 1.42 * 255).astype(np.uint8)


def _checkerboards(size: int, rng: np.random.Generator) -> Tiles:
    rows, columns = np.indices((size, size))
    side = rng.integers(2, size // 2, (IMAGES_PER_PATTERN, 1, 1))
    return ((rows // side + columns // side) % 2 * 255).astype(np.uint8)
