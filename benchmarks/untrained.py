"""Untrained graphs and bundles of any shape, for benchmarks and tests of the export."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from model_training.bundles.export import InspectionModel, export_onnx
from model_training.network.encoder import EMBEDDING, Encoder
from model_training.tag_model.novelty import (
    COMPONENTS,
    NoveltyModel,
    NoveltyScore,
    NoveltySpace,
)
from model_training.tag_model.tag_pool import NeighborImages, TagSources
from model_training.tag_model.tag_predictor import TagPredictor
from veritag.bundles.bundle import (
    load_bundle,
    seal_bundle,
    starter_bundle_path,
)
from veritag.judging.tag_probabilities import Floats

CONCEPTS = {"Modality": ("CT", "MR", "US"), "BodyPartExamined": ("CHEST", "HEAD")}


def untrained_graph(
    encoder: Encoder,
    centers: Floats,
    degrees: float = 1.0,
    *,
    half: bool = False,
    neighbors: int = 40,
    concepts: dict[str, tuple[str, ...]] | None = None,
) -> InspectionModel:
    """Return a graph of an encoder with all parts of a trained one, of random values.

    Parameters
    ----------
    centers
        Centers of the clusters, of shape (K, D).
    concepts
        Keyword to its concepts; a few by default.
    """
    rng = np.random.default_rng(3)
    vocabulary = CONCEPTS if concepts is None else concepts
    length = centers.shape[1]
    sources = {
        tag: _sources(rng, v, centers, neighbors) for tag, v in vocabulary.items()
    }
    predictor = TagPredictor(
        centers,
        degrees,
        4.0,
        NeighborImages(rng.normal(size=(neighbors, length)), 1.0, np.arange(neighbors)),
        sources,
    )
    features = length + 2 * sum(encoder.filters)
    model = NoveltyModel(
        NoveltySpace(
            np.zeros(features), rng.normal(size=(features, COMPONENTS)) / features
        ),
        rng.normal(size=(neighbors, COMPONENTS)),
        np.ones(neighbors),
        blank=rng.normal(size=(neighbors, COMPONENTS)) + 9,
    )
    first = len(next(iter(vocabulary.values())))
    novelty = NoveltyScore(model, [slice(0, first)])
    return InspectionModel(encoder, predictor, novelty, half=half)


def untrained_bundle(size: int, folder: Path) -> Path:
    """Make a bundle with the paper's encoder and K = 25, without training."""
    centers = np.random.default_rng(1).normal(size=(25, EMBEDDING))
    starter = load_bundle(starter_bundle_path()).manifest
    neighbors = len(next(iter(starter.neighbor_concepts.values())))
    model = untrained_graph(
        Encoder(size), centers, neighbors=neighbors, concepts=starter.concepts
    )
    export_onnx(model, size, folder / "model.onnx")
    manifest = replace(
        starter,
        preprocessing=replace(starter.preprocessing, size=size),
        clusters=starter.clusters[:25],
    )
    return seal_bundle(folder, manifest).path


def _sources(
    rng: np.random.Generator, values: tuple[str, ...], centers: Floats, neighbors: int
) -> TagSources:
    count = len(values)
    return TagSources(
        values,
        np.full(count, 1 / count),
        rng.dirichlet(np.ones(count), size=len(centers)),
        rng.normal(size=(count, centers.shape[1])),
        rng.normal(size=count),
        rng.integers(-1, count, size=neighbors),
        np.full(3, 0.5),
    )
