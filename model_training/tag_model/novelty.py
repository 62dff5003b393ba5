"""Novelty of an image: whether its kind was among the training images.

Two signals are added: the distance to the nearest neighbor image, relative to how close
the images of that neighbor's own kind lie, in a space of the embedding and of the channel
statistics; and the entropy of the tag probabilities. Their standardized sum is the raw
novelty, the novelty is exp((raw - limit) / 2): above 1 the kind is unknown. N images, M
neighbor images, S statistics, F features, C components.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from veritag.judging.tag_probabilities import Floats

COMPONENTS = 64
"""Principal components in which distances are measured."""
NEAREST = 0.05
"""Least relative distance: below it is the rounding error of a neighbor's distance to itself."""
LEAST = 1e-6
"""Least divisor and least argument of a logarithm."""
LEAST_ENTROPY = 1e-3
"""Added to the entropy: below it, differences in certainty say no more about the kind."""
SLOPE = 2.0
"""Divisor in the exponent of the novelty. Its scale has no meaning, only the side of 1."""
BLANK_NOVELTY = 20.0
"""Raw novelty of a blank image: above any limit."""


@dataclass(frozen=True)
class NoveltySpace:
    """Projection of features to the components in which distances are measured.

    Attributes
    ----------
    mean, matrix
        A row of features f, of shape (F,), becomes (f - mean) @ matrix, of shape (C,).
    """

    mean: Floats
    matrix: Floats

    def apply(self, features: Floats) -> Floats:
        """Return components of features (N, F), of shape (N, C)."""
        result: Floats = (features - self.mean) @ self.matrix
        return result


@dataclass(frozen=True)
class NoveltyModel:
    """Parameters of the novelty.

    Attributes
    ----------
    neighbors
        The neighbor images in the space, of shape (M, C).
    usual_distances
        Usual distance to the nearest neighbor within each one's kind, of shape (M,).
    centers, spreads
        Mean and deviation of both signals over held-out images.
    limit
        Raw novelty above which a kind is unknown.
    blank
        Blank images in the space, of shape (B, C): an image nearer to one of them than
        to any neighbor is unknown, whatever its signals.
    """

    space: NoveltySpace
    neighbors: Floats
    usual_distances: Floats
    centers: tuple[float, float] = (0.0, 0.0)
    spreads: tuple[float, float] = (1.0, 1.0)
    limit: float = 0.0
    blank: Floats = field(default_factory=lambda: np.empty((0, COMPONENTS)))

    def novelty(self, raw_novelty: float) -> float:
        """Return the novelty of a raw novelty."""
        return math.exp((raw_novelty - self.limit) / SLOPE)


class NoveltyScore(nn.Module):
    """The novelty as a torch module, for calibration and for the exported graph."""

    mean: Tensor
    matrix: Tensor
    neighbors: Tensor
    usual_distances: Tensor
    blank: Tensor
    neighbors_squared: Tensor
    blank_squared: Tensor

    def __init__(self, model: NoveltyModel, columns: Sequence[slice]) -> None:
        super().__init__()

        def tensor(values: Floats) -> Tensor:
            return torch.tensor(np.asarray(values), dtype=torch.float32)

        self.register_buffer("mean", tensor(model.space.mean))
        self.register_buffer("matrix", tensor(model.space.matrix))
        # Transposed for the product, and squared: the graph then holds them once.
        for name in ("neighbors", "blank"):
            points = getattr(model, name)
            self.register_buffer(name, tensor(points.T))
            self.register_buffer(f"{name}_squared", tensor((points**2).sum(axis=1)))
        self.register_buffer("usual_distances", tensor(model.usual_distances))
        self.centers, self.spreads = model.centers, model.spreads
        self.limit = model.limit
        self.columns = tuple(columns)

    def signals(self, features: Tensor, probability: Tensor) -> Tensor:
        """Return the logarithms of relative distance and of entropy, of shape (N, 2).

        Parameters
        ----------
        features
            Embedding and statistics, of shape (N, F).
        probability
            `tag_probability`, of shape (N, V).
        """
        point = (features - self.mean) @ self.matrix
        # Kinds differ in how much their images vary: each distance is measured by the
        # usual one within that neighbor's kind.
        distance = self._to_neighbors(point) / self.usual_distances
        entropy = torch.zeros_like(distance[:, 0])
        for column in self.columns:
            p = probability[:, column]
            # Clamped inside the logarithm alone: 0 log 0 is 0.
            entropy = entropy - (p * torch.log(p.clamp(min=LEAST))).sum(1)
        nearest = torch.log(distance.amin(1).clamp(min=NEAREST))
        log_entropy = torch.log(entropy.clamp(min=0.0) + LEAST_ENTROPY)
        return torch.stack([nearest, log_entropy], 1)

    def blankness(self, features: Tensor) -> Tensor:
        """Return distance to neighbors over distance to blank images, of shape (N,)."""
        point = (features - self.mean) @ self.matrix
        distance = self._to_neighbors(point).amin(1)
        if not len(self.blank_squared):
            return torch.zeros_like(distance)
        blank = _distances(point, self.blank, self.blank_squared)
        return distance / blank.amin(1).clamp(min=LEAST)

    def _to_neighbors(self, points: Tensor) -> Tensor:
        return _distances(points, self.neighbors, self.neighbors_squared)

    def raw_novelty(self, features: Tensor, probability: Tensor) -> Tensor:
        """Return the sum of both standardized signals, (N,); `BLANK_NOVELTY` if blank."""
        signals = self.signals(features, probability)
        first = (signals[:, 0] - self.centers[0]) / self.spreads[0]
        second = (signals[:, 1] - self.centers[1]) / self.spreads[1]
        is_blank = self.blankness(features) > 1.0
        return torch.where(is_blank, BLANK_NOVELTY, first + second)

    def forward(self, features: Tensor, probability: Tensor) -> Tensor:
        """Return the novelty, of shape (N,)."""
        raw = self.raw_novelty(features, probability)
        # Limited: how far above 1 the novelty lies has no meaning.
        return torch.exp((raw - self.limit).clamp(max=BLANK_NOVELTY / 2) / SLOPE)

    @torch.no_grad()
    def measure(self, features: Floats, probability: Floats) -> Floats:
        """Return the raw novelty of images given as arrays, of shape (N,)."""
        raw = self.raw_novelty(*_tensors(features, probability))
        result: Floats = raw.double().numpy()
        return result

    @torch.no_grad()
    def measure_signals(self, features: Floats, probability: Floats) -> Floats:
        """Return the signals of images given as arrays, of shape (N, 2)."""
        signals = self.signals(*_tensors(features, probability))
        result: Floats = signals.double().numpy()
        return result


def _distances(points: Tensor, others: Tensor, squares: Tensor) -> Tensor:
    """Return Euclidean distances, of shape (N, M).

    Parameters
    ----------
    others, squares
        Of shape (C, M), and the sums of their squares, of shape (M,).
    """
    squared = (points**2).sum(1, keepdim=True) - 2.0 * (points @ others) + squares
    return torch.sqrt(squared.clamp(min=0.0))


def _tensors(features: Floats, probability: Floats) -> tuple[Tensor, Tensor]:
    return (
        torch.tensor(features, dtype=torch.float32),
        torch.tensor(probability, dtype=torch.float32),
    )


def columns_of(
    concepts: Mapping[str, Sequence[str]], tags: Sequence[str]
) -> list[slice]:
    """Return the columns of `tag_probability` of the named tags that have concepts."""
    start, columns = 0, {}
    for tag, values in concepts.items():
        columns[tag] = slice(start, start + len(values))
        start += len(values)
    return [columns[tag] for tag in tags if tag in columns]
