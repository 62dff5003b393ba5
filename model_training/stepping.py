"""Batches, optimizer and one step of it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from model_training.distributed import Ranks
from model_training.network import ClusteringNetwork
from model_training.objective import Terms
from veritag.errors import StopError

FLOOR = 0.05
"""Share of the learning rate at the end of the cosine."""


class Diverged(StopError):
    """The loss is no number any more, or no two clusters are left."""


@dataclass
class Stepper:
    """Adam on a network, with a learning rate that falls along half a cosine.

    Attributes
    ----------
    totals
        Name of each loss to its mean over the steps since `begin_pass`.
    """

    network: ClusteringNetwork
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    ranks: Ranks
    totals: dict[str, float] = field(default_factory=dict)

    def begin_pass(self) -> None:
        """Forget the totals."""
        self.totals = {}

    def step(self, terms: Terms, share: float) -> None:
        """Go one step down the sum of the terms, whose values count as `share`.

        Raises
        ------
        Diverged
            If the losses are no numbers any more.
        """
        loss = torch.stack(list(terms.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.ranks.average_gradients(self.network)
        self.optimizer.step()
        self.schedule.step()
        # One transfer for all terms: on a GPU each waits for the step to end.
        values = torch.stack([term.detach() for term in terms.values()]).tolist()
        for name, value in zip(terms, values, strict=True):
            self.totals[name] = self.totals.get(name, 0.0) + value * share
        if not math.isfinite(sum(self.totals.values())):
            raise Diverged(
                f"training diverged: its losses became {self.totals}; a lower learning "
                "rate or fewer pairs may help"
            )


def stepper(
    network: ClusteringNetwork, rate: float, steps: int, ranks: Ranks
) -> Stepper:
    """Return a stepper whose rate reaches its floor after so many steps."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda at: (
            FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * min(1, at / steps))) / 2
        ),
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
