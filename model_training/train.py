"""The training loop of the autoencoder, read top to bottom."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_training.augment import mirrored, varied
from model_training.config import TrainingConfig
from model_training.encoder import Autoencoder
from model_training.losses import reconstruction_loss

Tiles = NDArray[np.uint8]
FLOOR = 0.05


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """Mean squared errors of one pass; that of the held-out part is without variation."""

    epoch: int
    loss: float
    held_out: float


def train_autoencoder(
    tiles: Tiles,
    held_out: Tiles,
    config: TrainingConfig,
    *,
    device: str = "cpu",
    on_step: Callable[[int], None] = lambda _: None,
    on_epoch: Callable[[EpochFigures], None] = lambda _: None,
) -> tuple[Autoencoder, list[EpochFigures]]:
    """Train on tiles (N, size, size); return the best on the held-out tiles, and the way.

    The autoencoder sees a varied tile and has to draw the tile as it was, so that its
    embedding forgets what the variation changed (a denoising autoencoder).
    """
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    # Convolutions on a CPU are about half as fast again with channels last.
    model = Autoencoder(config.size, config.filters, config.embedding)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    steps = config.epochs * math.ceil(len(tiles) / config.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * step / steps)) / 2,
    )
    if not len(held_out):
        held_out = tiles  # too few patients to hold any back
    history: list[EpochFigures] = []
    best, best_state, since_best = math.inf, copy.deepcopy(model.state_dict()), 0

    for epoch in range(1, config.epochs + 1):
        model.train()
        total = 0.0
        for batch in _batches(tiles, config.batch, generator):
            clean = mirrored(as_input(batch, device), generator)
            _, reconstruction = model(varied(clean, generator, config.augment))
            loss = reconstruction_loss(reconstruction, clean)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
            on_step(len(batch))
        error = held_out_error(model, held_out, config.batch, device)
        history.append(EpochFigures(epoch, total / len(tiles), error))
        on_epoch(history[-1])
        if error < best:
            best, best_state, since_best = error, copy.deepcopy(model.state_dict()), 0
        else:
            since_best += 1
        if since_best > config.patience:
            break

    model.load_state_dict(best_state)
    return model.eval(), history


def as_input(tiles: Tiles, device: str) -> Tensor:
    """Return tiles as the network takes them: (N, 1, size, size) in [0, 1]."""
    x = torch.from_numpy(np.ascontiguousarray(tiles)).to(device)
    x = x.unsqueeze(1).float() / 255
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def held_out_error(model: Autoencoder, tiles: Tiles, batch: int, device: str) -> float:
    """Return the mean squared error over tiles that the model did not see."""
    model.eval()
    total = 0.0
    for start in range(0, len(tiles), batch):
        x = as_input(tiles[start : start + batch], device)
        total += reconstruction_loss(model(x)[1], x).item() * len(x)
    return total / max(1, len(tiles))


def _batches(tiles: Tiles, size: int, generator: torch.Generator) -> Iterator[Tiles]:
    order = torch.randperm(len(tiles), generator=generator).numpy()
    for start in range(0, len(order), size):
        yield tiles[order[start : start + size]]
