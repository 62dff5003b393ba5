"""Fitting of the novelty model on the training part."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_training.network.clustering import squared_distances
from model_training.tag_model.novelty import (
    COMPONENTS,
    LEAST,
    NoveltyModel,
    NoveltySpace,
)
from veritag.judging.tag_probabilities import Floats

USUAL = 0.9
"""Quantile of the nearest-neighbor distances of a kind that counts as its usual one."""
PRIOR_IMAGES = 5.0
"""Images' worth of the overall distance in the usual one of every kind."""
LEAST_SPREAD = 0.05
"""Of a signal over held-out images: with few and similar ones, division by a smaller
spread would amplify rounding errors."""


def fit_novelty(
    embedding: Floats,
    statistics: Floats,
    rows: NDArray[np.int64],
    kinds: NDArray[np.str_],
    blank: Floats,
) -> NoveltyModel:
    """Return a novelty model without limit and standardization of the signals.

    Parameters
    ----------
    embedding, statistics, kinds
        Of the training part, of shape (N, D), (N, S) and (N,).
    rows
        Rows of the neighbor images, of shape (M,).
    blank
        Embedding and statistics of blank images, of shape (B, D + S).
    """
    space = fit_space(embedding, statistics)
    neighbors = space.apply(np.concatenate([embedding, statistics], axis=1)[rows])
    usual = _usual_distances(neighbors, kinds[rows])
    return NoveltyModel(space, neighbors, usual, blank=space.apply(blank))


def fit_space(embedding: Floats, statistics: Floats) -> NoveltySpace:
    """Return the principal components of the training part's features.

    Features are scaled to equal variance, and embedding and statistics to equal weight.
    """
    features = np.concatenate([embedding, statistics], axis=1)
    mean, deviation = features.mean(axis=0), features.std(axis=0) + LEAST
    width = np.r_[
        np.full(embedding.shape[1], embedding.shape[1]),
        np.full(statistics.shape[1], statistics.shape[1]),
    ]
    scale = 1.0 / (deviation * np.sqrt(width))
    centered = (features - mean) * scale
    # Eigenvectors come in ascending order of variance.
    _, axes = np.linalg.eigh(centered.T @ centered)
    return NoveltySpace(mean, scale[:, None] * axes[:, ::-1][:, :COMPONENTS])


def _usual_distances(neighbors: Floats, kinds: NDArray[np.str_]) -> Floats:
    """Return the usual distance of each one's kind, of shape (M,)."""
    squared = squared_distances(neighbors, neighbors)
    np.fill_diagonal(squared, np.inf)
    nearest = np.sqrt(np.maximum(squared.min(axis=1), LEAST**2))
    # A single neighbor image has no other: any distance will do.
    nearest[~np.isfinite(nearest)] = 1.0
    overall = float(np.median(nearest))
    usual = np.empty(len(neighbors))
    for kind in np.unique(kinds):
        own = kinds == kind
        count, far = int(own.sum()), float(np.quantile(nearest[own], USUAL))
        usual[own] = (far * count + overall * PRIOR_IMAGES) / (count + PRIOR_IMAGES)
    return usual


def standardized(model: NoveltyModel, signals: Floats) -> NoveltyModel:
    """Return the model with mean and deviation of signals (n, 2)."""
    centers = signals.mean(axis=0)
    spreads = np.maximum(signals.std(axis=0), LEAST_SPREAD)
    return replace(
        model, centers=tuple(centers.tolist()), spreads=tuple(spreads.tolist())
    )
