"""Embeddings, channel statistics and soft assignments of tiles, without training."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_training.network.augment import jitter, random_flip
from model_training.network.clustering import Floats
from model_training.network.losses import log_soft_assignment
from model_training.network.network import ClusteringNetwork
from model_training.training.training_data import as_images

ON_CPU, ON_GPU = 32, 512
"""Tiles per batch: few fit the caches of a CPU, many are needed to occupy a GPU."""
NORM_BATCH = 256
"""Tiles per batch over which norms take their statistics."""
BLOCK = 4096
"""Embeddings per batch of soft assignments."""

Tiles = NDArray[np.uint8]


def batch_size(device: torch.device) -> int:
    """Return the batch size with which a device embeds fastest."""
    return ON_CPU if device.type == "cpu" else ON_GPU


@torch.no_grad()
def embed(
    network: ClusteringNetwork,
    tiles: Tiles,
    strength: float = 0.0,
    generator: torch.Generator | None = None,
) -> Floats:
    """Return embeddings of tiles (N, size, size), of shape (N, D).

    Parameters
    ----------
    strength, generator
        With a generator, tiles are augmented first, see `model_training.network.augment`.
    """
    network.eval()
    device = network.cluster_centers.device
    parts = [np.empty((0, network.cluster_centers.shape[1]))]
    size = batch_size(device)
    for start in range(0, len(tiles), size):
        # A copy, because torch warns of read-only arrays such as mapped tiles.
        batch = np.array(tiles[start : start + size])
        x = as_images(torch.from_numpy(batch).to(device))
        if generator is not None:
            x = jitter(random_flip(x, generator), generator, strength)
        parts.append(as_floats(network.encoder(x)))
    return np.concatenate(parts)


@torch.no_grad()
def statistics(network: ClusteringNetwork, tiles: Tiles) -> Floats:
    """Return mean and deviation of every channel of tiles (N, size, size), (N, S)."""
    network.eval()
    device = network.cluster_centers.device
    size = batch_size(device)
    parts = []
    for start in range(0, len(tiles), size):
        batch = np.array(tiles[start : start + size])
        x = as_images(torch.from_numpy(batch).to(device))
        parts.append(as_floats(network.encoder.with_statistics(x)[1]))
    return np.concatenate(parts)


@torch.no_grad()
def settle_norms(network: ClusteringNetwork, tiles: Tiles) -> None:
    """Set the statistics of all norms from tiles (n, size, size) without augmentation.

    Running means lag behind after a short training, and are those of augmented tiles.
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    ]
    if not norms:
        return
    momentum = norms[0].momentum
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
        norm.train()
    device = network.cluster_centers.device
    for start in range(0, len(tiles), NORM_BATCH):
        batch = np.array(tiles[start : start + NORM_BATCH])
        if len(batch) > 1:
            network.encoder(as_images(torch.from_numpy(batch).to(device)))
    for norm in norms:
        norm.momentum = momentum


@torch.no_grad()
def soft_assignment(network: ClusteringNetwork, tiles: Tiles) -> Floats:
    """Return q (eq. 11) of all tiles, of shape (N, K)."""
    z = torch.from_numpy(embed(network, tiles))
    centers = network.cluster_centers.detach().double().cpu()
    parts = [
        log_soft_assignment(z[start : start + BLOCK], centers, network.degrees)
        for start in range(0, len(z), BLOCK)
    ]
    return as_floats(torch.cat(parts).exp())


def as_floats(values: Tensor) -> Floats:
    """Return a tensor as an array of float64."""
    array: Floats = values.detach().cpu().numpy().astype(np.float64)
    return array
