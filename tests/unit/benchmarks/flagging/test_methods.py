"""What alternatives say of received values, on numbers that can be worked by hand."""

from typing import Any

import numpy as np
import pytest

from benchmarks.flagging.cleanlab_methods import (
    ByCleanlab,
    ByDatalab,
    has_cleanlab,
    in_classes,
    spread,
)
from benchmarks.flagging.cnn import (
    best_temperature,
    classes_of,
    indices,
    softmax,
    train_supervised,
)
from benchmarks.flagging.methods import (
    ByIsolation,
    ByProbability,
    ReferenceData,
    logistic,
    neighbors_vote,
    together,
)

TAG = "BodyPartExamined"
cleanlab = pytest.mark.skipif(not has_cleanlab(), reason="cleanlab is not installed")


def by_probability(rows: list[list[float]]) -> ByProbability:
    """Return probabilities of HAND, HEAD and WRIST."""
    return ByProbability({TAG: ("HAND", "HEAD", "WRIST")}, {TAG: np.array(rows)})


def two_crowds() -> tuple[ReferenceData, Any, Any]:
    """Return images of CHEST and of HEAD far apart, and new ones, one of them wrong."""
    rng = np.random.default_rng(0)
    places = np.repeat([[0.0, 0.0], [8.0, 8.0]], 40, axis=0)
    values = np.repeat(["CHEST", "HEAD"], 40)
    reference = ReferenceData(places + rng.normal(size=(80, 2)), {TAG: values})
    new = places[::4] + rng.normal(size=(20, 2))
    received = np.repeat(["CHEST", "HEAD"], 10)
    received[3] = "HEAD"
    return reference, new, received


def test_probability_of_the_received_value_speaks_for_it() -> None:
    """Plain, WRIST is unlikely under HAND; with fit half of HAND speaks for it."""
    said = by_probability([[0.8, 0.0, 0.2], [0.8, 0.2, 0.0], [0.5, 0.5, 0.0]])
    told = said({TAG: np.array(["WRIST", "HEAD", ""])})[TAG]
    assert told["1 - p"].score == pytest.approx([0.8, 0.8, 0.0])
    assert told["1 - p, with fit"].score == pytest.approx([0.4, 0.8, 0.0])
    assert told["1 - p, with fit"].flagged.tolist() == [False, True, False]
    assert told["1 - p"].opinion.tolist() == [True, True, False]


def test_a_value_that_nothing_was_learnt_of_is_surely_wrong() -> None:
    """No class stands for it, and none that overlaps with it."""
    said = by_probability([[0.8, 0.0, 0.2]])
    assert said({TAG: np.array(["KNEE"])})[TAG]["1 - p"].score == pytest.approx([1.0])


@pytest.mark.parametrize("make", [neighbors_vote, logistic, ByIsolation])
def test_a_value_of_the_other_crowd_stands_out(make: Any) -> None:
    """The one wrong value gets the highest score of all."""
    reference, new, received = two_crowds()
    said = make(reference, new)({TAG: received})[TAG]
    for one in said.values():
        assert one.score.argmax() == 3
        assert one.flagged[3]


def test_rare_values_share_a_forest() -> None:
    """Two images are no crowd: the score is that of all images together."""
    reference, new, _ = two_crowds()
    values = reference.values[TAG].copy()
    values[:2] = "KNEE"
    rare = ByIsolation(ReferenceData(reference.embedding, {TAG: values}), new)
    said = rare({TAG: np.full(20, "KNEE")})[TAG]["isolation"]
    same = rare({TAG: np.full(20, "FOOT")})[TAG]["isolation"]
    assert np.array_equal(said.score, same.score)


def test_ways_of_several_methods_stand_side_by_side() -> None:
    """A combined method offers what each of them says."""
    one = by_probability([[0.8, 0.0, 0.2]])

    def other(received: Any) -> Any:
        return {TAG: {"other": one(received)[TAG]["1 - p"]}}

    said = together(one, other)({TAG: np.array(["HEAD"])})[TAG]
    assert set(said) == {"1 - p", "1 - p, with fit", "other"}


def test_labels_without_a_class_get_one_without_probability() -> None:
    """Cleanlab wants every label among the columns."""
    labels, p = in_classes(("A", "C"), np.array([[0.9, 0.1]] * 2), np.array(["C", "B"]))
    assert labels.tolist() == [1, 2]
    assert p.tolist() == [[0.9, 0.1, 0.0]] * 2


def test_what_is_said_of_some_is_silence_of_the_rest() -> None:
    """Images without a value have no score."""
    values = np.array(["", "HEAD"])
    said = spread(np.array([1]), np.array([0.7]), np.array([True]), values)
    assert said.score.tolist() == [0.0, 0.7]
    assert said.opinion.tolist() == [False, True]


@cleanlab
def test_cleanlab_finds_the_wrong_value_by_probabilities() -> None:
    """Its self confidence is one minus the score; its issues are the flags."""
    reference, new, received = two_crowds()
    source = logistic(reference, new)
    said = ByCleanlab(source)({TAG: received})[TAG]
    plain = source({TAG: received})[TAG]["1 - p"]
    assert said["self confidence"].score == pytest.approx(plain.score, abs=1e-6)
    for one in said.values():
        assert one.score.argmax() == 3
        assert np.flatnonzero(one.flagged).tolist() == [3]


@cleanlab
def test_datalab_finds_the_wrong_value_by_embeddings() -> None:
    """It sees reference and measured images together, and is asked of the latter."""
    reference, new, received = two_crowds()
    received[7] = ""
    said = ByDatalab(reference, new)({TAG: received})[TAG]["Datalab"]
    assert said.score.shape == (20,)
    assert said.score.argmax() == 3
    assert said.flagged[3]
    assert said.score[7] == 0


def test_a_temperature_softens_what_is_too_sure() -> None:
    """Logits of 10 that are right in two of three are best divided by more than one."""
    found = np.tile([10.0, 0.0], (30, 1))
    target = np.array([0, 0, 1] * 10)
    assert best_temperature(found, target) > 3
    assert best_temperature(found, np.zeros(30, dtype=np.int64)) < 1
    assert best_temperature(found, np.full(30, -1)) == 1.0
    assert softmax(found).sum(axis=1) == pytest.approx(1.0)


def test_classes_are_the_values_that_are_there() -> None:
    """A missing value is no class, and what is no class has no place."""
    classes = classes_of(np.array(["B", "", "A", "B"]))
    assert classes == ("A", "B")
    assert indices(classes, np.array(["B", "", "C"])).tolist() == [1, -1, -1]


def test_the_supervised_network_learns_what_is_plain() -> None:
    """White and black halves are told apart after a few passes, missing values aside."""
    rng = np.random.default_rng(3)
    tiles = rng.integers(0, 60, (128, 32, 32)).astype(np.uint8)
    tiles[:64, :16] += 150
    tiles[64:, 16:] += 150
    values = {TAG: np.repeat(["HEAD", "FOOT"], 64), "Modality": np.full(128, "CT")}
    values["Modality"][:5] = ""
    values["Modality"][60:70] = "MR"
    held_out = tiles[::8], {tag: column[::8] for tag, column in values.items()}
    lines: list[str] = []
    made = train_supervised(tiles, values, held_out, epochs=4, on_epoch=lines.append)
    p = made.probabilities(tiles)[TAG]
    assert made.classes[TAG] == ("FOOT", "HEAD")
    assert (p.argmax(axis=1) == np.repeat([1, 0], 64)).mean() > 0.95
    assert len(lines) == 4
