"""The losses of the semi-supervised objective, one function each."""

import torch
from torch import Tensor


def reconstruction_loss(reconstruction: Tensor, tiles: Tensor) -> Tensor:
    """Return the mean squared error over all pixels of all tiles."""
    return torch.mean((reconstruction - tiles) ** 2)
