"""Pool of the three sources of a tag's probabilities: clusters, heads and neighbors.

Calibration and the exported graph use the same torch module. N images, K clusters, M
neighbor images, D dimensions, V concepts of a tag.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from veritag.judging.tag_probabilities import Floats

SOURCES = ("clusters", "heads", "neighbors")
FLOOR = 1e-3
"""Least probability of any source, shared among a tag's concepts: a product of sources
must not be zero because one of them has never had a value."""
NOT_LEARNT = -1e4
"""Logit of a concept that a head has no output for."""


@dataclass(frozen=True)
class NeighborImages:
    """Training images that new images are compared with.

    Attributes
    ----------
    embedding
        Of shape (M, D).
    scale
        Usual distance of one to the nearest other.
    rows
        Their rows in the training part, of shape (M,).
    """

    embedding: Floats
    scale: float
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class TagSources:
    """Parameters of the three sources of one tag.

    Attributes
    ----------
    concepts
        All values in the training part, V of them.
    overall
        Share of each among the training images that carry the tag, of shape (V,).
    table
        The clusters' profiles, of shape (K, V); a zero row is a cluster without one.
    head_weight, head_bias
        The linear layer over the embedding, of shape (V, D) and (V,); None for a tag
        without a head.
    carried
        Index in `concepts` of each neighbor image's value, -1 for none, of shape (M,).
    weights
        Exponents of `SOURCES` in the pool, of shape (3,).
    """

    concepts: tuple[str, ...]
    overall: Floats
    table: Floats
    head_weight: Floats | None
    head_bias: Floats | None
    carried: NDArray[np.int64]
    weights: Floats


def as_tensor(values: Floats) -> Tensor:
    """Return an array as float32."""
    return torch.tensor(np.asarray(values), dtype=torch.float32)


class TagPool(nn.Module):
    """The logarithmic opinion pool of one tag's sources (Genest and Zidek 1986).

    Each source's probabilities are raised to its weight and multiplied.
    """

    overall: Tensor
    table: Tensor
    weights: Tensor
    votes: Tensor
    head_weight: Tensor
    head_bias: Tensor

    def __init__(self, sources: TagSources) -> None:
        super().__init__()
        count = len(sources.concepts)
        self.register_buffer("overall", as_tensor(sources.overall))
        self.register_buffer("table", as_tensor(sources.table))
        self.register_buffer("weights", as_tensor(sources.weights))
        votes = np.zeros((len(sources.carried), count))
        carrying = sources.carried >= 0
        votes[carrying, sources.carried[carrying]] = 1.0
        self.register_buffer("votes", as_tensor(votes))
        self.has_head = sources.head_weight is not None
        if sources.head_weight is not None and sources.head_bias is not None:
            self.register_buffer("head_weight", as_tensor(sources.head_weight))
            self.register_buffer("head_bias", as_tensor(sources.head_bias))

    def forward(
        self, z: Tensor, clusters: Tensor, nearest: Tensor, closeness: Tensor
    ) -> Tensor:
        """Return the probability of each concept, of shape (N, V).

        Parameters
        ----------
        z
            Embeddings, of shape (N, D).
        clusters
            Sharpened soft assignments, of shape (N, K).
        nearest, closeness
            Indices and weights of the nearest neighbor images, of shape (N, k); the
            weights of an image sum to 1.
        """
        logs = self.source_logs(z, clusters, nearest, closeness)
        return torch.softmax((logs * self.weights.view(1, -1, 1)).sum(1), dim=1)

    def source_logs(
        self, z: Tensor, clusters: Tensor, nearest: Tensor, closeness: Tensor
    ) -> Tensor:
        """Return the log probabilities by each source, of shape (N, 3, V)."""
        profiled = clusters @ self.table
        voted = (self.votes[nearest] * closeness.unsqueeze(2)).sum(1)
        sources = [self._complete(profiled), self._head(z), self._complete(voted)]
        floor = FLOOR / self.overall.shape[0]
        return torch.log(torch.stack(sources, 1) * (1 - FLOOR) + floor)

    def _complete(self, mass: Tensor) -> Tensor:
        """Give the mass that a source leaves out to the overall shares; rows sum to 1."""
        # Clusters without a profile and neighbors without the tag give no mass.
        return mass + (1 - mass.sum(1, keepdim=True)).clamp(min=0) * self.overall

    def _head(self, z: Tensor) -> Tensor:
        if not self.has_head:
            return self.overall.unsqueeze(0).expand(z.shape[0], -1)
        return torch.softmax(z @ self.head_weight.T + self.head_bias, dim=1)
