"""The convolutional autoencoder of Manojlovic and Stajduhar (2021), for any tile size.

Encoder: five stages of 3x3 convolution, ReLU and 2x2 max-pooling, then a dense layer.
Decoder: its mirror, with bilinear upsampling before each convolution and a sigmoid.
Two options are not in the paper: `batch_norm` normalizes stages and embedding,
`residual` adds a residual convolution to the inner stages.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FILTERS = (32, 32, 64, 64, 64)
EMBEDDING = 100
FIRST_RESIDUAL = 2
"""First stage with a residual convolution: with few pixels left it is cheap."""
PIXELS_AT_A_TIME = 40 << 10
"""Pixels that go through the layers together, per CPU thread: with 32 channels 5 MB,
which caches hold."""


class Encoder(nn.Module):
    """Tiles (N, 1, size, size) in [0, 1] to embeddings (N, embedding)."""

    def __init__(
        self,
        size: int,
        filters: Sequence[int] = FILTERS,
        embedding: int = EMBEDDING,
        *,
        batch_norm: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.filters = tuple(filters)
        stages: list[nn.Module] = []
        before = 1
        for number, width in enumerate(filters):
            stages.append(nn.Conv2d(before, width, 3, padding=1))
            stages += [nn.BatchNorm2d(width)] if batch_norm else []
            # Pooling before ReLU gives the same values with a quarter of the work.
            stages += [nn.MaxPool2d(2), nn.ReLU()]
            if residual and number >= FIRST_RESIDUAL:
                stages.append(Residual(width, batch_norm=batch_norm))
            before = width
        self.convolutions = nn.Sequential(*stages)
        side = inner_side(size, len(filters))
        self.dense = nn.Linear(before * side * side, embedding)
        self.norm = nn.BatchNorm1d(embedding) if batch_norm else nn.Identity()

    def forward(self, tiles: Tensor) -> Tensor:
        """Return the embedding z."""
        pixels = tiles.shape[2] * tiles.shape[3]
        if self.norm.training and isinstance(self.norm, nn.BatchNorm1d):
            # Batch norm takes its statistics over the whole batch.
            features: Tensor = self.convolutions(tiles)
        else:
            features = in_chunks(self.convolutions, tiles, pixels)
        z: Tensor = self.norm(self.dense(features.flatten(1)))
        return z

    def with_statistics(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding, and mean and deviation of every channel, (N, S).

        Grain, borders and gray values of an unknown kind of image show in the channels
        where they do not show in the embedding.
        """
        statistics = []
        for layer in self.convolutions:
            tiles = layer(tiles)
            if isinstance(layer, nn.ReLU):
                maps = tiles.float()  # half precision rounds small variances to 0
                mean = maps.mean((2, 3))
                variance = (maps * maps).mean((2, 3)) - mean * mean
                statistics += [mean, torch.sqrt(variance.clamp(min=0.0))]
        z: Tensor = self.norm(self.dense(tiles.flatten(1)))
        return z, torch.cat(statistics, 1)


class Residual(nn.Module):
    """Feature maps (N, C, h, w) plus a convolution of them (He et al. 2016)."""

    def __init__(self, width: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width) if batch_norm else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        return maps + torch.relu(self.norm(self.convolution(maps)))


class Decoder(nn.Module):
    """Embeddings (N, embedding) to tiles (N, 1, size, size) in [0, 1]."""

    def __init__(
        self, size: int, filters: Sequence[int] = FILTERS, embedding: int = EMBEDDING
    ) -> None:
        super().__init__()
        self.size = size
        self.side = inner_side(size, len(filters))
        self.width = filters[-1]
        self.dense = nn.Linear(embedding, self.width * self.side**2)
        stages: list[nn.Module] = []
        before = self.width
        for after in reversed(filters[:-1]):
            stages += [Doubled(), nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            before = after
        self.convolutions = nn.Sequential(*stages, DoubledToOne(before), nn.Sigmoid())

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the reconstructed tiles."""
        features = torch.relu(self.dense(embedding))
        maps = features.view(-1, self.width, self.side, self.side)  # (N, C, h, w)
        return in_chunks(self.convolutions, maps, self.size**2)


def in_chunks(layers: nn.Module, maps: Tensor, pixels: int) -> Tensor:
    """Return `layers(maps)` for maps (N, ...), on a CPU for a few images at a time.

    The result is the same for layers that treat each image separately, and the
    activations between the layers stay in the cache.

    Parameters
    ----------
    pixels
        Pixels of a tile.
    """
    count = max(1, PIXELS_AT_A_TIME * torch.get_num_threads() // pixels)
    as_one = (
        torch.onnx.is_in_onnx_export() or torch.compiler.is_compiling() or maps.is_cuda
    )
    parts = [maps] if as_one else torch.split(maps, count)
    return (
        torch.cat([layers(part) for part in parts]) if len(parts) > 1 else layers(maps)
    )


class Doubled(nn.Upsample):
    """Bilinear interpolation of maps (N, C, h, w) to (N, C, 2h, 2w)."""

    def __init__(self) -> None:
        super().__init__(scale_factor=2, mode="bilinear", align_corners=False)


class DoubledToOne(nn.Conv2d):
    """Maps (N, C, h, w) to (N, 1, 2h, 2w): interpolation and then a 3x3 convolution.

    Both are linear, so that their order may change. On a CPU the channels are first
    combined at a quarter of the pixels, once for each of the nine kernel positions; the
    nine maps are then interpolated, shifted and added. This takes a third of the time.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1, 3, padding=1)
        self.doubled = Doubled()

    def forward(self, maps: Tensor) -> Tensor:
        """Return one channel of double side."""
        if maps.is_cuda:
            return super().forward(self.doubled(maps))
        n, channels, h, w = maps.shape
        kernels = self.weight.flip(2, 3).reshape(channels, 9).t()
        combined = F.conv2d(maps, kernels.reshape(9, channels, 1, 1))
        doubled = self.doubled(combined).reshape(n, 9, 4 * h * w)
        summed = F.fold(doubled, (2 * h, 2 * w), 3, padding=1)
        return summed + self.bias if self.bias is not None else summed


def inner_side(size: int, stages: int) -> int:
    """Return the side of the innermost feature maps.

    Raises
    ------
    ValueError
        If the tile size is not a multiple of 2 ** stages.
    """
    side, remainder = divmod(size, 1 << stages)
    if remainder or side < 1:
        raise ValueError(f"the tile size {size} is no multiple of {2**stages}")
    return side
