"""The learning rate of each step."""

import math

import pytest
import torch
from torch import nn

from model_training.training.distributed import Ranks
from model_training.training.stepping import FLOOR, Stepper, make_stepper

STEPS, RATE = 40, 2e-3


class OneParameter(nn.Module):
    """A network with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


def start() -> Stepper:
    """Return a stepper of one weight."""
    return make_stepper(OneParameter(), RATE, STEPS, Ranks())  # type: ignore[arg-type]


def rates(stepping: Stepper, steps: int) -> list[float]:
    """Return the learning rate at each step."""
    network, values = stepping.network, []
    for _ in range(steps):
        values.append(stepping.optimizer.param_groups[0]["lr"])
        assert isinstance(network, OneParameter)
        stepping.step({"loss": network.weight.square().sum()}, 1.0)
    return values


def test_the_rate_falls_to_a_twentieth_along_half_a_cosine() -> None:
    """Every step has the rate of the closed form."""
    expected = [
        RATE * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * at / STEPS)) / 2)
        for at in range(STEPS + 1)
    ]
    stepping = start()
    measured = rates(stepping, STEPS)
    measured.append(stepping.optimizer.param_groups[0]["lr"])
    assert measured == pytest.approx(expected, rel=1e-6)
    assert measured[-1] == pytest.approx(RATE / 20)


def test_a_resumed_stepper_has_the_same_rates() -> None:
    """State saved after some steps gives equal rates, bit by bit."""
    whole, interrupted, resumed = start(), start(), start()
    expected = rates(whole, STEPS)
    rates(interrupted, 15)
    resumed.load_state(interrupted.state())
    assert rates(resumed, STEPS - 15) == expected[15:]
