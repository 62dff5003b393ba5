"""The trained network, and the figures of each pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model_training.network.clustering import Floats
from model_training.network.network import ClusteringNetwork
from model_training.network.training_config import TrainingConfig
from model_training.training.embedding import (
    as_floats,
    embed,
    soft_assignment,
    statistics,
)

ENCODER, CLUSTERS = "encoder", "clusters"


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """Figures of one pass.

    Attributes
    ----------
    part
        `encoder` before there are clusters, then `clusters`.
    terms
        Name of each loss to its weighted mean.
    held_out
        Loss on held-out images without augmentation; None in the second part.
    changed
        Share of assignments that differ from the pass before; None in the first part.
    empty
        Clusters without an image; None in the first part.
    """

    part: str
    epoch: int
    terms: dict[str, float]
    held_out: float | None = None
    changed: float | None = None
    empty: int | None = None

    def __str__(self) -> str:
        """Return one line for progress and logs."""
        parts = [f"{name} {value:.4f}" for name, value in self.terms.items()]
        if self.held_out is not None:
            parts.append(f"held out {self.held_out:.4f}")
        if self.changed is not None:
            parts.append(f"{self.changed:.1%} reassigned")
        if self.empty:
            parts.append(f"{self.empty} clusters empty")
        return f"{self.part} {self.epoch}: {', '.join(parts)}"


@dataclass
class Trained:
    """A trained network with its configuration and history.

    Attributes
    ----------
    vocabulary
        Keyword of a tag to the values of the network's head for it.
    """

    network: ClusteringNetwork
    config: TrainingConfig
    history: list[EpochFigures] = field(default_factory=list)
    vocabulary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def centers(self) -> Floats:
        """Cluster centers, of shape (K, D)."""
        return as_floats(self.network.cluster_centers)

    def embed(
        self, tiles: NDArray[np.uint8], generator: torch.Generator | None = None
    ) -> Floats:
        """Return embeddings of tiles (N, size, size), of shape (N, D).

        With a generator, of augmented tiles.
        """
        return embed(self.network, tiles, self.config.augment, generator)

    def statistics(self, tiles: NDArray[np.uint8]) -> Floats:
        """Return channel statistics of tiles (N, size, size), of shape (N, S)."""
        return statistics(self.network, tiles)

    def head(self, tag: str) -> tuple[Floats, Floats] | None:
        """Return weight (V, D) and bias (V,) of a tag's head, None without one."""
        if tag not in self.network.heads:
            return None
        layer = self.network.heads[tag]
        assert isinstance(layer, nn.Linear)  # noqa: S101 -- for the type checker
        return as_floats(layer.weight), as_floats(layer.bias)

    def soft_assignment(self, tiles: NDArray[np.uint8]) -> Floats:
        """Return q of tiles (N, size, size), of shape (N, K)."""
        return soft_assignment(self.network, tiles)
