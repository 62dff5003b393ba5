"""Deep clustering methods of ClustPy, where it is installed (extra `bench`).

Their networks are feed-forward and see tiles of 32x32 pixels, flattened. ClustPy 0.0.3
computes the target distribution of DEC and IDEC per mini-batch, not over all images as
Xie et al. (2016) do.
"""

import io
import warnings
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec

import cv2
import numpy as np
from numpy.typing import NDArray

Tiles = NDArray[np.uint8]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

NAMES = ("ClustPy IDEC", "ClustPy DCN", "ClustPy VaDE")
SIDE = 32
EMBEDDING = 25
PASSES = 25
"""Passes over the training images, before there are clusters and again with them."""


def available() -> bool:
    """Tell whether ClustPy is installed."""
    spec = find_spec("clustpy")
    return (
        spec is not None and spec.origin is not None
    )  # a folder of that name has no origin


def run_clustpy(
    name: str, training: Tiles, unseen: Tiles, n_clusters: int, seed: int
) -> tuple[Floats, Labels]:
    """Train on tiles (N, size, size); return embedding and labels of the unseen."""
    from clustpy.deep import DCN, IDEC, VaDE

    classes = dict(zip(NAMES, (IDEC, DCN, VaDE), strict=True))
    model = classes[name](
        n_clusters=n_clusters,
        pretrain_epochs=PASSES,
        clustering_epochs=PASSES,
        embedding_size=EMBEDDING,
        device="cpu",
        random_state=seed,
    )
    silence = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
        warnings.simplefilter("ignore")  # it warns at every pass
        model.fit(flattened(training))
        embedding: Floats = np.asarray(model.transform(flattened(unseen)), np.float64)
        labels: Labels = np.asarray(model.predict(flattened(unseen)), np.int64)
    return embedding, labels


def flattened(tiles: Tiles) -> NDArray[np.float32]:
    """Return tiles as vectors (N, 1024) in [0, 1]."""
    size = (SIDE, SIDE)
    small = [cv2.resize(t, size, interpolation=cv2.INTER_AREA) for t in tiles]
    flat: NDArray[np.float32] = np.array(small, dtype=np.float32) / np.float32(255)
    return flat.reshape(len(tiles), -1)
