"""Alternative methods of the flagging benchmark, on small examples."""

from typing import Any

import numpy as np
import pytest

from benchmarks.flagging.cleanlab_methods import (
    CleanlabMethod,
    DatalabMethod,
    has_cleanlab,
    output_of_rows,
    with_all_classes,
)
from benchmarks.flagging.cnn import (
    best_temperature,
    classes_of,
    indices,
    train_supervised,
)
from benchmarks.flagging.methods import (
    IsolationMethod,
    ProbabilityMethod,
    ReferenceData,
    combine_methods,
    logistic_regression,
    nearest_neighbors,
)

TAG = "BodyPartExamined"
cleanlab = pytest.mark.skipif(not has_cleanlab(), reason="cleanlab is not installed")


def by_probability(rows: list[list[float]]) -> ProbabilityMethod:
    """Return probabilities of HAND, HEAD and WRIST."""
    return ProbabilityMethod({TAG: ("HAND", "HEAD", "WRIST")}, {TAG: np.array(rows)})


def two_clusters() -> tuple[ReferenceData, Any, Any]:
    """Return clusters of CHEST and HEAD, new images of both, and tags with one error."""
    rng = np.random.default_rng(0)
    places = np.repeat([[0.0, 0.0], [8.0, 8.0]], 40, axis=0)
    values = np.repeat(["CHEST", "HEAD"], 40)
    reference = ReferenceData(places + rng.normal(size=(80, 2)), {TAG: values})
    new = places[::4] + rng.normal(size=(20, 2))
    received = np.repeat(["CHEST", "HEAD"], 10)
    received[3] = "HEAD"
    return reference, new, received


def test_the_score_is_one_minus_the_probability() -> None:
    """WRIST gets its own probability, and with fit half of the one of HAND."""
    method = by_probability([[0.8, 0.0, 0.2], [0.8, 0.2, 0.0], [0.5, 0.5, 0.0]])
    outputs = method({TAG: np.array(["WRIST", "HEAD", ""])})[TAG]
    assert outputs["1 - p"].score == pytest.approx([0.8, 0.8, 0.0])
    assert outputs["1 - p, with fit"].score == pytest.approx([0.4, 0.8, 0.0])
    assert outputs["1 - p, with fit"].flagged.tolist() == [False, True, False]
    assert outputs["1 - p"].judged.tolist() == [True, True, False]


def test_an_unknown_value_is_certainly_wrong() -> None:
    """A value without a class of its own or an overlapping one has the score 1."""
    method = by_probability([[0.8, 0.0, 0.2]])
    assert method({TAG: np.array(["KNEE"])})[TAG]["1 - p"].score == pytest.approx([1.0])


@pytest.mark.parametrize(
    "make", [nearest_neighbors, logistic_regression, IsolationMethod]
)
def test_a_value_of_the_other_cluster_has_the_highest_score(make: Any) -> None:
    """The one wrong value gets the highest score and is flagged."""
    reference, new, received = two_clusters()
    outputs = make(reference, new)({TAG: received})[TAG]
    for output in outputs.values():
        assert output.score.argmax() == 3
        assert output.flagged[3]


def test_rare_values_share_a_forest() -> None:
    """The score of a rare value is that of all images together."""
    reference, new, _ = two_clusters()
    values = reference.values[TAG].copy()
    values[:2] = "KNEE"
    rare = IsolationMethod(ReferenceData(reference.embedding, {TAG: values}), new)
    knee = rare({TAG: np.full(20, "KNEE")})[TAG]["isolation"]
    foot = rare({TAG: np.full(20, "FOOT")})[TAG]["isolation"]
    assert np.array_equal(knee.score, foot.score)


def test_a_combined_method_has_all_variants() -> None:
    """A combined method has the variants of each method."""
    one = by_probability([[0.8, 0.0, 0.2]])

    def other(received: Any) -> Any:
        return {TAG: {"other": one(received)[TAG]["1 - p"]}}

    outputs = combine_methods(one, other)({TAG: np.array(["HEAD"])})[TAG]
    assert set(outputs) == {"1 - p", "1 - p, with fit", "other"}


def test_labels_without_a_class_get_one_without_probability() -> None:
    """Cleanlab needs a column for every label."""
    labels, p = with_all_classes(
        ("A", "C"), np.array([[0.9, 0.1]] * 2), np.array(["C", "B"])
    )
    assert labels.tolist() == [1, 2]
    assert p.tolist() == [[0.9, 0.1, 0.0]] * 2


def test_rows_without_a_value_are_not_judged() -> None:
    """Rows without a value have the score 0 and are not judged."""
    values = np.array(["", "HEAD"])
    output = output_of_rows(np.array([1]), np.array([0.7]), np.array([True]), values)
    assert output.score.tolist() == [0.0, 0.7]
    assert output.judged.tolist() == [False, True]


@cleanlab
def test_cleanlab_finds_the_wrong_value_by_probabilities() -> None:
    """Its self confidence is 1 - score; its issues are the flags."""
    reference, new, received = two_clusters()
    source = logistic_regression(reference, new)
    outputs = CleanlabMethod(source)({TAG: received})[TAG]
    expected = source({TAG: received})[TAG]["1 - p"].score
    assert outputs["self confidence"].score == pytest.approx(expected, abs=1e-6)
    for output in outputs.values():
        assert output.score.argmax() == 3
        assert np.flatnonzero(output.flagged).tolist() == [3]


@cleanlab
def test_datalab_finds_the_wrong_value_by_embeddings() -> None:
    """It gets reference and measured images, and returns scores of the latter."""
    reference, new, received = two_clusters()
    received[7] = ""
    output = DatalabMethod(reference, new)({TAG: received})[TAG]["Datalab"]
    assert output.score.shape == (20,)
    assert output.score.argmax() == 3
    assert output.flagged[3]
    assert output.score[7] == 0


def test_a_temperature_softens_overconfident_logits() -> None:
    """Logits of 10 that are right in two of three cases get a temperature above 1."""
    logits = np.tile([10.0, 0.0], (30, 1))
    target = np.array([0, 0, 1] * 10)
    assert best_temperature(logits, target) > 3
    assert best_temperature(logits, np.zeros(30, dtype=np.int64)) < 1
    assert best_temperature(logits, np.full(30, -1)) == 1.0


def test_classes_are_the_distinct_values() -> None:
    """An absent value is not a class; other values have the index -1."""
    classes = classes_of(np.array(["B", "", "A", "B"]))
    assert classes == ("A", "B")
    assert indices(classes, np.array(["B", "", "C"])).tolist() == [1, -1, -1]


@pytest.mark.slow
def test_the_supervised_network_learns_a_simple_task() -> None:
    """A few passes separate white upper and lower halves, despite absent values."""
    rng = np.random.default_rng(3)
    tiles = rng.integers(0, 60, (128, 32, 32)).astype(np.uint8)
    tiles[:64, :16] += 150
    tiles[64:, 16:] += 150
    values = {TAG: np.repeat(["HEAD", "FOOT"], 64), "Modality": np.full(128, "CT")}
    values["Modality"][:5] = ""
    values["Modality"][60:70] = "MR"
    held_out = tiles[::8], {tag: column[::8] for tag, column in values.items()}
    lines: list[str] = []
    supervised = train_supervised(
        tiles, values, held_out, epochs=4, on_epoch=lines.append
    )
    p = supervised.probabilities(tiles)[TAG]
    assert supervised.classes[TAG] == ("FOOT", "HEAD")
    assert (p.argmax(axis=1) == np.repeat([1, 0], 64)).mean() > 0.95
    assert len(lines) == 4
