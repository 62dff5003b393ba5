"""Fitting of the model of tags on trained clusters."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_training.tag_model.cluster_model import ClusterModel
from model_training.tag_model.embedded_images import EmbeddedImages
from model_training.tag_model.fit_novelty import fit_novelty, standardized
from model_training.tag_model.fit_numeric_ranges import fit_ranges
from model_training.tag_model.fit_tag_pool import (
    choose_neighbors,
    tag_sources,
    with_weights,
)
from model_training.tag_model.tag_model import TagModel
from model_training.tag_model.tag_pool import NeighborImages, TagSources
from model_training.tag_model.tag_predictor import TagPredictor
from model_training.training.trained import Trained


def fit_tag_model(
    trained: Trained,
    clusters: ClusterModel,
    training: EmbeddedImages,
    kinds: NDArray[np.str_],
    held_out: EmbeddedImages,
    blank: EmbeddedImages,
) -> TagModel:
    """Choose neighbor images, fit sources, their weights, novelty and numeric ranges.

    Parameters
    ----------
    kinds
        Of the training part, of shape (N,).
    held_out
        Images on which the weights and the spread of the novelty signals are fitted.
    blank
        Embeddings of blank images.
    """
    neighbors = choose_neighbors(training.embedding, kinds, trained.config.seed)
    sources = tag_sources(trained, clusters, neighbors, training.values)
    # The sources must be read before their weights can be fitted.
    unweighted = _predictor(clusters, neighbors, sources)
    sources = with_weights(unweighted, sources, held_out.embedding, held_out.values)
    novelty = fit_novelty(
        training.embedding,
        training.statistics,
        neighbors.rows,
        kinds,
        np.concatenate([blank.embedding, blank.statistics], axis=1),
    )
    predictor = _predictor(clusters, neighbors, sources)
    ranges = fit_ranges(clusters.weights(training.embedding), training.numbers)
    model = TagModel(clusters, neighbors, sources, predictor, novelty, ranges)
    # Training images are among the neighbor images: their spread is too small.
    measured = held_out if len(held_out.embedding) else training
    probabilities = model.probabilities(measured.embedding)
    signals = model.novelty_signals(measured, probabilities)
    return replace(model, novelty=standardized(novelty, signals))


def _predictor(
    clusters: ClusterModel,
    neighbors: NeighborImages,
    sources: Mapping[str, TagSources],
) -> TagPredictor:
    return TagPredictor(
        clusters.centers, clusters.degrees, clusters.sharpness, neighbors, sources
    )
