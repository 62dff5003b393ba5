"""Drawing in anatomical coordinates, deformed a little for each patient.

The origin is the middle of the picture and half its height is 1; x runs to the right
and y downwards, as rows do. Every outline goes through the patient's own smooth
deformation, so that no two patients share a contour.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.float32]
Outline: TypeAlias = NDArray[np.float64]
"""Vertices of a closed polygon, of shape (n, 2), as (x, y)."""

_SHIFT = 4  # OpenCV takes vertices as fixed-point numbers with this many binary digits


@dataclass(frozen=True)
class Bend:
    """Deformation of the atlas to one patient's shape and position."""

    scale: tuple[float, float]
    angle: float
    offset: tuple[float, float]
    waves: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float = 1.0) -> "Bend":
        """Return the deformation of a random patient."""
        size = 1 + strength * rng.normal(0, 0.05)
        ratio = 1 + strength * rng.normal(0, 0.04)
        waves = rng.normal(0, 1, (2, 3, 3))
        waves[..., 2] *= 0.012 * strength
        return cls(
            scale=(size * ratio, size / ratio),
            angle=float(strength * rng.normal(0, 0.05)),
            offset=(strength * rng.normal(0, 0.035), strength * rng.normal(0, 0.035)),
            waves=waves,
        )

    def apply(self, outline: Outline) -> Outline:
        """Return the outline of this patient."""
        phase = outline[:, :1] * self.waves[:, None, :, 0] * 2
        phase = phase + outline[:, 1:] * self.waves[:, None, :, 1] * 2
        wave = (np.sin(phase + self.waves[:, None, :, 0] * 9)) * self.waves[
            :, None, :, 2
        ]
        deformed = (outline + wave.sum(axis=2).T) * np.array(self.scale)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        turned = deformed @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(turned + np.array(self.offset))


class Canvas:
    """A float picture that is filled outline by outline.

    Parameters
    ----------
    rng
        Source of texture and noise; each slice of a series has its own.
    """

    def __init__(
        self, rows: int, columns: int, bend: Bend, rng: np.random.Generator
    ) -> None:
        self.image: Picture = np.zeros((rows, columns), np.float32)
        self.rng = rng
        self._bend = bend
        self._half = rows / 2

    @property
    def half_width(self) -> float:
        """Largest x inside the picture."""
        return float(self.image.shape[1] / self.image.shape[0])

    def fill(self, outline: Outline, value: float) -> None:
        """Set the inside of the outline to a value."""
        cv2.fillPoly(
            self.image,
            [self._to_pixels(outline)],
            (float(value),),
            lineType=cv2.LINE_8,
            shift=_SHIFT,
        )

    def fill_both_sides(self, outline: Outline, value: float) -> None:
        """Set the inside of the outline and of its mirror image to a value."""
        self.fill(outline, value)
        self.fill(mirrored(outline), value)

    def mask(self, outline: Outline, blur: float = 0.0) -> Picture:
        """Return 1 inside the outline and 0 outside, with an edge `blur` wide."""
        mask = np.zeros(self.image.shape, np.float32)
        cv2.fillPoly(mask, [self._to_pixels(outline)], (1.0,), shift=_SHIFT)
        return self.smooth(mask, blur)

    def add(self, outline: Outline, value: float, blur: float = 0.01) -> None:
        """Add a value inside the outline, as thickness adds up in a projection."""
        rows, columns, inside = self._window(outline, margin=3 * blur)
        self.image[rows, columns] += value * self.smooth(inside, blur)

    def dome(self, outline: Outline, value: float, depth: float = 0.25) -> None:
        """Add a rounded body: thick in the middle, thin at its edge."""
        rows, columns, inside = self._window(outline, margin=3 * depth)
        thickness = np.sqrt(inside * self.smooth(inside, depth))
        self.image[rows, columns] += value * thickness

    def smooth(self, picture: Picture, blur: float) -> Picture:
        """Blur by a share of half the picture's height."""
        sigma = blur * self._half
        if sigma < 0.3:
            return picture
        shrink = max(1, int(sigma / 4))  # a wide blur needs few pixels
        rows, columns = picture.shape
        small = cv2.resize(
            picture,
            (max(columns // shrink, 1), max(rows // shrink, 1)),
            interpolation=cv2.INTER_AREA,
        )
        small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
        return _float32(cv2.resize(small, (columns, rows)))

    def texture(self, grain: float) -> Picture:
        """Return smooth random texture of unit strength and the given grain size."""
        rows, columns = self.image.shape
        cell = max(grain * self._half, 1.0)
        coarse = self.rng.normal(0, 1, (int(rows / cell) + 3, int(columns / cell) + 3))
        return _float32(
            cv2.resize(
                coarse.astype(np.float32),
                (columns, rows),
                interpolation=cv2.INTER_CUBIC,
            )
        )

    def noise(self, sigma: float, native_rows: int) -> None:
        """Add detector noise; a smaller picture has averaged some of it away."""
        sigma *= min(1.0, self.image.shape[0] / native_rows)
        self.image += sigma * self.rng.standard_normal(
            self.image.shape, dtype=np.float32
        )

    def coordinates(self) -> tuple[Picture, Picture]:
        """Return x and y of every pixel, in units of half the height."""
        rows, columns = self.image.shape
        y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
        return (x - columns / 2) / self._half, (y - rows / 2) / self._half

    def _window(self, outline: Outline, margin: float) -> tuple[slice, slice, Picture]:
        """Return the rows and columns an outline touches, and its mask there."""
        pixels = self._to_pixels(outline)
        pad = int(margin * self._half) + 2
        height, width = self.image.shape
        low = (pixels.min(axis=0) >> _SHIFT) - pad
        high = (pixels.max(axis=0) >> _SHIFT) + pad
        left, top = np.clip(low, 0, (width - 2, height - 2))
        right, bottom = np.clip(high, (left + 2, top + 2), (width, height))
        inside = np.zeros((bottom - top, right - left), np.float32)
        corner = np.array([left, top], np.int32) << _SHIFT
        cv2.fillPoly(inside, [pixels - corner], (1.0,), shift=_SHIFT)
        return slice(int(top), int(bottom)), slice(int(left), int(right)), inside

    def _to_pixels(self, outline: Outline) -> NDArray[np.int32]:
        rows, columns = self.image.shape
        pixels = self._bend.apply(outline) * self._half + np.array([columns, rows]) / 2
        return np.round(pixels * (1 << _SHIFT)).astype(np.int32)


def _float32(picture: object) -> Picture:
    return np.asarray(picture, dtype=np.float32)


def _outline(points: object) -> Outline:
    return np.asarray(points, dtype=np.float64)


def ellipse(
    x: float,
    y: float,
    rx: float,
    ry: float,
    angle: float = 0.0,
    *,
    folds: int = 0,
    depth: float = 0.0,
) -> Outline:
    """Return an ellipse; `folds` ripples of relative `depth` run around it."""
    t = np.linspace(0, 2 * np.pi, 72 if not folds else 12 * folds, endpoint=False)
    radius = 1 + depth * np.sin(folds * t)
    px, py = radius * rx * np.cos(t), radius * ry * np.sin(t)
    cos, sin = math.cos(angle), math.sin(angle)
    return _outline(
        np.stack([x + px * cos - py * sin, y + px * sin + py * cos], axis=1)
    )


def polygon(*vertices: tuple[float, float]) -> Outline:
    """Return a polygon of straight lines."""
    return np.array(vertices, dtype=np.float64)


def box(x: float, y: float, width: float, height: float, angle: float = 0.0) -> Outline:
    """Return a rectangle with rounded corners around (x, y)."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    c, s = np.cos(t), np.sin(t)
    px = np.sign(c) * np.abs(c) ** 0.4 * width / 2
    py = np.sign(s) * np.abs(s) ** 0.4 * height / 2
    cos, sin = math.cos(angle), math.sin(angle)
    return _outline(
        np.stack([x + px * cos - py * sin, y + px * sin + py * cos], axis=1)
    )


def band(points: Outline, width: float | NDArray[np.float64]) -> Outline:
    """Return the outline of a ribbon of the given width along the points."""
    along = np.gradient(points, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    half = np.broadcast_to(np.asarray(width) / 2, len(points))[:, None]
    sides = [points + normal * half, (points - normal * half)[::-1]]
    return _outline(np.concatenate(sides))


def moved(points: Outline, x: float, y: float = 0.0) -> Outline:
    """Return the points shifted by (x, y)."""
    return _outline(points + np.array([x, y]))


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> Outline:
    """Return points along an arc of an ellipse, angles in degrees from +x towards +y."""
    t = np.radians(np.linspace(start, stop, 40))
    return _outline(np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], axis=1))


def mirrored(outline: Outline) -> Outline:
    """Return the outline on the other side of the body."""
    return _outline(outline * np.array([-1.0, 1.0]))
