"""The paper's autoencoder and its training step in plain PyTorch."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from model_training.training.loop_state import LoopState


class Tiles(Dataset[Tensor]):
    """Tiles as floats, one by one."""

    def __init__(self, tiles: np.ndarray) -> None:
        self.tiles = tiles

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, row: int) -> Tensor:
        return torch.from_numpy(self.tiles[row]).float().unsqueeze(0) / 255


def plain_steps(run: LoopState, batch: int) -> Callable[[], float]:
    """Return a function that runs one step of the plain loop, from the same weights."""
    size, device = run.config.size, run.device
    network = plain_network(size)
    weights = list(run.trained.network.encoder.parameters())
    assert run.trained.network.decoder is not None
    weights += list(run.trained.network.decoder.parameters())
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), weights, strict=True):
            parameter.copy_(value)
    network = network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader = DataLoader(Tiles(run.training.tiles), batch_size=batch)
    batches: Iterator[Tensor] = iter(())

    def step() -> float:
        nonlocal batches
        tiles = next(batches, None)
        if tiles is None:
            batches = iter(loader)
            tiles = next(batches)
        tiles = tiles.to(device)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(tiles), tiles)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


def plain_network(size: int) -> nn.Sequential:
    """Return the paper's autoencoder, layer by layer."""
    layers: list[nn.Module] = []
    for before, after in ((1, 32), (32, 32), (32, 64), (64, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    side = size // 32
    layers += [nn.Flatten(), nn.Linear(64 * side**2, 100)]
    layers += [
        nn.Linear(100, 64 * side**2),
        nn.ReLU(),
        nn.Unflatten(1, (64, side, side)),
    ]
    for before, after in ((64, 64), (64, 64), (64, 32), (32, 32), (32, 1)):
        layers += [
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(before, after, 3, padding=1),
            nn.ReLU() if after > 1 else nn.Sigmoid(),
        ]
    return nn.Sequential(*layers)
