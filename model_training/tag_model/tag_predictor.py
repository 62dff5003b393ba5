"""From embeddings to clusters, neighbor images and tag probabilities, as one module.

Calibration and the exported graph use this same torch module, so that a bundle does what
was calibrated. N images, K clusters, M neighbor images, D dimensions, V concepts of a tag.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from model_training.network.losses import log_student_t, squared_distances
from model_training.tag_model.tag_pool import (
    NeighborImages,
    TagPool,
    TagSources,
    as_tensor,
)
from veritag.judging.tag_probabilities import Floats

NEIGHBORS = 10
"""Neighbor images that vote."""
LEAST_DISTANCE = 1e-6
"""Least usual distance, which is 0 where most neighbor images are copies of others."""
BATCH = 512


class TagPredictor(nn.Module):
    """Clusters, neighbor images and tag probabilities of embeddings.

    Parameters
    ----------
    neighbors
        The images that new ones are compared with.
    sources
        Keyword to the sources of the tag; the columns of `tag_probability` are the
        concepts of the first tag, then those of the second, and so on.
    """

    centers: Tensor
    neighbor_embedding: Tensor
    neighbor_squares: Tensor

    def __init__(
        self,
        centers: Floats,
        degrees: float,
        sharpness: float,
        neighbors: NeighborImages,
        sources: Mapping[str, TagSources],
    ) -> None:
        super().__init__()
        self.degrees, self.sharpness = degrees, sharpness
        self.scale = max(neighbors.scale, LEAST_DISTANCE)
        self.register_buffer("centers", as_tensor(centers))
        # Transposed for the product, and squared: the graph then holds them once.
        embedding = neighbors.embedding
        self.register_buffer("neighbor_embedding", as_tensor(embedding.T))
        self.register_buffer("neighbor_squares", as_tensor((embedding**2).sum(axis=1)))
        self.count = min(NEIGHBORS, len(embedding))
        self.tags = tuple(sources)
        self.pools = nn.ModuleList(TagPool(sources[tag]) for tag in self.tags)

    def clusters(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return log q (eq. 11) and the distances to the centers, both (N, K)."""
        squared = squared_distances(z, self.centers)
        return log_student_t(squared, self.degrees), torch.sqrt(squared)

    def nearest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the indices of the nearest neighbor images and their distances, (N, k)."""
        # One product with all neighbor images: an exact search needs no index in the graph.
        squared_norms = (z**2).sum(1, keepdim=True)
        squared = (
            squared_norms - 2.0 * (z @ self.neighbor_embedding) + self.neighbor_squares
        )
        # Rounding may leave a square below 0, which has no root.
        nearest, rows = torch.topk(-squared, self.count, dim=1)
        return rows, torch.sqrt((-nearest).clamp(min=0.0))

    def pool_inputs(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return z, sharpened q, indices of the nearest images and their weights."""
        log_q, _ = self.clusters(z)
        rows, distance = self.nearest(z)
        # Relative to the usual distance, so that weights do not depend on its scale.
        closeness = torch.softmax(-distance / self.scale, dim=1)
        return z, torch.softmax(self.sharpness * log_q, dim=1), rows, closeness

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return `tag_probability` (N, sum of V) and `neighbors` (N, k)."""
        inputs = self.pool_inputs(z)
        return torch.cat([pool(*inputs) for pool in self.pools], dim=1), inputs[2]

    @torch.no_grad()
    def probabilities(self, embedding: Floats) -> dict[str, Floats]:
        """Return keyword to the probability of each concept, of shape (N, V)."""
        parts = {tag: [] for tag in self.tags}  # type: dict[str, list[Floats]]
        for z in _batches(embedding):
            inputs = self.pool_inputs(z)
            for tag, pool in zip(self.tags, self.pools, strict=True):
                parts[tag].append(pool(*inputs).double().numpy())
        return {tag: np.concatenate(part) for tag, part in parts.items()}

    @torch.no_grad()
    def source_logs(self, embedding: Floats) -> dict[str, Floats]:
        """Return keyword to the log probabilities of each source, (N, 3, V)."""
        parts = {tag: [] for tag in self.tags}  # type: dict[str, list[Floats]]
        for z in _batches(embedding):
            inputs = self.pool_inputs(z)
            for tag, pool in zip(self.tags, self.pools, strict=True):
                assert isinstance(pool, TagPool)  # noqa: S101 -- for the type checker
                parts[tag].append(pool.source_logs(*inputs).double().numpy())
        return {tag: np.concatenate(part) for tag, part in parts.items()}


def _batches(embedding: Floats) -> Sequence[Tensor]:
    """Return parts of embeddings (N, D), at least one."""
    return torch.split(torch.tensor(embedding, dtype=torch.float32), BATCH)
