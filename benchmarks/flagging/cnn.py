"""Supervised network on the same noisy tags, the usual alternative.

A small residual network with one head for each tag, trained by cross entropy on
augmented tiles with Adam (decoupled weight decay) and a one-cycle rate. Temperatures are
fitted on the same held-out patients as Veritag's calibration. The default training takes
about four minutes on two cores at 64 x 64 pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.flagging.measures import Floats
from model_training.network.augment import jitter, random_flip
from model_training.training.stepping import batches, step_count
from model_training.training.training_data import as_images

WIDTHS = (32, 64, 128, 192)
DROPOUT = 0.2
RATE = 4e-3
DECAY = 0.02
BATCH = 64
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.3, 4.0, 27))

Tiles = NDArray[np.uint8]
Strings = NDArray[np.str_]
Classes = dict[str, tuple[str, ...]]


class Block(nn.Module):
    """Two convolutions with a shortcut; halves the side."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(before, width, 1, bias=False)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, width, h/2, w/2)."""
        return functional.relu(self.body(maps) + self.shortcut(maps))


class SupervisedNetwork(nn.Module):
    """Images (N, 1, size, size) in [0, 1] to logits of each tag's classes."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        stages: list[nn.Module] = [
            nn.Conv2d(1, WIDTHS[0], 3, padding=1, bias=False),
            # Pooled before the normalization, which then has a quarter of the values.
            nn.MaxPool2d(2),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(inplace=True),
        ]
        for before, width in pairwise(WIDTHS):
            stages.append(Block(before, width))
        self.trunk = nn.Sequential(
            *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(DROPOUT)
        )
        self.heads = nn.ModuleDict(
            {tag: nn.Linear(WIDTHS[-1], n) for tag, n in sizes.items()}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return tag to logits (N, classes)."""
        features = self.trunk(images)
        return {tag: head(features) for tag, head in self.heads.items()}


@dataclass(frozen=True)
class Supervised:
    """A trained network with the classes and the temperature of each tag."""

    network: SupervisedNetwork
    classes: Classes
    temperature: dict[str, float]

    def probabilities(self, tiles: Tiles) -> dict[str, Floats]:
        """Return tag to probabilities of its classes, of shape (N, classes)."""
        values = logits(self.network, tiles)
        return {
            tag: softmax(values[tag] / self.temperature[tag], axis=1)
            for tag in self.classes
        }


def train_supervised(
    tiles: Tiles,
    values: Mapping[str, Strings],
    held_out: tuple[Tiles, Mapping[str, Strings]],
    *,
    epochs: int,
    seed: int = 1,
    on_epoch: Callable[[str], None] = lambda _: None,
) -> Supervised:
    """Train on tiles (N, size, size) with noisy values, empty where absent.

    Parameters
    ----------
    held_out
        Tiles and values of other patients, for the temperatures.
    """
    torch.manual_seed(seed)
    classes = {tag: classes_of(column) for tag, column in values.items()}
    network = SupervisedNetwork({tag: len(names) for tag, names in classes.items()})
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    targets = {
        tag: torch.from_numpy(indices(classes[tag], column))
        for tag, column in values.items()
    }
    _fit(network, tiles, targets, epochs, seed, on_epoch)
    held_out_logits = logits(network, held_out[0])
    temperature = {
        tag: best_temperature(
            held_out_logits[tag], indices(classes[tag], held_out[1][tag])
        )
        for tag in classes
    }
    return Supervised(network, classes, temperature)


def _fit(
    network: SupervisedNetwork,
    tiles: Tiles,
    targets: Mapping[str, Tensor],
    epochs: int,
    seed: int,
    on_epoch: Callable[[str], None],
) -> None:
    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = step_count(epochs, len(tiles), BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=RATE, total_steps=steps, pct_start=0.2
    )
    for epoch in range(1, epochs + 1):
        network.train()
        losses = []
        for rows in batches(len(tiles), BATCH, rng):
            images = jitter(as_images(torch.from_numpy(tiles[rows])), noise)
            loss = _loss(network(random_flip(images, noise)), targets, rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if schedule.last_epoch < steps:
                schedule.step()
            losses.append(float(loss.detach()))
        on_epoch(f"pass {epoch} of {epochs}, loss {np.mean(losses):.3f}")


def _loss(
    outputs: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    rows: NDArray[np.int64],
) -> Tensor:
    """Return the sum of the mean cross entropies of all tags, over images with the tag."""
    losses = []
    for tag, output in outputs.items():
        target = targets[tag][torch.from_numpy(rows)]
        count = max(1, int((target >= 0).sum()))
        total = functional.cross_entropy(
            output, target, ignore_index=-1, reduction="sum"
        )
        losses.append(total / count)
    return torch.stack(losses).sum()


@torch.no_grad()
def logits(network: SupervisedNetwork, tiles: Tiles) -> dict[str, Floats]:
    """Return tag to logits of tiles (N, size, size), each of shape (N, classes)."""
    network.eval()
    parts = [
        network(as_images(torch.from_numpy(np.array(tiles[start : start + BATCH]))))
        for start in range(0, len(tiles), BATCH)
    ]
    return {
        tag: torch.cat([p[tag] for p in parts]).double().numpy()
        for tag in network.heads
    }


def classes_of(values: Strings) -> tuple[str, ...]:
    """Return the distinct non-empty values in order."""
    return tuple(np.unique(values[values != ""]).tolist())


def indices(classes: tuple[str, ...], values: Strings) -> NDArray[np.int64]:
    """Return the index of each value among the classes, -1 for other values."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index.get(v, -1) for v in values.tolist()], dtype=np.int64)


def best_temperature(values: Floats, target: NDArray[np.int64]) -> float:
    """Return the divisor of logits (n, classes) that minimizes the log loss.

    Guo et al. 2017, section 4.2; 1 where no value is one of the classes.
    """
    rows = np.flatnonzero(target >= 0)
    if not len(rows):
        return 1.0
    losses = [
        _log_loss(values[rows] / divisor, target[rows]) for divisor in TEMPERATURES
    ]
    return TEMPERATURES[int(np.argmin(losses))]


def _log_loss(values: Floats, target: NDArray[np.int64]) -> float:
    """Return the mean negative log probability of the targets, from logits."""
    logarithms = log_softmax(values, axis=1)[np.arange(len(target)), target]
    return float(-logarithms.mean())
