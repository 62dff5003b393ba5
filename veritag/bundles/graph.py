"""The ONNX graph of a bundle: names, types, shapes and order of input and outputs.

Export and inference both use this description. ONNX Runtime is not imported here: only
the worker and the training need it.
"""

from collections.abc import Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    Protocol,
    TypeVar,
    get_type_hints,
)

import numpy as np
from numpy.typing import NDArray

Array = TypeVar("Array")

INPUT = "tiles"
"""Name of the input: tiles of uint8, of shape (n, size, size)."""

BATCH_AXIS = "n"


class TensorType(NamedTuple):
    """Type and axes of one tensor of the graph.

    Attributes
    ----------
    dtype
        As numpy names it.
    axes
        Name of each axis; axes of one name have one length.
    """

    dtype: str
    axes: tuple[str, ...]


class GraphOutputs(NamedTuple, Generic[Array]):
    """What the graph computes for n tiles; the fields are its outputs, in their order.

    K is the number of clusters, V that of the concepts of all tags.

    Attributes
    ----------
    embedding
        Of shape (n, D).
    soft_assignment
        q of eq. 11 (Manojlovic and Stajduhar 2021), of shape (n, K).
    distance
        To the cluster centers, of shape (n, K).
    tag_probability
        Of the concepts of the manifest, tag after tag, of shape (n, V).
    novelty
        Above 1 the picture is of an unknown kind; of shape (n,).
    neighbors
        Numbers of the nearest neighbor images, the nearest first, of shape (n, k).
    """

    embedding: Annotated[Array, TensorType("float32", (BATCH_AXIS, "D"))]
    soft_assignment: Annotated[Array, TensorType("float32", (BATCH_AXIS, "K"))]
    distance: Annotated[Array, TensorType("float32", (BATCH_AXIS, "K"))]
    tag_probability: Annotated[Array, TensorType("float32", (BATCH_AXIS, "V"))]
    novelty: Annotated[Array, TensorType("float32", (BATCH_AXIS,))]
    neighbors: Annotated[Array, TensorType("int64", (BATCH_AXIS, "k"))]


# Read from the fields, so that names, types and order are written down once.
OUTPUTS: Mapping[str, TensorType] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(GraphOutputs, include_extras=True).items()
}
"""Name to type of each output, in their order."""


class Session(Protocol):
    """The part of an `onnxruntime.InferenceSession` that is used."""

    def run(
        self, output_names: list[str], input_feed: dict[str, Any], /
    ) -> list[NDArray[Any]]:
        """Return the named outputs."""


def run_graph(session: Session, tiles: NDArray[np.uint8]) -> GraphOutputs[NDArray[Any]]:
    """Return what the graph computes for tiles of shape (n, size, size)."""
    return GraphOutputs(*session.run(list(OUTPUTS), {INPUT: tiles}))


def concatenated(
    batches: Sequence[GraphOutputs[NDArray[Any]]],
) -> GraphOutputs[NDArray[Any]]:
    """Return the outputs of several batches as those of one."""
    return GraphOutputs(*map(np.concatenate, zip(*batches, strict=True)))


def mismatches(
    outputs: GraphOutputs[NDArray[Any]], lengths: Mapping[str, int]
) -> list[str]:
    """Return a sentence for each output that is not of the promised type and shape.

    Parameters
    ----------
    lengths
        Name to length of the axes that are known; others may have any length.
    """
    return [
        f"{name} is {array.dtype} of shape {array.shape}, expected {_text(kind, lengths)}"
        for (name, kind), array in zip(OUTPUTS.items(), outputs, strict=True)
        if array.dtype != kind.dtype or not _fits(array.shape, kind.axes, lengths)
    ]


def _fits(
    shape: tuple[int, ...], axes: tuple[str, ...], lengths: Mapping[str, int]
) -> bool:
    return len(shape) == len(axes) and all(
        lengths.get(axis, length) == length
        for axis, length in zip(axes, shape, strict=True)
    )


def _text(kind: TensorType, lengths: Mapping[str, int]) -> str:
    shape = ", ".join(str(lengths.get(axis, axis)) for axis in kind.axes)
    return f"{kind.dtype} of shape ({shape})"
