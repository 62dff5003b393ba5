"""Tiles, the model's input, from the pixels of a Data Set; the same in training.

The window runs from a low to a high percentile of the picture, so an increasing linear
map of the stored values does not change the tile. Therefore only the sign of a Rescale
Slope matters (PS3.3 C.11.1), and the stored integers can be shrunk first.
"""

import math
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from veritag.pixels.frame import Frame, stored_frame
from veritag.pixels.preprocessing import Preprocessing

Tile: TypeAlias = NDArray[np.uint8]

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def make_tile(ds: Dataset, pre: Preprocessing, *, max_frame_mb: int = 1024) -> Tile:
    """Return the tile of a Data Set, the model's input, of shape (size, size).

    Of a multi-frame image only the middle frame is decoded.

    Raises
    ------
    NoPixels
        If the Data Set holds no picture.
    UnusableInstance
        If the pixels cannot be decoded, or a frame would be larger than `max_frame_mb`.
    """
    return _draw(stored_frame(ds, max_frame_mb=max_frame_mb), pre)


def make_picture(ds: Dataset, size: int, *, max_frame_mb: int = 1024) -> Tile:
    """Return a picture for reviewers, of shape (size, size); see `make_tile`."""
    return make_tile(ds, Preprocessing(size=size), max_frame_mb=max_frame_mb)


def tile_from_gray(image: NDArray[Any], pre: Preprocessing) -> Tile:
    """Return the tile of a gray picture of shape (rows, columns)."""
    return _draw(Frame(np.ascontiguousarray(image), inverted=False), pre)


def _draw(frame: Frame, pre: Preprocessing) -> Tile:
    small = _luminance(_resize(frame.pixels, pre.size)).astype(np.float32)
    if frame.inverted:
        small = -small
    return _pad(_window(small, pre.low_percentile, pre.high_percentile), pre.size)


def _resize(pixels: NDArray[Any], size: int) -> NDArray[Any]:
    rows, columns = pixels.shape[:2]
    scale = size / max(rows, columns)
    height = min(size, max(1, round(rows * scale)))
    width = min(size, max(1, round(columns * scale)))
    if (height, width) == (rows, columns):
        return pixels
    # Averages over areas avoid aliasing, but only when the picture shrinks.
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=interpolation)


def _luminance(small: NDArray[Any]) -> NDArray[Any]:
    """Return the luminance Y of red, green and blue (PS3.3 C.7.6.3.1.2)."""
    if small.ndim == 2:  # noqa: PLR2004 -- rows and columns only
        return small
    return small[..., :3] @ LUMINANCE


def _window(small: NDArray[np.float32], low: float, high: float) -> Tile:
    values = small.ravel()
    first = math.floor(low / 100 * (values.size - 1))
    last = math.ceil(high / 100 * (values.size - 1))
    # Two order statistics are enough: a partition is faster than sorting all values.
    ordered = np.partition(values, (first, last))
    darkest, brightest = ordered[first], ordered[last]
    if brightest <= darkest:
        # Nearly all of the picture is background: show the few other pixels.
        darkest, brightest = values.min(), values.max()
    if brightest <= darkest:
        return np.zeros(small.shape, dtype=np.uint8)
    span = np.float32(255) / (brightest - darkest)
    drawn: Tile = np.clip((small - darkest) * span + 0.5, 0, 255).astype(np.uint8)
    return drawn


def _pad(small: Tile, size: int) -> Tile:
    height, width = small.shape
    if height == width == size:
        return small
    tile = np.zeros((size, size), dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    tile[top : top + height, left : left + width] = small
    return tile
