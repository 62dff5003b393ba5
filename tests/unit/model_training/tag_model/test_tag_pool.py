"""Clusters, heads and neighbors weighed together."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model_training.tag_model.fit_tag_pool import (
    EVEN_WEIGHT,
    choose_neighbors,
    fit_weights,
    fits,
    pooled,
)
from model_training.tag_model.tag_pool import (
    FLOOR,
    NeighborImages,
    TagPool,
    TagSources,
)
from model_training.tag_model.tag_predictor import TagPredictor

CENTERS = np.array([[0.0, 0.0], [10.0, 0.0]])
SOURCES = TagSources(
    concepts=("CHEST", "HEAD"),
    overall=np.array([0.5, 0.5]),
    table=np.array([[0.9, 0.1], [0.2, 0.8]]),
    head_weight=None,
    head_bias=None,
    carried=np.array([0, 0, 1, -1]),
    weights=np.array([1.0, 0.0, 0.0]),
)
NEIGHBORS = NeighborImages(
    np.array([[0.0, 1.0], [0.0, 2.0], [10.0, 1.0], [10.0, 2.0]]), 1.0, np.arange(4)
)


def predictor(sources: TagSources = SOURCES) -> TagPredictor:
    """Return a predictor of one tag over two clusters and four neighbor images."""
    return TagPredictor(CENTERS, 1.0, 8.0, NEIGHBORS, {"BodyPartExamined": sources})


def test_one_source_alone_is_what_it_says() -> None:
    """With all weight on the clusters an image at a center has its profile."""
    predicted = predictor().probabilities(CENTERS)["BodyPartExamined"]
    np.testing.assert_allclose(predicted, [[0.9, 0.1], [0.2, 0.8]], atol=2e-3)


def test_sources_are_multiplied() -> None:
    """Clusters with 0.9 CHEST and neighbors with HEAD alone give 0.9 f to 0.1 (1 - f)."""
    pool = TagPool(replace(SOURCES, weights=np.array([1.0, 0.0, 1.0])))
    z = torch.zeros(1, 2)
    pooled_shares = pool(
        z,
        torch.tensor([[1.0, 0.0]]),
        torch.tensor([[2]]),
        torch.tensor([[1.0]]),
    ).numpy()[0]
    floor = FLOOR / 2
    product = np.array([0.9, 0.1]) * np.array([floor, 1 - floor])
    np.testing.assert_allclose(pooled_shares, product / product.sum(), rtol=1e-2)


def test_neighbors_without_the_tag_leave_the_overall_shares() -> None:
    """Where no nearest image carries the tag, the overall shares are returned."""
    pool = TagPool(
        replace(
            SOURCES, weights=np.array([0.0, 0.0, 1.0]), overall=np.array([0.7, 0.3])
        )
    )
    pooled_shares = pool(
        torch.zeros(1, 2),
        torch.tensor([[0.5, 0.5]]),
        torch.tensor([[3]]),
        torch.tensor([[1.0]]),
    )
    np.testing.assert_allclose(pooled_shares.numpy(), [[0.7, 0.3]], atol=1e-3)


def test_a_head_speaks_of_its_values_only() -> None:
    """A concept that the head has not learnt gets no more than the floor."""
    sources = replace(
        SOURCES,
        head_weight=np.array([[0.0, 0.0], [0.0, 0.0]]),
        head_bias=np.array([0.0, -1e4]),
        weights=np.array([0.0, 1.0, 0.0]),
    )
    predicted = predictor(sources).probabilities(CENTERS)["BodyPartExamined"]
    assert (predicted[:, 1] <= FLOOR).all()


def test_the_nearest_images_are_returned() -> None:
    """Their indices come in order of distance."""
    rows, distance = predictor().nearest(torch.tensor([[10.0, 0.5]]))
    assert rows[0, :2].tolist() == [2, 3]
    assert distance[0, :2].numpy() == pytest.approx([0.5, 1.5], abs=1e-3)


def test_every_kind_has_neighbor_images() -> None:
    """One hundred of 300 and 5 images include all five of the rare kind."""
    rng = np.random.default_rng(0)
    kinds = np.array(["CT HEAD"] * 300 + ["CR HAND"] * 5)
    chosen = choose_neighbors(rng.normal(size=(305, 3)), kinds, 1, most=100)
    assert len(chosen.rows) == 100
    assert (chosen.rows >= 300).sum() == 5
    assert chosen.scale > 0


def test_the_weight_goes_to_who_is_right() -> None:
    """A source that is right gets a high weight, one that guesses a low one."""
    rng = np.random.default_rng(1)
    right = np.eye(2)[rng.integers(0, 2, 400)]
    knows = np.log(0.9 * right + 0.05)
    guesses = np.log(rng.dirichlet([0.3, 0.3], 400) * 0.98 + 0.01)
    nothing = np.full_like(knows, np.log(0.5))
    logs = np.stack([nothing, knows, guesses], axis=1)
    weights = fit_weights(logs, right, 1 - right)
    assert weights[1] > 1
    assert weights[2] < 0.3
    p = pooled(weights, logs)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert ((p * right).sum(axis=1) > 0.5).mean() > 0.97


def test_few_held_out_images_leave_weights_even() -> None:
    """With three held-out images all sources weigh the same."""
    few = np.zeros((3, 3, 2))
    weights = fit_weights(few, np.ones((3, 2)), np.ones((3, 2)))
    assert weights.tolist() == [EVEN_WEIGHT] * 3


def test_concepts_stand_for_one_another_by_degree() -> None:
    """HEAD stands for BRAIN, half for NECK, not for KNEE."""
    table = fits("BodyPartExamined", ("HEAD",), np.array(["BRAIN", "KNEE", "HEAD"]))
    assert table[:, 0].tolist() == [1.0, 0.0, 1.0]
