"""Augmentation of tiles by differences between scanners, not between body parts."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Largest changes by `jitter`, at strength 1.
ROTATION = math.radians(8)
SCALE = 0.12
SHIFT = 0.10
"""Share of half a side: coordinates of a tile run from -1 to 1."""
GAMMA = 0.7
"""Logarithm of the exponent of the gray values."""
WINDOW = 0.3
"""Share of the gray values cut off at the bright end; half of it at the dark end."""
NOISE = 0.03
"""Standard deviation; gray values run from 0 to 1."""

# Changes by `restyle`, at strength 1.
FIELD_OF_VIEW = 0.25
"""Logarithm of the largest change of scale."""
BENDS = 6
"""Straight pieces of a gray curve."""
STEEPNESS = 1.3
"""Exponent of the random rises of the pieces: the higher, the more they differ."""
BLURRED = 0.3
"""Share of tiles at half the resolution."""


def random_flip(tiles: Tensor, generator: torch.Generator) -> Tensor:
    """Return tiles of which a random half is flipped left to right."""
    chosen = _uniform(len(tiles), generator) > 0
    return torch.where(chosen.view(-1, 1, 1, 1), tiles.flip(3), tiles)


def jitter(tiles: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Return tiles (N, 1, size, size) in [0, 1] with small random changes.

    Each is rotated, scaled and shifted, gets another gamma and a narrower window, and
    noise.
    """
    moved = _random_affine(tiles, generator, strength)
    windowed = _random_window(moved, generator, strength)
    noise = torch.randn(windowed.shape, generator=generator, device=generator.device)
    size = NOISE * strength * _uniform(len(tiles), generator).abs()
    return (windowed + noise * size.view(-1, 1, 1, 1)).clamp(0, 1)


def restyle(tiles: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Return tiles (N, 1, size, size) in [0, 1] as another device might show them.

    Each gets another field of view and a random rising gray curve, because windows
    differ in width between devices; some get half the resolution.
    """
    # A factor and its inverse are equally probable.
    scale = torch.exp(_uniform(len(tiles), generator) * FIELD_OF_VIEW * strength)
    zero = torch.zeros_like(scale)
    rows = torch.stack(
        [torch.stack([scale, zero, zero], 1), torch.stack([zero, scale, zero], 1)], 1
    )
    grid = F.affine_grid(rows, list(tiles.shape), align_corners=False)
    curved = _random_gray_curve(
        F.grid_sample(tiles, grid, align_corners=False), generator, strength
    )
    coarse = F.interpolate(
        F.avg_pool2d(curved, 2), scale_factor=2.0, mode="bilinear", align_corners=False
    )
    chosen = torch.rand(len(tiles), generator=generator, device=generator.device)
    return torch.where((chosen < BLURRED * strength).view(-1, 1, 1, 1), coarse, curved)


def _random_gray_curve(
    tiles: Tensor, generator: torch.Generator, strength: float
) -> Tensor:
    """Return tiles under gray curves of straight pieces with random slopes."""
    shape, device = (len(tiles), BENDS), generator.device
    uniform = torch.rand(shape, generator=generator, device=device)
    mix = torch.rand(len(tiles), 1, generator=generator, device=device) * strength
    pieces = gray_pieces(uniform, mix)
    starts = F.pad(pieces.cumsum(1), (1, 0))
    position = tiles.flatten(1) * BENDS
    piece = position.long().clamp(max=BENDS - 1)
    curved = starts.gather(1, piece) + (position - piece) * pieces.gather(1, piece)
    return curved.view_as(tiles).clamp(0, 1)


def gray_pieces(uniform: Tensor, mix: Tensor) -> Tensor:
    """Return the rise of each piece of a gray curve, in sum 1, of shape (N, BENDS).

    Parameters
    ----------
    uniform
        Random numbers in [0, 1), of shape (N, BENDS).
    mix
        Deviation from a straight line, 0 to 1, of shape (N, 1).
    """
    # -log(u) is exponential: with a steepness of 1 the rises are uniform spacings.
    rises = (-torch.log(uniform.clamp(1e-6, 1.0))) ** STEEPNESS + 1e-6
    return mix * rises / rises.sum(1, keepdim=True) + (1 - mix) / BENDS


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    """Return random numbers in [-1, 1), on the generator's device."""
    return torch.rand(count, generator=generator, device=generator.device) * 2 - 1


def _random_affine(
    tiles: Tensor, generator: torch.Generator, strength: float
) -> Tensor:
    # `stretch` scales the rows' distance alone, which changes the aspect.
    turn, zoom, right, down, stretch = (
        _uniform(len(tiles), generator) * strength for _ in range(5)
    )
    angle, scale = turn * ROTATION, 1 + zoom * SCALE
    scale_y = scale * (1 + stretch * SCALE / 2)
    rows = (
        torch.stack([scale * angle.cos(), -scale_y * angle.sin(), right * SHIFT], 1),
        torch.stack([scale * angle.sin(), scale_y * angle.cos(), down * SHIFT], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(tiles.shape), align_corners=False)
    return F.grid_sample(tiles, grid, align_corners=False)


def _random_window(
    tiles: Tensor, generator: torch.Generator, strength: float
) -> Tensor:
    gamma = torch.exp(_uniform(len(tiles), generator) * GAMMA * strength)
    low = _uniform(len(tiles), generator).clamp(min=0) * WINDOW * strength / 2
    high = 1 - _uniform(len(tiles), generator).clamp(min=0) * WINDOW * strength
    low, high, gamma = (value.view(-1, 1, 1, 1) for value in (low, high, gamma))
    return ((tiles - low) / (high - low)).clamp(0, 1) ** gamma
