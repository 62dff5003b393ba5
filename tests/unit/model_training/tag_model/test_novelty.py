"""Novelty of kinds without training images, and of blank images."""

import numpy as np
import pytest

from model_training.tag_model.fit_novelty import fit_novelty
from model_training.tag_model.novelty import (
    BLANK_NOVELTY,
    NoveltyScore,
    columns_of,
)

RNG = np.random.default_rng(5)
NEAR = RNG.normal(size=(200, 4)) * 0.1
WIDE = RNG.normal(size=(200, 4)) + 8
EMBEDDING = np.concatenate([NEAR, WIDE])
STATISTICS = EMBEDDING[:, :2] * 2
KINDS = np.array(["CT HEAD"] * 200 + ["US LIVER"] * 200)
BLANK = np.full((3, 6), -30.0)
SURE = np.array([0.99, 0.01])


def score() -> NoveltyScore:
    """Return the novelty over a narrow and a wide kind."""
    rows = np.arange(0, 400, 2)
    model = fit_novelty(EMBEDDING, STATISTICS, rows, KINDS, BLANK)
    return NoveltyScore(model, [slice(0, 2)])


def raw_novelty(place: float, probability: np.ndarray) -> float:
    """Return the raw novelty of an image that lies at `place` in all dimensions."""
    features = np.r_[np.full(4, place), np.full(2, 2 * place)][None, :]
    return float(score().measure(features, probability[None, :])[0])


def test_distance_is_measured_by_the_kind() -> None:
    """A distance that is large for a narrow kind is small for a wide one."""
    assert raw_novelty(1.0, SURE) > raw_novelty(9.0, SURE)


def test_doubt_makes_an_image_more_novel() -> None:
    """At the same place, undecided tags raise the raw novelty."""
    assert raw_novelty(0.0, np.array([0.5, 0.5])) > raw_novelty(0.0, SURE)


def test_blank_images_are_never_known() -> None:
    """An image nearer to a blank one than to any neighbor is beyond every limit."""
    assert raw_novelty(-29.0, SURE) == BLANK_NOVELTY


def test_a_training_image_is_as_novel_as_its_neighborhood() -> None:
    """At distance zero, rounding has no effect: a batch gives the same as one image."""
    places = np.concatenate([EMBEDDING, STATISTICS], axis=1)[:2].astype(np.float32)
    batch = score().measure_signals(places.astype(np.float64), np.tile(SURE, (2, 1)))
    alone = score().measure_signals(places[:1].astype(np.float64), SURE[None, :])
    assert batch[0, 0] == pytest.approx(alone[0, 0], abs=1e-6)
    assert batch[0, 0] == pytest.approx(np.log(0.05), abs=1e-6)


def test_the_limit_has_novelty_one() -> None:
    """Novelty is above 1 if and only if the raw novelty is above the limit."""
    rows = np.arange(0, 400, 2)
    model = fit_novelty(EMBEDDING, STATISTICS, rows, KINDS, BLANK)
    assert model.novelty(model.limit) == pytest.approx(1)
    assert model.novelty(model.limit - 1) < 1


def test_columns_are_found_by_tag() -> None:
    """The second tag's columns follow the first's; tags without concepts are left out."""
    concepts = {"Modality": ("CT", "MR"), "BodyPartExamined": ("HEAD", "HAND", "HIP")}
    columns = columns_of(concepts, ("BodyPartExamined", "Manufacturer"))
    assert columns == [slice(2, 5)]
