"""Data of the training loop: tiles on the device, tags as indices, pairs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_training.constraints.sample_constraints import Constraints

HEAD_TAGS = (
    "Modality",
    "BodyPartExamined",
    "ImageOrientationPatient",
)
"""Tags that are visible in an image, and that the heads predict.

Manufacturer and acquisition type are visible, too, but clusters by manufacturer would
not help to judge the other tags.
"""
LEAST_IMAGES = 4
"""Images of a value below which it has no output in its head."""
ON_DEVICE = 8 << 30
"""Most bytes of tiles that are kept on the GPU."""


@dataclass(frozen=True)
class TrainingSet:
    """Images to train on.

    Attributes
    ----------
    tiles
        Of shape (N, size, size), uint8; may be mapped from a file.
    values
        Keyword to normalized values, empty where missing, each of shape (N,).
    weights
        Weight of each image in the loss on tags, of shape (N,).
    constraints
        Pairs of rows; None for a recipe without.
    """

    tiles: NDArray[np.uint8]
    values: Mapping[str, NDArray[np.str_]]
    weights: NDArray[np.float64]
    constraints: Constraints | None = None

    def __len__(self) -> int:
        return len(self.tiles)


@dataclass(frozen=True)
class Vocabulary:
    """The values of each head.

    Attributes
    ----------
    values
        Keyword to values, in the order of the head's outputs.
    """

    values: Mapping[str, tuple[str, ...]]

    def indices(self, tag: str, column: NDArray[np.str_]) -> NDArray[np.int64]:
        """Return the index of each value, -1 where missing or without an output."""
        index = {value: i for i, value in enumerate(self.values[tag])}
        return np.array([index.get(v, -1) for v in column.tolist()], dtype=np.int64)

    def sizes(self) -> dict[str, int]:
        """Return keyword to number of values."""
        return {tag: len(values) for tag, values in self.values.items()}


def vocabulary_of(training: TrainingSet) -> Vocabulary:
    """Return the values frequent enough to be learnt, of tags with at least two."""
    kept: dict[str, tuple[str, ...]] = {}
    for tag in HEAD_TAGS:
        column = training.values.get(tag, np.empty(0, dtype=np.str_))
        names, counts = np.unique(column[column != ""], return_counts=True)
        values = tuple(names[counts >= LEAST_IMAGES].tolist())
        if len(values) > 1:
            kept[tag] = values
    return Vocabulary(kept)


@dataclass(frozen=True)
class DeviceData:
    """A training set on the device, tags as indices.

    Attributes
    ----------
    tiles
        uint8, of shape (N, size, size); on the GPU, or in memory where they do not fit.
    values
        Keyword to the index of each value, -1 where missing, of shape (N,).
    class_weights
        Keyword to the weight of each value, of shape (V,).
    weights
        Weight of each image in the loss on tags, of shape (N,).
    """

    tiles: NDArray[np.uint8] | Tensor
    values: dict[str, Tensor]
    class_weights: dict[str, Tensor]
    weights: Tensor
    device: str

    def images(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the images of some rows, (n, 1, size, size) in [0, 1]."""
        if isinstance(self.tiles, Tensor):
            tiles = self.tiles[torch.from_numpy(rows).to(self.device)]
        else:
            tiles = torch.from_numpy(self.tiles[rows]).to(self.device)
        return as_images(tiles)


def as_images(tiles: Tensor) -> Tensor:
    """Return uint8 tiles (n, size, size) as images (n, 1, size, size) in [0, 1].

    Channels last: convolutions on a CPU are then about 1.5 times as fast.
    """
    x = tiles.unsqueeze(1).float() / 255
    return x.contiguous(memory_format=torch.channels_last)


def on_device(
    training: TrainingSet, vocabulary: Vocabulary, balance: float, device: str
) -> DeviceData:
    """Return a training set with tags as indices, and tiles on the GPU where they fit."""
    values = {
        tag: torch.from_numpy(vocabulary.indices(tag, training.values[tag]))
        for tag in vocabulary.values
    }
    class_weights = {
        tag: class_weights_of(index, len(vocabulary.values[tag]), balance)
        for tag, index in values.items()
    }
    tiles: NDArray[np.uint8] | Tensor = training.tiles
    if device.startswith("cuda") and training.tiles.nbytes <= ON_DEVICE:
        tiles = torch.from_numpy(np.array(training.tiles)).to(device)
    return DeviceData(
        tiles,
        {tag: index.to(device) for tag, index in values.items()},
        {tag: weight.to(device) for tag, weight in class_weights.items()},
        torch.from_numpy(training.weights).float().to(device),
        device,
    )


def class_weights_of(indices: Tensor, n_values: int, balance: float) -> Tensor:
    """Return weights of values, of shape (n_values,); rare values have higher ones.

    Parameters
    ----------
    balance
        Exponent: 0 gives all images the same weight, 1 all values the same total.
    """
    # One more of each, so that no weight is infinite.
    counts = torch.bincount(indices[indices >= 0], minlength=n_values).float() + 1
    return (counts.mean() / counts) ** balance
