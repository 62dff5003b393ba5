"""Several processes training one network, one GPU each, as `torchrun` starts them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from model_training.network.clustering import Floats
from model_training.training.training_data import TrainingSet

PATIENCE = timedelta(hours=12)
"""How long a process waits for the first, which reads all images before it trains."""
BLOCK = 1 << 28
"""Bytes of tiles sent at a time."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together; alone, all of it is a no-op."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and tells people."""
        return self.rank == 0

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's part of a batch; no part is empty."""
        own = rows[self.rank :: self.size]
        return own if len(own) else rows[:1]

    def average(self, network: nn.Module, values: Tensor) -> Tensor:
        """Give every process the mean of all gradients and values, in one message."""
        if self.size == 1:
            return values
        gradients = _gradients(network)
        flat = torch.cat([*(g.reshape(-1) for g in gradients), values])
        dist.all_reduce(flat)
        flat /= self.size
        _fill(gradients, flat)
        return flat[-len(values) :]

    def agree(self, network: nn.Module) -> None:
        """Give every process the first one's parameters and running statistics."""
        if self.size == 1:
            return
        values = [p.detach() for p in network.parameters()]
        flat = torch.cat([value.reshape(-1) for value in values])
        dist.broadcast(flat, src=0)
        _fill(values, flat)
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)

    def firsts(self, value: Any) -> Any:
        """Return the first process's value in every process."""
        if self.size == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        return told[0]

    def firsts_images(self, training: TrainingSet | None) -> TrainingSet:
        """Return the first process's training set in every process; others have none."""
        if self.size == 1 and training is not None:
            return training
        shape = self.firsts(training.tiles.shape if training is not None else None)
        received: TrainingSet = self.firsts(
            replace(training, tiles=training.tiles[:0])
            if training is not None
            else None
        )
        tiles = np.empty(shape, np.uint8) if training is None else training.tiles
        rows = max(1, BLOCK // max(1, shape[1] * shape[2]))
        for start in range(0, shape[0], rows):
            block = torch.tensor(tiles[start : start + rows])
            dist.broadcast(block, src=0)
            if training is None:
                tiles[start : start + rows] = block.numpy()
        return replace(received, tiles=tiles)

    def part(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return this process's part of all rows, without copying mapped ones."""
        bounds = np.linspace(0, len(rows), self.size + 1).astype(int)
        return rows[bounds[self.rank] : bounds[self.rank + 1]]

    def gather(self, part: Floats) -> Floats:
        """Return the parts of all processes in order, in every process."""
        if self.size == 1:
            return part
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, part)
        return np.concatenate(parts)

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def _fill(tensors: Sequence[Tensor], flat: Tensor) -> None:
    """Copy the numbers of one long tensor into others, in order."""
    at = 0
    for tensor in tensors:
        tensor.copy_(flat[at : at + tensor.numel()].view(tensor.shape))
        at += tensor.numel()


def _gradients(network: nn.Module) -> Sequence[Tensor]:
    """Return all gradients; what took no part in a process's loss has one of zeros."""
    gradients = []
    for parameter in network.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    return gradients


def join_ranks(device: str) -> Ranks:
    """Return this process's place, as the variables of `torchrun` tell it.

    With CUDA each process gets the GPU of its place on its machine.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks()
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        # Images and decisions go through gloo: they lie in the CPU's memory.
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE
        )
    return Ranks(dist.get_rank(), size)
