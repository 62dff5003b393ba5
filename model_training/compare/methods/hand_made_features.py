"""The hand-made features of the paper's Table 3, from tiles (N, size, size)."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from skimage.feature import hog, local_binary_pattern
from sklearn.decomposition import PCA

Tiles = NDArray[np.uint8]
Floats = NDArray[np.float64]
Extract = Callable[[Tiles], Floats]

COMPONENTS = 100
HOG_CELL = 8
HOG_BLOCK = 2
LBP_RADIUS = 1
LBP_POINTS = 8
LBP_CELL = 16
LBP_BINS = LBP_POINTS * (LBP_POINTS - 1) + 3
"""One bin for each uniform pattern and rotation, and one for all other patterns."""


def fit_pca(training: Tiles, seed: int) -> Extract:
    """Return the projection on the first 100 principal components of the training tiles."""
    flat = _flat(training)
    components = min(COMPONENTS, *flat.shape)
    model = PCA(components, svd_solver="randomized", random_state=seed).fit(flat)
    return lambda tiles: np.asarray(model.transform(_flat(tiles)), dtype=np.float64)


def hog_features(tiles: Tiles) -> Floats:
    """Return histograms of oriented gradients: cells of 8x8, blocks of 2x2 cells."""
    return np.array(
        [
            hog(
                tile,
                orientations=9,
                pixels_per_cell=(HOG_CELL, HOG_CELL),
                cells_per_block=(HOG_BLOCK, HOG_BLOCK),
            )
            for tile in tiles
        ],
        dtype=np.float64,
    )


def lbp_features(tiles: Tiles) -> Floats:
    """Return histograms of local binary patterns: radius 1, 8 points, cells of 16x16.

    Patterns are the uniform ones of Ahonen et al. (2006), 59 bins a cell.
    """
    return np.array([_lbp(tile) for tile in tiles], dtype=np.float64)


def _lbp(tile: Tiles) -> Floats:
    codes = np.asarray(
        local_binary_pattern(  # type: ignore[no-untyped-call]
            tile, LBP_POINTS, LBP_RADIUS, method="nri_uniform"
        )
    )
    cells = codes.astype(np.int64).reshape(
        len(tile) // LBP_CELL, LBP_CELL, -1, LBP_CELL
    )
    per_cell = cells.transpose(0, 2, 1, 3).reshape(-1, LBP_CELL**2)
    histograms = [np.bincount(cell, minlength=LBP_BINS) for cell in per_cell]
    result: Floats = np.concatenate(histograms) / LBP_CELL**2
    return result


def _flat(tiles: Tiles) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = tiles.astype(np.float32) / np.float32(255)
    return flat.reshape(len(tiles), -1)


EXTRACTORS: Mapping[str, Callable[[Tiles, int], Extract]] = {
    "PCA": fit_pca,
    "HOG": lambda _training, _seed: hog_features,
    "LBP": lambda _training, _seed: lbp_features,
}
"""Name of a feature to a function of training tiles and seed that returns the extractor."""
