"""Kinds that were never learnt, and pictures of nothing."""

import numpy as np
import pytest

from model_training.calibration.correlation import UNKNOWN, intraclass_correlation
from model_training.calibration.novelty import (
    NOTHING,
    NoveltyScore,
    columns_of,
    familiar_novelty,
    fit_familiarity,
)

RNG = np.random.default_rng(5)
NEAR = RNG.normal(size=(200, 4)) * 0.1
WIDE = RNG.normal(size=(200, 4)) + 8
EMBEDDING = np.concatenate([NEAR, WIDE])
STATISTICS = EMBEDDING[:, :2] * 2
KINDS = np.array(["CT HEAD"] * 200 + ["US LIVER"] * 200)
FAR_OFF = np.full((3, 6), -30.0)
SURE = np.array([0.99, 0.01])


def score() -> NoveltyScore:
    """Return the novelty over a narrow and a wide kind."""
    rows = np.arange(0, 400, 2)
    told = fit_familiarity(EMBEDDING, STATISTICS, rows, KINDS, FAR_OFF)
    return NoveltyScore(told, [slice(0, 2)])


def strangeness(place: float, probability: np.ndarray) -> float:
    """Return how strange a picture is that lies at `place` in all directions."""
    features = np.r_[np.full(4, place), np.full(2, 2 * place)][None, :]
    return float(score().measure(features, probability[None, :])[0])


def test_distance_is_measured_by_the_kind() -> None:
    """What is far for a narrow kind is near for a wide one."""
    assert strangeness(1.0, SURE) > strangeness(9.0, SURE)


def test_doubt_makes_a_picture_stranger() -> None:
    """At the same place, undecided tags speak for a kind that was never learnt."""
    assert strangeness(0.0, np.array([0.5, 0.5])) > strangeness(0.0, SURE)


def test_pictures_of_nothing_are_never_known() -> None:
    """What lies nearer to noise than to any image is beyond every limit."""
    assert strangeness(-29.0, SURE) == NOTHING


def test_a_reference_itself_is_as_familiar_as_its_neighborhood() -> None:
    """At distance zero rounding decides nothing: the same place is as strange alone."""
    places = np.concatenate([EMBEDDING, STATISTICS], axis=1)[:2].astype(np.float32)
    told = score().measure_signs(places.astype(np.float64), np.tile(SURE, (2, 1)))
    alone = score().measure_signs(places[:1].astype(np.float64), SURE[None, :])
    assert told[0, 0] == pytest.approx(alone[0, 0], abs=1e-6)
    assert told[0, 0] == pytest.approx(np.log(0.05), abs=1e-6)


def test_the_limit_has_novelty_one() -> None:
    """Novelty is above 1 if and only if the strangeness is above the limit."""
    rows = np.arange(0, 400, 2)
    told = fit_familiarity(EMBEDDING, STATISTICS, rows, KINDS, FAR_OFF)
    assert familiar_novelty(told, told.limit) == pytest.approx(1)
    assert familiar_novelty(told, told.limit - 1) < 1


def test_columns_are_found_by_tag() -> None:
    """The second tag's concepts stand after those of the first; others are left out."""
    concepts = {"Modality": ("CT", "MR"), "BodyPartExamined": ("HEAD", "HAND", "HIP")}
    found = columns_of(concepts, ("BodyPartExamined", "Manufacturer"))
    assert found == [slice(2, 5)]


def test_pictures_that_repeat_one_another_are_one_witness() -> None:
    """Equal within groups is 1, unrelated is about 0, and too few groups are 1."""
    groups = np.repeat([f"s{n}" for n in range(50)], 6)
    level = np.repeat(RNG.normal(size=50), 6)
    assert intraclass_correlation(level, groups) == pytest.approx(1)
    unrelated = intraclass_correlation(RNG.normal(size=300), groups)
    assert unrelated < 0.1
    half = level + RNG.normal(size=300)
    assert intraclass_correlation(half, groups) == pytest.approx(0.5, abs=0.15)
    assert intraclass_correlation(level[:12], groups[:12]) == UNKNOWN
