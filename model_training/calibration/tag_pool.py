"""What a picture says of each tag: clusters, heads and neighbors, weighed together.

One torch module serves calibration and export alike, so that what is shipped is what
was calibrated. N images, K clusters, M references, D dimensions, V concepts of a tag.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_training.network.losses import log_student_t, squared_distances
from veritag.judging.tag_probabilities import Floats

SOURCES = ("clusters", "heads", "neighbors")
NEIGHBORS = 10
"""Reference images that vote."""
FLOOR = 1e-3
"""Probability that no source goes below, shared among a tag's concepts: a value that
one of them never met must not be impossible."""
NOT_LEARNT = -1e4
"""Logit of a concept that a head does not tell."""
LEAST_DISTANCE = 1e-6


@dataclass(frozen=True)
class References:
    """Training images that new ones are compared with.

    Attributes
    ----------
    embedding
        Of shape (M, D).
    scale
        Distance to a nearest neighbor that is usual among them.
    rows
        Their rows in the training part, of shape (M,).
    """

    embedding: Floats
    scale: float
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class TagSources:
    """What the sources know of one tag.

    Attributes
    ----------
    concepts
        All that the training part carries, V of them.
    overall
        Share of each among the training images that carry the tag, of shape (V,).
    table
        Of the clusters' profiles, of shape (K, V); zero rows know nothing.
    head_weight, head_bias
        Of the linear layer over the embedding, of shape (V, D) and (V,); None for a tag
        without a head.
    carried
        Place of each reference's value in `concepts`, -1 for none, of shape (M,).
    weights
        How much each of `SOURCES` counts, of shape (3,).
    """

    concepts: tuple[str, ...]
    overall: Floats
    table: Floats
    head_weight: Floats | None
    head_bias: Floats | None
    carried: NDArray[np.int64]
    weights: Floats


def _tensor(values: Floats) -> Tensor:
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
        self.register_buffer("overall", _tensor(sources.overall))
        self.register_buffer("table", _tensor(sources.table))
        self.register_buffer("weights", _tensor(sources.weights))
        votes = np.zeros((len(sources.carried), count))
        told = sources.carried >= 0
        votes[told, sources.carried[told]] = 1.0
        self.register_buffer("votes", _tensor(votes))
        self.has_head = sources.head_weight is not None
        if sources.head_weight is not None and sources.head_bias is not None:
            self.register_buffer("head_weight", _tensor(sources.head_weight))
            self.register_buffer("head_bias", _tensor(sources.head_bias))

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
            Numbers and weights of the nearest references, of shape (N, k); the weights
            of an image sum to 1.
        """
        logs = self.source_logs(z, clusters, nearest, closeness)
        return torch.softmax((logs * self.weights.view(1, -1, 1)).sum(1), dim=1)

    def source_logs(
        self, z: Tensor, clusters: Tensor, nearest: Tensor, closeness: Tensor
    ) -> Tensor:
        """Return the log probability that each source gives, of shape (N, 3, V)."""
        mass = clusters @ self.table
        voted = (self.votes[nearest] * closeness.unsqueeze(2)).sum(1)
        told = [self._complete(mass), self._head(z), self._complete(voted)]
        floor = FLOOR / self.overall.shape[0]
        return torch.log(torch.stack(told, 1) * (1 - FLOOR) + floor)

    def _complete(self, mass: Tensor) -> Tensor:
        """Fill what a source leaves open with the overall shares."""
        return mass + (1 - mass.sum(1, keepdim=True)).clamp(min=0) * self.overall

    def _head(self, z: Tensor) -> Tensor:
        if not self.has_head:
            return self.overall.unsqueeze(0).expand(z.shape[0], -1)
        return torch.softmax(z @ self.head_weight.T + self.head_bias, dim=1)


class PictureReader(nn.Module):
    """Everything that is read off an embedding: clusters, neighbors, and the tags.

    Parameters
    ----------
    sources
        Keyword to what is known of the tag; the columns of `tag_probability` are the
        concepts of the first tag, then those of the second, and so on.
    """

    centers: Tensor
    references: Tensor
    references_squared: Tensor

    def __init__(
        self,
        centers: Floats,
        degrees: float,
        sharpness: float,
        references: References,
        sources: Mapping[str, TagSources],
    ) -> None:
        super().__init__()
        self.degrees, self.sharpness = degrees, sharpness
        self.scale = max(references.scale, LEAST_DISTANCE)
        self.register_buffer("centers", _tensor(centers))
        # As they are multiplied: the graph holds them once.
        self.register_buffer("references", _tensor(references.embedding.T))
        self.register_buffer(
            "references_squared", _tensor((references.embedding**2).sum(axis=1))
        )
        self.count = min(NEIGHBORS, len(references.embedding))
        self.tags = tuple(sources)
        self.pools = nn.ModuleList(TagPool(sources[tag]) for tag in self.tags)

    def clusters(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return log q (eq. 11) and the distances to the centers, both (N, K)."""
        squared = squared_distances(z, self.centers)
        return log_student_t(squared, self.degrees), torch.sqrt(squared)

    def neighbors(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers of the nearest references and their distances, (N, k)."""
        own = (z**2).sum(1, keepdim=True)
        squared = own - 2.0 * (z @ self.references) + self.references_squared
        nearest, rows = torch.topk(-squared, self.count, dim=1)
        return rows, torch.sqrt((-nearest).clamp(min=0.0))

    def evidence(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what the pools take: z, sharpened q, nearest rows, their weights."""
        log_q, _ = self.clusters(z)
        rows, distance = self.neighbors(z)
        closeness = torch.softmax(-distance / self.scale, dim=1)
        return z, torch.softmax(self.sharpness * log_q, dim=1), rows, closeness

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return `tag_probability` (N, sum of V) and `neighbors` (N, k)."""
        told = self.evidence(z)
        return torch.cat([pool(*told) for pool in self.pools], dim=1), told[2]

    @torch.no_grad()
    def read(self, embedding: Floats) -> dict[str, Floats]:
        """Return keyword to the probability of each concept, of shape (N, V)."""
        parts = {tag: [] for tag in self.tags}  # type: dict[str, list[Floats]]
        for z in _batches(embedding):
            told = self.evidence(z)
            for tag, pool in zip(self.tags, self.pools, strict=True):
                parts[tag].append(pool(*told).double().numpy())
        return {tag: np.concatenate(part) for tag, part in parts.items()}

    @torch.no_grad()
    def source_logs(self, embedding: Floats) -> dict[str, Floats]:
        """Return keyword to the log probabilities of each source, (N, 3, V)."""
        parts = {tag: [] for tag in self.tags}  # type: dict[str, list[Floats]]
        for z in _batches(embedding):
            told = self.evidence(z)
            for tag, pool in zip(self.tags, self.pools, strict=True):
                assert isinstance(pool, TagPool)  # noqa: S101 -- for the type checker
                parts[tag].append(pool.source_logs(*told).double().numpy())
        return {tag: np.concatenate(part) for tag, part in parts.items()}


BATCH = 512


def _batches(embedding: Floats) -> Sequence[Tensor]:
    """Return parts of embeddings (N, D), at least one."""
    return torch.split(torch.tensor(embedding, dtype=torch.float32), BATCH)
