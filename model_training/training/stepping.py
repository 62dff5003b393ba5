"""Batches, and the steps of the optimizer."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_training.network.network import ClusteringNetwork
from model_training.training.distributed import Ranks
from model_training.training.objective import Terms
from veritag.errors import StopError

FLOOR = 0.05
"""Share of the learning rate at the end of the cosine: the last steps still learn."""
CHECK_EVERY = 50
"""Steps on a GPU between two checks that the losses are finite."""


class Diverged(StopError):
    """The loss is not finite any more, or fewer than two clusters are left."""


@dataclass
class Stepper:
    """Adam, with a learning rate that falls along half a cosine (Loshchilov and Hutter 2017)."""

    network: ClusteringNetwork
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    ranks: Ranks
    _names: tuple[str, ...] = ()
    _sums: Tensor | None = None
    _steps: int = 0

    def begin_pass(self) -> None:
        """Reset the totals."""
        self._sums, self._steps = None, 0

    def step(self, terms: Terms, share: float) -> None:
        """Make one step on the sum of the terms.

        Parameters
        ----------
        share
            Weight of the values in the totals of the pass.

        Raises
        ------
        Diverged
            If the losses are not finite any more.
        """
        values = torch.stack(list(terms.values()))
        self.optimizer.zero_grad(set_to_none=True)
        values.sum().backward()  # type: ignore[no-untyped-call]
        values = self.ranks.average_gradients(self.network, values.detach())
        self.optimizer.step()
        self.schedule.step()
        self._names, added = tuple(terms), values * share
        self._sums = added if self._sums is None else self._sums + added
        self._steps += 1
        # Reading a value waits for all kernels queued on a GPU.
        if not values.is_cuda or self._steps % CHECK_EVERY == 0:
            self.totals()

    def totals(self) -> dict[str, float]:
        """Return name of each loss to its mean over the steps since `begin_pass`.

        Raises
        ------
        Diverged
            If the losses are not finite any more.
        """
        sums = [] if self._sums is None else self._sums.tolist()
        totals = dict(zip(self._names, sums, strict=True))
        if not all(math.isfinite(value) for value in sums):
            losses = ", ".join(f"{name} {value:g}" for name, value in totals.items())
            raise Diverged(
                f"training diverged: its losses became {losses}; a lower learning rate "
                "or fewer pairs may help"
            )
        return totals

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Load the state of a checkpoint; an empty one changes nothing."""
        if state:
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])


def make_stepper(
    network: ClusteringNetwork, rate: float, steps: int, ranks: Ranks
) -> Stepper:
    """Return a stepper whose learning rate is lowest after `steps` steps."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=steps, eta_min=FLOOR * rate
    )
    return Stepper(network, optimizer, schedule, ranks)


def batches(
    count: int, size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield all rows in random order, except a last single one.

    Batch normalization has no variance over a batch of one.
    """
    order = rng.permutation(count)
    for start in range(0, count, size):
        if count - start > 1 or count == 1:
            yield order[start : start + size]


def step_count(epochs: int, count: int, size: int) -> int:
    """Return the number of steps of `epochs` passes, at least one."""
    return max(1, epochs * math.ceil(count / size))
