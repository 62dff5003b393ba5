"""k-means with pairwise constraints: COP (hard) and PC (penalized).

Pairs are rows of the N images, must_link (M, 2) and cannot_link (C, 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus

from model_training.constraints.closure import must_link_components
from model_training.network.clustering import squared_distances

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

ITERATIONS = 30


@dataclass(frozen=True, slots=True)
class Clustering:
    """Result of a constrained k-means.

    Attributes
    ----------
    labels
        Of shape (N,).
    centers
        Of shape (K, D).
    violated
        Constraints that the labels break.
    relaxed
        COP only: groups for which every cluster breaks a constraint, see `cop_kmeans`.
    """

    labels: Indices
    centers: Floats
    violated: int
    relaxed: int = 0


def cop_kmeans(
    X: Floats,
    must_link: Indices,
    cannot_link: Indices,
    n_clusters: int,
    *,
    seed: int = 0,
    iterations: int = ITERATIONS,
) -> Clustering:
    """Cluster X (N, D) so that no constraint is broken (Wagstaff et al., 2001).

    Images joined by must-links move as one group, to the nearest cluster without an
    opponent, the groups with most opponents first. The original fails where there is no
    such cluster, which is usual with thousands of constraints: here the group takes the
    cluster with the fewest opponents, and is counted.
    """
    group = must_link_components(must_link, len(X))
    size = np.bincount(group).astype(np.float64)
    means = _group_means(X, group, size)
    opponents = _neighbors(len(size), _between(group, cannot_link))
    centers = kmeans_plusplus(X, n_clusters, random_state=seed)[0]
    # Groups with many opponents have the least choice: they choose first.
    order = np.argsort([-len(o) for o in opponents], kind="stable")
    labels = np.full(len(size), -1)
    relaxed = 0
    for _ in range(iterations):
        before = labels
        labels, relaxed = _assign_hard(means, centers, opponents, order)
        centers = _centers(means, labels, centers, size)
        if (labels == before).all():
            break
    final = labels[group]
    return Clustering(
        final, centers, violations(final, must_link, cannot_link), relaxed
    )


def pc_kmeans(
    X: Floats,
    must_link: Indices,
    cannot_link: Indices,
    n_clusters: int,
    *,
    weight: float | None = None,
    seed: int = 0,
    iterations: int = ITERATIONS,
) -> Clustering:
    """Cluster X (N, D) with a penalty for each broken constraint (Basu et al., 2004).

    Centers start from the largest groups joined by must-links, further ones as in
    k-means++. Images are then assigned one after another, given the others.

    Parameters
    ----------
    weight
        Cost of a broken constraint. By default the mean squared distance of an image to
        the nearest center at the start, so that the scale of X does not matter.
    """
    rng = np.random.default_rng(seed)
    centers = _neighborhood_centers(X, must_link, n_clusters, seed)
    linked, opposed = _neighbors(len(X), must_link), _neighbors(len(X), cannot_link)
    bound = np.flatnonzero(
        [bool(len(a) or len(b)) for a, b in zip(linked, opposed, strict=True)]
    )
    labels = squared_distances(X, centers).argmin(axis=1)
    for _ in range(iterations):
        before, squared = labels, squared_distances(X, centers)
        if weight is None:
            weight = float(squared.min(axis=1).mean())
        labels = squared.argmin(axis=1)
        # Images in pairs are moved one by one, so that each sees the others' last choice.
        labels[bound] = before[bound]
        for i in rng.permutation(bound):
            cost = squared[i].copy()
            cost += weight * len(linked[i])
            np.subtract.at(cost, labels[linked[i]], weight)
            np.add.at(cost, labels[opposed[i]], weight)
            labels[i] = cost.argmin()
        centers = _centers(X, labels, centers)
        if (labels == before).all():
            break
    return Clustering(labels, centers, violations(labels, must_link, cannot_link))


def violations(labels: Indices, must_link: Indices, cannot_link: Indices) -> int:
    """Return how many constraints labels (N,) break."""
    apart = labels[must_link[:, 0]] != labels[must_link[:, 1]]
    together = labels[cannot_link[:, 0]] == labels[cannot_link[:, 1]]
    return int(apart.sum() + together.sum())


def _assign_hard(
    means: Floats, centers: Floats, opponents: Sequence[Indices], order: Indices
) -> tuple[Indices, int]:
    squared = squared_distances(means, centers)
    labels = np.full(len(means), -1)
    relaxed = 0
    for i in order:
        if not len(opponents[i]):
            break  # in this order no later one has opponents
        clusters = labels[opponents[i]]
        counts = np.bincount(clusters[clusters >= 0], minlength=len(centers))
        fewest = counts.min()
        relaxed += int(fewest > 0)
        labels[i] = np.where(counts == fewest, squared[i], np.inf).argmin()
    free = labels < 0
    labels[free] = squared[free].argmin(axis=1)
    return labels, relaxed


def _between(group: Indices, cannot_link: Indices) -> Indices:
    """Return distinct cannot-links between groups; one inside a group is always broken."""
    pairs = np.sort(group[cannot_link], axis=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    distinct: Indices = np.unique(pairs, axis=0)
    return distinct


def _neighbors(n: int, pairs: Indices) -> list[Indices]:
    """Return for each of n rows the other rows of its pairs."""
    directed = np.concatenate([pairs, pairs[:, ::-1]]) if len(pairs) else pairs
    directed = directed[np.argsort(directed[:, 0], kind="stable")]
    cuts = np.searchsorted(directed[:, 0], np.arange(1, n))
    return np.split(directed[:, 1], cuts)


def _group_means(X: Floats, group: Indices, size: Floats) -> Floats:
    sums = np.zeros((len(size), X.shape[1]))
    np.add.at(sums, group, X)
    means: Floats = sums / size[:, None]
    return means


def _centers(
    X: Floats, labels: Indices, before: Floats, weights: Floats | None = None
) -> Floats:
    """Return the weighted means of clusters; an empty one keeps its center."""
    weights = np.ones(len(X)) if weights is None else weights
    members = np.zeros((len(before), len(X)))
    members[labels, np.arange(len(X))] = weights
    total = members.sum(axis=1, keepdims=True)
    means: Floats = (members @ X) / np.maximum(total, 1e-12)
    return np.where(total > 0, means, before)


def _neighborhood_centers(
    X: Floats, must_link: Indices, n_clusters: int, seed: int
) -> Floats:
    group = must_link_components(must_link, len(X))
    size = np.bincount(group)
    joined = np.flatnonzero(size > 1)
    largest = joined[np.argsort(-size[joined], kind="stable")][:n_clusters]
    centers = np.array([X[group == g].mean(axis=0) for g in largest])
    if len(largest) == n_clusters:
        return centers
    others = kmeans_plusplus(X, n_clusters - len(largest), random_state=seed)[0]
    return np.concatenate([centers.reshape(-1, X.shape[1]), others])
