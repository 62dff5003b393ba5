"""Whether a kind of picture was ever learnt: how novel an image is.

Two signs are added up: how far the image lies from the nearest reference, measured by
how near that reference's own kind lies together, in a space of the embedding and of what
every channel holds; and how undecided the tags' probabilities are. N images, M
references, S statistics, F features, C components.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_training.network.clustering import squared_distances
from veritag.judging.tag_probabilities import Floats

COMPONENTS = 64
USUAL = 0.9
"""Quantile of a kind's distances among itself by which distances are measured."""
LIKE_ALL = 5.0
"""Images' worth of the usual distance that every kind's own starts from."""
NEAREST = 0.05
"""Relative distance under which none is told from another: that of a reference itself is
but the noise of rounding."""
LEAST = 1e-6
LEAST_ENTROPY = 1e-3
SLOPE = 2.0
"""Of novelty's logarithm: its scale says nothing but on which side of 1 it lies."""
NOTHING = 20.0
"""Strangeness of a picture of nothing: more than any limit."""


@dataclass(frozen=True)
class Space:
    """Features turned into the components in which pictures are compared.

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


def fit_space(embedding: Floats, statistics: Floats) -> Space:
    """Return the principal components of the training part's features.

    Each feature is made to vary alike; embedding and statistics weigh the same.
    """
    features = np.concatenate([embedding, statistics], axis=1)
    mean, deviation = features.mean(axis=0), features.std(axis=0) + LEAST
    width = np.r_[
        np.full(embedding.shape[1], embedding.shape[1]),
        np.full(statistics.shape[1], statistics.shape[1]),
    ]
    scale = 1.0 / (deviation * np.sqrt(width))
    centered = (features - mean) * scale
    _, axes = np.linalg.eigh(centered.T @ centered)
    return Space(mean, scale[:, None] * axes[:, ::-1][:, :COMPONENTS])


@dataclass(frozen=True)
class Familiarity:
    """What novelty is measured by.

    Attributes
    ----------
    references
        In the space, of shape (M, C).
    usual
        Distance that is usual within each reference's kind, of shape (M,).
    centers, spreads
        Of the logarithms of both signs over held-out images of known kinds.
    limit
        Of the sum of the signs, beyond which a kind is unknown.
    nothing
        Pictures of nothing in the space, of shape (B, C): what lies nearer to one of
        them than to any reference is unknown, too.
    """

    space: Space
    references: Floats
    usual: Floats
    centers: tuple[float, float] = (0.0, 0.0)
    spreads: tuple[float, float] = (1.0, 1.0)
    limit: float = 0.0
    nothing: Floats = field(default_factory=lambda: np.empty((0, COMPONENTS)))


def fit_familiarity(
    embedding: Floats,
    statistics: Floats,
    rows: NDArray[np.int64],
    kinds: NDArray[np.str_],
    nothing: Floats,
) -> Familiarity:
    """Place the references, and see how near the images of a kind lie together.

    Parameters
    ----------
    embedding, statistics, kinds
        Of the training part, of shape (N, D), (N, S) and (N,).
    rows
        Of the references, of shape (M,).
    nothing
        Embedding and statistics of pictures of nothing, of shape (B, D + S).
    """
    space = fit_space(embedding, statistics)
    references = space.apply(np.concatenate([embedding, statistics], axis=1)[rows])
    usual = _usual_distances(references, kinds[rows])
    return Familiarity(space, references, usual, nothing=space.apply(nothing))


def _usual_distances(references: Floats, kinds: NDArray[np.str_]) -> Floats:
    squared = squared_distances(references, references)
    np.fill_diagonal(squared, np.inf)
    nearest = np.sqrt(np.maximum(squared.min(axis=1), LEAST**2))
    nearest[~np.isfinite(nearest)] = 1.0
    overall = float(np.median(nearest))
    usual = np.empty(len(references))
    for kind in np.unique(kinds):
        own = kinds == kind
        count, far = int(own.sum()), float(np.quantile(nearest[own], USUAL))
        usual[own] = (far * count + overall * LIKE_ALL) / (count + LIKE_ALL)
    return usual


class NoveltyScore(nn.Module):
    """Novelty of images: above 1 their kind is unknown."""

    mean: Tensor
    matrix: Tensor
    references: Tensor
    usual: Tensor
    nothing: Tensor
    references_squared: Tensor
    nothing_squared: Tensor

    def __init__(self, familiarity: Familiarity, columns: Sequence[slice]) -> None:
        super().__init__()

        def tensor(values: Floats) -> Tensor:
            return torch.tensor(np.asarray(values), dtype=torch.float32)

        self.register_buffer("mean", tensor(familiarity.space.mean))
        self.register_buffer("matrix", tensor(familiarity.space.matrix))
        # As they are multiplied, and their squares: the graph holds them once.
        for name in ("references", "nothing"):
            places = getattr(familiarity, name)
            self.register_buffer(name, tensor(places.T))
            self.register_buffer(f"{name}_squared", tensor((places**2).sum(axis=1)))
        self.register_buffer("usual", tensor(familiarity.usual))
        self.centers, self.spreads = familiarity.centers, familiarity.spreads
        self.limit = familiarity.limit
        self.columns = tuple(columns)

    def signs(self, features: Tensor, probability: Tensor) -> Tensor:
        """Return the logarithms of relative distance and of entropy, of shape (N, 2).

        Parameters
        ----------
        features
            Embedding and statistics, of shape (N, F).
        probability
            `tag_probability`, of shape (N, V).
        """
        place = (features - self.mean) @ self.matrix
        distance = self._from_references(place) / self.usual
        entropy = torch.zeros_like(distance[:, 0])
        for column in self.columns:
            p = probability[:, column]
            entropy = entropy - (p * torch.log(p.clamp(min=LEAST))).sum(1)
        nearest = torch.log(distance.amin(1).clamp(min=NEAREST))
        doubt = torch.log(entropy.clamp(min=0.0) + LEAST_ENTROPY)
        return torch.stack([nearest, doubt], 1)

    def like_nothing(self, features: Tensor) -> Tensor:
        """Return how much nearer a picture of nothing lies than a reference, (N,)."""
        place = (features - self.mean) @ self.matrix
        own = self._from_references(place).amin(1)
        if not len(self.nothing_squared):
            return torch.zeros_like(own)
        nothing = _distances(place, self.nothing, self.nothing_squared)
        return own / nothing.amin(1).clamp(min=LEAST)

    def _from_references(self, place: Tensor) -> Tensor:
        return _distances(place, self.references, self.references_squared)

    def strangeness(self, features: Tensor, probability: Tensor) -> Tensor:
        """Return the sum of both signs, (N,); for pictures of nothing it is `NOTHING`."""
        told = self.signs(features, probability)
        first = (told[:, 0] - self.centers[0]) / self.spreads[0]
        second = (told[:, 1] - self.centers[1]) / self.spreads[1]
        nothing = self.like_nothing(features) > 1.0
        return torch.where(nothing, NOTHING, first + second)

    def forward(self, features: Tensor, probability: Tensor) -> Tensor:
        """Return the novelty, of shape (N,)."""
        strange = self.strangeness(features, probability)
        return torch.exp((strange - self.limit).clamp(max=NOTHING / 2) / SLOPE)

    @torch.no_grad()
    def measure(self, features: Floats, probability: Floats) -> Floats:
        """Return the strangeness of images given as arrays, of shape (N,)."""
        told = self.strangeness(*_tensors(features, probability))
        result: Floats = told.double().numpy()
        return result

    @torch.no_grad()
    def measure_signs(self, features: Floats, probability: Floats) -> Floats:
        """Return the signs of images given as arrays, of shape (N, 2)."""
        told = self.signs(*_tensors(features, probability))
        result: Floats = told.double().numpy()
        return result


def familiar_novelty(familiarity: Familiarity, strangeness: float) -> float:
    """Return the novelty that a strangeness stands for."""
    return math.exp((strangeness - familiarity.limit) / SLOPE)


def _distances(places: Tensor, others: Tensor, squares: Tensor) -> Tensor:
    """Return Euclidean distances, of shape (N, M).

    Parameters
    ----------
    others, squares
        Of shape (C, M), and the sums of their squares, of shape (M,).
    """
    squared = (places**2).sum(1, keepdim=True) - 2.0 * (places @ others) + squares
    return torch.sqrt(squared.clamp(min=0.0))


def _tensors(features: Floats, probability: Floats) -> tuple[Tensor, Tensor]:
    return (
        torch.tensor(features, dtype=torch.float32),
        torch.tensor(probability, dtype=torch.float32),
    )


def columns_of(
    concepts: Mapping[str, Sequence[str]], tags: Sequence[str]
) -> list[slice]:
    """Return where in `tag_probability` the named tags stand, those that are there."""
    place, found = 0, {}
    for tag, values in concepts.items():
        found[tag] = slice(place, place + len(values))
        place += len(values)
    return [found[tag] for tag in tags if tag in found]
