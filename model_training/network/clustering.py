"""Cluster centers and assignments of N images to K clusters, for NumPy arrays.

Equations are those of Manojlovic and Stajduhar (2021), after Xie et al. (2016).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans, kmeans_plusplus

Floats = NDArray[np.float64]

LEAST_VARIANCE = 1e-3
"""Share of the largest variance under which a component is not scaled up further."""
MANY = 30_000
"""Number of embeddings above which k-means uses mini-batches."""


def squared_distances(embedding: Floats, cluster_centers: Floats) -> Floats:
    """Return squared Euclidean distances, of shape (N, K)."""
    cross = embedding @ cluster_centers.T
    # |a|^2 + |b|^2 - 2ab needs no array of shape (N, K, D); rounding can make it < 0.
    squared_norms = (embedding**2).sum(axis=1, keepdims=True) + (
        cluster_centers**2
    ).sum(axis=1)
    result: Floats = np.maximum(squared_norms - 2 * cross, 0.0)
    return result


def soft_assignment(
    embedding: Floats, cluster_centers: Floats, degrees: float = 1.0
) -> Floats:
    """Return q of eq. 11, of shape (N, K): Student's t with `degrees` of freedom.

    The same as `exp(log_soft_assignment(...))` of `model_training.network.losses`, for
    arrays: without torch and without an array of shape (N, K, D).
    """
    squared = squared_distances(embedding, cluster_centers)
    kernel = (1.0 + squared / degrees) ** (-(degrees + 1.0) / 2.0)
    q: Floats = kernel / kernel.sum(axis=1, keepdims=True)
    return q


def target_distribution(q: Floats) -> Floats:
    """Return the target p of eq. 12 from q of the whole set, of shape (N, K)."""
    # Squares favor confident assignments, column sums keep clusters from growing.
    emphasized = q**2 / q.sum(axis=0)
    p: Floats = emphasized / emphasized.sum(axis=1, keepdims=True)
    return p


def initial_centers(
    embedding: Floats,
    n_clusters: int,
    seed: int,
    old_clusters: NDArray[np.int64] | None = None,
) -> Floats:
    """Return k-means centers of embeddings (N, D), of shape (K, D).

    Parameters
    ----------
    old_clusters
        Previous cluster of each image, -1 for none, of shape (N,): k-means starts at
        the means of these clusters.

    Raises
    ------
    ValueError
        If there are fewer images than clusters.
    """
    if len(embedding) < n_clusters:
        raise ValueError(f"{len(embedding)} images cannot fill {n_clusters} clusters")
    start: str | Floats = "k-means++"
    if old_clusters is not None:
        start = _old_means(embedding, n_clusters, seed, old_clusters)
    if len(embedding) > MANY:
        # Mini-batches depend more on the start; given means need no second try.
        tries = 3 if old_clusters is None else 1
        means = MiniBatchKMeans(
            n_clusters, init=start, random_state=seed, n_init=tries, batch_size=4096
        )
    else:
        means = KMeans(
            n_clusters, init=start, random_state=seed, n_init=1, max_iter=100
        )
    centers: Floats = means.fit(embedding).cluster_centers_.astype(np.float64)
    return centers


def _old_means(
    embedding: Floats, n_clusters: int, seed: int, old_clusters: NDArray[np.int64]
) -> Floats:
    """Return the means of the largest old clusters and, for the rest, k-means++ centers."""
    names, sizes = np.unique(old_clusters[old_clusters >= 0], return_counts=True)
    largest = names[np.argsort(-sizes, kind="stable")][:n_clusters]
    means = [embedding[old_clusters == name].mean(axis=0) for name in largest]
    if len(means) < n_clusters:
        missing = n_clusters - len(means)
        added, _ = kmeans_plusplus(embedding, missing, random_state=seed)
        means.extend(added)
    return np.stack(means)


@dataclass(frozen=True, slots=True)
class Whitening:
    """A linear map to uncorrelated components of unit variance.

    Attributes
    ----------
    mean
        Of shape (D,).
    matrix
        Of shape (D, D); z is whitened to (z - mean) @ matrix.
    """

    mean: Floats
    matrix: Floats

    def apply(self, embedding: Floats) -> Floats:
        """Return whitened embeddings, of shape (N, D)."""
        whitened: Floats = (embedding - self.mean) @ self.matrix
        return whitened


def fit_whitening(embedding: Floats, power: float = 1.0) -> Whitening:
    """Return the whitening of embeddings (N, D).

    Parameters
    ----------
    power
        1 gives every component unit variance, 0 only scales all by one factor.
    """
    mean = embedding.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(embedding - mean, rowvar=False))
    # eigh sorts ascending; rounding can make a variance of 0 negative.
    order = np.argsort(variances)[::-1]
    variances, axes = np.maximum(variances[order], 0.0), axes[:, order]
    floor = max(float(variances[0]) * LEAST_VARIANCE, 1e-12)
    scale = np.maximum(variances, floor) ** (-power / 2)
    matrix = axes * scale
    # With any power the mean variance is 1, so that distances keep their scale.
    spread = np.sqrt((variances * scale**2).sum() / len(variances))
    return Whitening(mean, matrix / max(float(spread), 1e-12))
