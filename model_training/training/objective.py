"""The objective of one step: weighted losses on images and on pairs of images."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_training.constraints.pair_source import PairSource
from model_training.network.augment import jitter, random_flip, restyle
from model_training.network.losses import (
    clustering_loss,
    contrastive_loss,
    embedding_pair_loss,
    pairwise_loss,
    reconstruction_loss,
    tag_loss,
)
from model_training.network.network import ClusteringNetwork
from model_training.network.training_config import TrainingConfig
from model_training.training.training_data import DeviceData

Terms = dict[str, Tensor]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Objective:
    """Weighted losses by name.

    Attributes
    ----------
    pairs
        Source of the pairs; None for a recipe without pairwise losses.
    generator
        Random numbers of the augmentation, on the device.
    """

    network: ClusteringNetwork
    data: DeviceData
    config: TrainingConfig
    pairs: PairSource | None
    generator: torch.Generator

    def image_terms(self, rows: Rows) -> tuple[Terms, Tensor]:
        """Return the losses of single images and their tags, and the embeddings."""
        # The reconstruction is compared with the image before jitter: noise is not learnt.
        images = self._flipped(rows)
        z, reconstruction, logits = self.network(
            self._augmented(images), reconstruct=self.config.beta > 0
        )
        terms = weighted_losses(
            self.data, rows, images, reconstruction, logits, self.config
        )
        return terms, z

    def encoder_terms(self, rows: Rows, rng: np.random.Generator) -> Terms:
        """Return the terms of the encoder's training, without clusters."""
        terms, z = self.image_terms(rows)
        if self.config.contrast:
            other = self.network.embed(self._augmented(self._flipped(rows)))
            terms["contrast"] = self.config.contrast * contrastive_loss(z, other)
        if self.config.pretrain_pairs and self.pairs is not None:
            first, second, kinds = self._embedded_pairs(self.pairs, rng)
            terms["pairs"] = self.config.pretrain_pairs * embedding_pair_loss(
                first, second, kinds
            )
        return terms

    def cluster_terms(
        self, rows: Rows, target: Tensor, gamma: float, rng: np.random.Generator
    ) -> Terms:
        """Return the terms of eq. 15: eq. 10 with the target (N, K) of eq. 12, and eq. 14."""
        terms, z = self.image_terms(rows)
        log_q = self.network.log_soft_assignment(z)
        chosen = target[torch.from_numpy(rows).to(target.device)]
        terms["clustering"] = self.config.alpha * clustering_loss(chosen, log_q)
        if self.pairs is not None:
            terms["pairwise"] = gamma * self._of_pairs(self.pairs, rng)
        return terms

    def _of_pairs(self, source: PairSource, rng: np.random.Generator) -> Tensor:
        """Return eq. 14 over a fresh draw of pairs."""
        first, second, kinds = self._embedded_pairs(source, rng)
        return pairwise_loss(
            self.network.log_soft_assignment(first),
            self.network.log_soft_assignment(second),
            kinds,
            self.config.margin,
        )

    def _embedded_pairs(
        self, source: PairSource, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return embeddings of both images of drawn pairs, and which must-link."""
        pairs, is_must = source.draw(self.config.pairs, rng)
        z = self.network.embed(self._augmented(self._flipped(pairs.T.ravel())))
        first, second = z.chunk(2)
        return first, second, torch.from_numpy(is_must).to(self.data.device)

    def _flipped(self, rows: Rows) -> Tensor:
        images = self.data.images(rows)
        return random_flip(images, self.generator) if self.config.augment else images

    def _augmented(self, images: Tensor) -> Tensor:
        if self.config.augment:
            images = jitter(images, self.generator, self.config.augment)
        if self.config.restyle:
            images = self._restyled_share(images)
        return images

    def _restyled_share(self, images: Tensor) -> Tensor:
        """Return the images, a share of them in the style of other devices."""
        device = self.generator.device
        uniform = torch.rand(len(images), generator=self.generator, device=device)
        chosen = (uniform < self.config.restyle).view(-1, 1, 1, 1)
        return torch.where(chosen, restyle(images, self.generator), images)


def weighted_losses(
    data: DeviceData,
    rows: Rows,
    images: Tensor,
    reconstruction: Tensor | None,
    logits: dict[str, Tensor],
    config: TrainingConfig,
) -> Terms:
    """Return the weighted losses of reconstruction and of tags."""
    terms: Terms = {}
    if reconstruction is not None:
        loss = reconstruction_loss(reconstruction, images)
        terms["reconstruction"] = config.beta * loss
    if logits:
        chosen = torch.from_numpy(rows).to(data.device)
        losses = [
            tag_loss(
                predicted,
                data.values[tag][chosen],
                data.class_weights[tag],
                data.weights[chosen],
            )
            for tag, predicted in logits.items()
        ]
        terms["tags"] = config.tags * torch.stack(losses).sum()
    return terms


@torch.no_grad()
def held_out_loss(
    network: ClusteringNetwork, held_out: DeviceData, config: TrainingConfig, batch: int
) -> float:
    """Return the mean loss over held-out images without augmentation.

    NaN where all losses of the recipe need augmented copies or pairs.
    """
    network.eval()
    if not (config.beta or network.heads):
        return math.nan
    total, count = 0.0, len(held_out.weights)
    for start in range(0, count, batch):
        rows = np.arange(start, min(count, start + batch))
        images = held_out.images(rows)
        _, reconstruction, logits = network(images, reconstruct=config.beta > 0)
        terms = weighted_losses(held_out, rows, images, reconstruction, logits, config)
        total += float(sum(term.item() for term in terms.values())) * len(rows)
    return total / max(1, count)
