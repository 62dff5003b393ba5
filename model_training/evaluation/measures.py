"""Figures of clusters and of probabilities, over images with weights.

Weights are how often an image counts: 1 each, or the numbers of a bootstrap resample.
Pure functions of arrays of shape (N,).
"""

import numpy as np
from numpy.typing import NDArray

from veritag.judging.tag_probabilities import Floats

Labels = NDArray[np.intp]
BINS = 10


def contingency(clusters: Labels, classes: Labels, weights: Floats) -> Floats:
    """Return the weight of each cluster and class, of shape (K, C).

    Parameters
    ----------
    clusters, classes
        Indices from 0.
    """
    shape = int(clusters.max(initial=0)) + 1, int(classes.max(initial=0)) + 1
    flat = np.bincount(
        clusters * shape[1] + classes, weights=weights, minlength=shape[0] * shape[1]
    )
    table: Floats = flat.astype(np.float64).reshape(shape)
    return table


def entropy(masses: Floats) -> float:
    """Return the entropy in nats of masses that need not sum to 1."""
    total = masses.sum()
    p = masses[masses > 0] / total if total > 0 else np.empty(0)
    return float(-(p * np.log(p)).sum())


def mutual_information(table: Floats) -> float:
    """Return the mutual information in nats of a contingency table."""
    joint = entropy(table.ravel())
    return max(0.0, entropy(table.sum(axis=1)) + entropy(table.sum(axis=0)) - joint)


def nmi(table: Floats) -> float | None:
    """Return mutual information over the mean entropy; None with one class only."""
    of_clusters, of_classes = entropy(table.sum(axis=1)), entropy(table.sum(axis=0))
    if of_classes <= 0:
        return None
    return 2 * mutual_information(table) / (of_clusters + of_classes)


def homogeneity(table: Floats) -> float | None:
    """Return the share of the classes' entropy that clusters explain (Rosenberg 2007)."""
    of_classes = entropy(table.sum(axis=0))
    return mutual_information(table) / of_classes if of_classes > 0 else None


def adjusted_rand(table: Floats) -> float | None:
    """Return the adjusted Rand index (Hubert and Arabie 1985); None with one class."""
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    every = float(_pairs(table.sum(keepdims=True)).sum())
    if (columns > 0).sum() < 2 or every <= 0:  # noqa: PLR2004 - two classes
        return None
    together = float(_pairs(table).sum())
    a, b = float(_pairs(rows).sum()), float(_pairs(columns).sum())
    expected, most = a * b / every, (a + b) / 2
    return (together - expected) / (most - expected) if most != expected else 1.0


def _pairs(n: Floats) -> Floats:
    pairs: Floats = np.asarray(n * (n - 1) / 2)
    return pairs


def brier(
    probability: Floats, truth: NDArray[np.bool_], weights: Floats
) -> float | None:
    """Return the weighted mean squared error of probabilities (Brier 1950)."""
    total = float(weights.sum())
    if total <= 0:
        return None
    return float((weights * (probability - truth) ** 2).sum() / total)


def calibration_error(
    probability: Floats, truth: NDArray[np.bool_], weights: Floats
) -> float | None:
    """Return the expected calibration error over bins of equal width (Guo 2017)."""
    total = float(weights.sum())
    if total <= 0:
        return None
    # A probability of 1 belongs to the last bin.
    bins = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    claimed = np.bincount(bins, weights=weights * probability, minlength=BINS)
    true = np.bincount(bins, weights=weights * truth, minlength=BINS)
    return float(np.abs(claimed - true).sum() / total)


def share(hits: NDArray[np.bool_], weights: Floats) -> float | None:
    """Return the weighted share of hits; None without any weight."""
    total = float(weights.sum())
    return float(weights[hits].sum() / total) if total > 0 else None
