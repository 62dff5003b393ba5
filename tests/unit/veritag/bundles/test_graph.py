"""The description of the graph's outputs."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from veritag.bundles.graph import (
    INPUT,
    OUTPUTS,
    GraphOutputs,
    concatenated,
    mismatches,
    run_graph,
)

LENGTHS = {"n": 2, "K": 4, "V": 7}


def outputs(n: int = 2) -> GraphOutputs[NDArray[Any]]:
    """Return outputs of n tiles, numbered from 0."""
    lengths = {**LENGTHS, "n": n, "D": 5, "k": 3}
    shapes = [[lengths[axis] for axis in kind.axes] for kind in OUTPUTS.values()]
    return GraphOutputs(
        *(
            np.arange(np.prod(shape)).reshape(shape).astype(kind.dtype)
            for shape, kind in zip(shapes, OUTPUTS.values(), strict=True)
        )
    )


class FakeSession:
    """A session that returns the outputs that it is asked for, by name."""

    def run(self, names: list[str], feed: dict[str, Any], /) -> list[NDArray[Any]]:
        """Return the named outputs."""
        arrays = outputs(len(feed[INPUT]))._asdict()
        return [arrays[name] for name in names]


def test_each_field_is_an_output_in_its_order() -> None:
    """Name and order of outputs are those of the fields."""
    assert tuple(OUTPUTS) == GraphOutputs._fields
    ran = run_graph(FakeSession(), np.zeros((2, 8, 8), np.uint8))
    for ours, theirs in zip(ran, outputs(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_batches_are_joined_output_by_output() -> None:
    """One and two tiles make three rows of every output."""
    joined = concatenated([outputs(1), outputs(2)])
    assert [len(array) for array in joined] == [3] * len(OUTPUTS)
    np.testing.assert_array_equal(joined.neighbors[1:], outputs(2).neighbors)


def test_outputs_as_promised_have_no_mismatch() -> None:
    """Axes of unknown length may have any."""
    assert mismatches(outputs(), LENGTHS) == []


@pytest.mark.parametrize(
    ("name", "array", "sentence"),
    [
        (
            "distance",
            np.zeros((2, 3), np.float32),
            "distance is float32 of shape (2, 3), expected float32 of shape (2, 4)",
        ),
        (
            "novelty",
            np.zeros((2, 1), np.float32),
            "novelty is float32 of shape (2, 1), expected float32 of shape (2)",
        ),
        (
            "neighbors",
            np.zeros((2, 3), np.float32),
            "neighbors is float32 of shape (2, 3), expected int64 of shape (2, k)",
        ),
    ],
)
def test_an_output_of_another_type_or_shape_is_named(
    name: str, array: NDArray[Any], sentence: str
) -> None:
    """The sentence has what the graph computes and what was expected."""
    assert mismatches(outputs()._replace(**{name: array}), LENGTHS) == [sentence]
