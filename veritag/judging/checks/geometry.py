"""Direction cosines of the image plane (PS3.3 C.7.6.2.1.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Vector: TypeAlias = tuple[float, float, float]

TOLERANCE = 0.01
"""Tolerance of the lengths (1) and of the product of rows and columns (0).

DICOM defines none. Cosines of two digits differ by half of it, and it moves the corners
of a picture by at most a hundredth of its side.
"""

_VALUES = 6


@dataclass(frozen=True, slots=True)
class Plane:
    """Directions of rows and columns, or the reason why they are invalid."""

    rows: Vector | None = None
    columns: Vector | None = None
    flaw: str | None = None


def read_plane(values: Sequence[str]) -> Plane:
    """Return the plane that six decimal strings describe."""
    if len(values) != _VALUES:
        return Plane(flaw=f"{len(values)} values instead of 6")
    try:
        a, b, c, d, e, f = map(float, values)
    except ValueError:
        return Plane(flaw="not six numbers")
    rows, columns = (a, b, c), (d, e, f)
    if not all(map(math.isfinite, (*rows, *columns))):
        return Plane(flaw="not six finite numbers")
    flaw = _flaw(rows, columns)
    return Plane(flaw=flaw) if flaw else Plane(rows, columns)


def _flaw(rows: Vector, columns: Vector) -> str | None:
    lengths = math.hypot(*rows), math.hypot(*columns)
    if any(abs(length - 1) > TOLERANCE for length in lengths):
        return f"vectors of length {lengths[0]:.3g} and {lengths[1]:.3g}"
    cosine = cosine_along(rows, columns)
    if abs(cosine) > TOLERANCE:
        return f"rows and columns at {math.degrees(math.acos(_in_range(cosine))):.0f} degrees"
    return None


def _in_range(cosine: float) -> float:
    return max(-1.0, min(1.0, cosine))


def cosine_along(vector: Vector, direction: Vector) -> float:
    """Return the cosine between two unit vectors."""
    return sum(a * b for a, b in zip(vector, direction, strict=True))


def cross(a: Vector, b: Vector) -> Vector:
    """Return the normal of two vectors."""
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )
