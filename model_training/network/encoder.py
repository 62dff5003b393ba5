"""The convolutional autoencoder of Manojlovic and Stajduhar (2021), for any tile size.

Encoder: five stages of 3x3 convolution, ReLU and 2x2 max-pooling, then a dense layer.
Decoder: its mirror, with bilinear upsampling before each convolution and a sigmoid.
With `batch_norm`, which the paper has not, stages and embedding are normalized; with
`residual`, neither, inner stages have a second convolution beside an identity.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FILTERS = (32, 32, 64, 64, 64)
EMBEDDING = 100
FIRST_RESIDUAL = 2
"""Stage from which a second convolution is cheap: there are few pixels left."""
PIXELS_AT_A_TIME = 40 << 10
"""Of tiles that go through the layers together, for each thread of a CPU: with 32
channels, 5 MB."""


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
            # Pooling first is the same, with a quarter of the values to rectify.
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
            features: Tensor = self.convolutions(tiles)  # over the whole batch
        else:
            features = in_parts(self.convolutions, tiles, pixels)
        z: Tensor = self.norm(self.dense(features.flatten(1)))
        return z

    def with_statistics(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embedding, and mean and deviation of every channel, (N, S).

        Grain, borders and gray values of a kind that was never met show in the stages,
        where the embedding has no word for them.
        """
        told = []
        for layer in self.convolutions:
            tiles = layer(tiles)
            if isinstance(layer, nn.ReLU):
                maps = tiles.float()  # half precision cannot tell small variances
                mean = maps.mean((2, 3))
                variance = (maps * maps).mean((2, 3)) - mean * mean
                told += [mean, torch.sqrt(variance.clamp(min=0.0))]
        z: Tensor = self.norm(self.dense(tiles.flatten(1)))
        return z, torch.cat(told, 1)


class Residual(nn.Module):
    """Maps (N, C, h, w) and what a convolution finds in them, added (He et al. 2016)."""

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
        return in_parts(self.convolutions, maps, self.size**2)


def in_parts(layers: nn.Module, maps: Tensor, pixels: int) -> Tensor:
    """Return what layers make of maps (N, ...), on a CPU of a few images at a time.

    Layers that treat each image by itself do the same to parts of a batch, while what
    they hand on stays in the cache.

    Parameters
    ----------
    pixels
        Of a tile.
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
    """Maps (N, C, h, w) to (N, C, 2h, 2w), interpolated."""

    def __init__(self) -> None:
        super().__init__(scale_factor=2, mode="bilinear", align_corners=False)


class DoubledToOne(nn.Conv2d):
    """Maps (N, C, h, w) to (N, 1, 2h, 2w): interpolation and then a 3x3 convolution.

    All of it is linear. On a CPU the channels are weighed first, at a quarter of the
    pixels, once for each of the nine places of the convolution; these are interpolated
    and added up with their shifts. It takes a third of the time.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1, 3, padding=1)
        self.doubled = Doubled()

    def forward(self, maps: Tensor) -> Tensor:
        """Return one channel of double side."""
        if maps.is_cuda:
            return super().forward(self.doubled(maps))
        n, channels, h, w = maps.shape
        places = self.weight.flip(2, 3).reshape(channels, 9).t()
        weighed = F.conv2d(maps, places.reshape(9, channels, 1, 1))
        doubled = self.doubled(weighed).reshape(n, 9, 4 * h * w)
        added = F.fold(doubled, (2 * h, 2 * w), 3, padding=1)
        return added + self.bias if self.bias is not None else added


def inner_side(size: int, stages: int) -> int:
    """Return the side of the innermost feature maps.

    Raises
    ------
    ValueError
        If the tile size is no multiple of two to the power of the stages.
    """
    side, rest = divmod(size, 1 << stages)
    if rest or side < 1:
        raise ValueError(f"the tile size {size} is no multiple of {2**stages}")
    return side
