"""Exchange between the processes that `torchrun` starts to train one network, one GPU each."""

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

TIMEOUT = timedelta(hours=12)
"""The other processes wait this long for the first one, which reads all images."""
BLOCK = 1 << 28
"""Bytes of tiles per message."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Place of this process among all; with one process every exchange is a no-op."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and reports progress."""
        return self.rank == 0

    def batch_part(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's rows of a batch, at least one."""
        own = rows[self.rank :: self.size]
        # Every process takes part in each exchange: none may skip a step.
        return own if len(own) else rows[:1]

    def average_gradients(self, network: nn.Module, values: Tensor) -> Tensor:
        """Average the gradients of all processes, and return the mean of `values`.

        One message for all: latency would dominate with one for each layer.
        """
        if self.size == 1:
            return values
        gradients = _gradients(network)
        flat = torch.cat([*(g.reshape(-1) for g in gradients), values])
        dist.all_reduce(flat)
        flat /= self.size
        _fill(gradients, flat)
        return flat[-len(values) :]

    def copy_from_main(self, network: nn.Module) -> None:
        """Copy parameters and running statistics of the main process to all."""
        if self.size == 1:
            return
        values = [p.detach() for p in network.parameters()]
        flat = torch.cat([value.reshape(-1) for value in values])
        dist.broadcast(flat, src=0)
        _fill(values, flat)
        # Buffers differ in type (counts of batches are integers): one message each.
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)

    def from_main(self, value: Any) -> Any:
        """Return the value of the main process, in every process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def images_from_main(self, training: TrainingSet | None) -> TrainingSet:
        """Return the training set of the main process, in every process.

        Parameters
        ----------
        training
            None in the other processes.
        """
        if self.size == 1 and training is not None:
            return training
        # Pickling the tiles would copy them whole; they follow in blocks.
        shape = self.from_main(training.tiles.shape if training is not None else None)
        received: TrainingSet = self.from_main(
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

    def row_block(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return this process's block of all rows, as a view."""
        bounds = np.linspace(0, len(rows), self.size + 1).astype(int)
        return rows[bounds[self.rank] : bounds[self.rank + 1]]

    def gather(self, part: Floats) -> Floats:
        """Return the parts of all processes, joined in order, in every process."""
        if self.size == 1:
            return part
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, part)
        return np.concatenate(parts)

    def close(self) -> None:
        """Leave the process group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def _fill(tensors: Sequence[Tensor], flat: Tensor) -> None:
    """Copy the values of a flat tensor into others, in order."""
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view(tensor.shape))
        start += tensor.numel()


def _gradients(network: nn.Module) -> Sequence[Tensor]:
    """Return all gradients, zeros for parameters outside this process's loss."""
    gradients = []
    for parameter in network.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    return gradients


def join_ranks(device: str) -> Ranks:
    """Return the place of this process by the environment variables of `torchrun`.

    With CUDA the process takes the GPU of its local rank.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks()
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not dist.is_initialized():
        # gloo for images and decisions, which are in CPU memory; nccl for gradients.
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=TIMEOUT
        )
    return Ranks(dist.get_rank(), size)
