"""Several processes training one network, one GPU each, as `torchrun` starts them."""

import os
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters


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

    def average_gradients(self, network: nn.Module) -> None:
        """Give every process the mean of all gradients, in one message."""
        if self.size == 1:
            return
        parameters = [p for p in network.parameters() if p.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()

    def agree(self, network: nn.Module) -> None:
        """Give every process the first one's parameters and running statistics."""
        if self.size == 1:
            return
        parameters = parameters_to_vector(network.parameters()).detach()
        dist.broadcast(parameters, src=0)
        vector_to_parameters(parameters, network.parameters())
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1:
            dist.destroy_process_group()


def join_ranks(device: str) -> Ranks:
    """Return this process's place, as the variables of `torchrun` tell it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks()
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return Ranks(dist.get_rank(), size)
