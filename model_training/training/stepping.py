"""Batches, optimizer and one step of it."""

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
"""Share of the learning rate at the end of the cosine."""
LOOK_EVERY = 50
"""Steps after which a GPU is waited for, to see whether the losses are still numbers."""


class Diverged(StopError):
    """The loss is no number any more, or no two clusters are left."""


@dataclass
class Stepper:
    """Adam on a network, with a learning rate that falls along half a cosine."""

    network: ClusteringNetwork
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    ranks: Ranks
    _names: tuple[str, ...] = ()
    _sums: Tensor | None = None
    _steps: int = 0

    def begin_pass(self) -> None:
        """Forget the totals."""
        self._sums, self._steps = None, 0

    def step(self, terms: Terms, share: float) -> None:
        """Go one step down the sum of the terms, whose values count as `share`.

        Raises
        ------
        Diverged
            If the losses are no numbers any more.
        """
        values = torch.stack(list(terms.values()))
        self.optimizer.zero_grad(set_to_none=True)
        values.sum().backward()  # type: ignore[no-untyped-call]
        values = self.ranks.average(self.network, values.detach())
        self.optimizer.step()
        self.schedule.step()
        self._names, added = tuple(terms), values * share
        self._sums = added if self._sums is None else self._sums + added
        self._steps += 1
        # On a GPU every look waits for all that was asked of it.
        if not values.is_cuda or self._steps % LOOK_EVERY == 0:
            self.totals()

    def totals(self) -> dict[str, float]:
        """Return name of each loss to its mean over the steps since `begin_pass`.

        Raises
        ------
        Diverged
            If the losses are no numbers any more.
        """
        sums = [] if self._sums is None else self._sums.tolist()
        totals = dict(zip(self._names, sums, strict=True))
        if not all(math.isfinite(value) for value in sums):
            told = ", ".join(f"{name} {value:g}" for name, value in totals.items())
            raise Diverged(
                f"training diverged: its losses became {told}; a lower learning rate "
                "or fewer pairs may help"
            )
        return totals

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold of it."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state, where there is one."""
        if state:
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])


def stepper(
    network: ClusteringNetwork, rate: float, steps: int, ranks: Ranks
) -> Stepper:
    """Return a stepper whose rate reaches its floor after so many steps."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=steps, eta_min=FLOOR * rate
    )
    return Stepper(network, optimizer, schedule, ranks)


def batches(
    count: int, size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Return all rows once in random order; no batch of one, which has no variance."""
    order = rng.permutation(count)
    for start in range(0, count, size):
        if count - start > 1 or count == 1:
            yield order[start : start + size]


def steps_of(epochs: int, count: int, size: int) -> int:
    """Return how many steps so many passes have, at least one."""
    return max(1, epochs * math.ceil(count / size))
