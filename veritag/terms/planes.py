"""Plane of a picture, from its direction cosines or from a description."""

import math
import re
from functools import lru_cache

from veritag.terms.spelling import words

OBLIQUE_COSINE = 0.8
"""Least cosine between an image's normal and a body axis to be in that plane."""

SKEW_COSINE = 0.2
"""Cosine between rows and columns above which they are not axes of one picture."""

_LEAST_LENGTH = 1e-6

_WORDS = {
    "AX": "AXIAL",
    "AXIAL": "AXIAL",
    "AXIALE": "AXIAL",
    "AXI": "AXIAL",
    "TRA": "AXIAL",
    "TRANSVERSE": "AXIAL",
    "TRANSVERSAL": "AXIAL",
    "TRANSVERSALE": "AXIAL",
    "COR": "CORONAL",
    "CORONAL": "CORONAL",
    "CORONALE": "CORONAL",
    "KORONAR": "CORONAL",
    "SAG": "SAGITTAL",
    "SAGITTAL": "SAGITTAL",
    "SAGITTALE": "SAGITTAL",
    "SAGITAL": "SAGITTAL",
    "OBL": "OBLIQUE",
    "OBLIQUE": "OBLIQUE",
}

_DIMENSIONS = re.compile(r"(?<![0-9])([23])D(?![A-Z])", re.IGNORECASE)


def plane_of(orientation: tuple[float, ...]) -> str | None:
    """Return the plane of ImageOrientationPatient (PS3.3 C.7.6.2.1.1).

    Only the directions of rows and columns count, not their lengths. None where they
    cannot be axes of a picture: of no length, or far from a right angle.
    """
    if len(orientation) != 6:  # noqa: PLR2004 -- two direction cosines of three
        return None
    row, column = _unit(orientation[:3]), _unit(orientation[3:])
    if row is None or column is None:
        return None
    if abs(sum(r * c for r, c in zip(row, column, strict=True))) > SKEW_COSINE:
        return None
    (a, b, c), (d, e, f) = row, column
    normal = _unit((b * f - c * e, c * d - a * f, a * e - b * d))
    cosines = [abs(n) for n in normal or ()]
    if not cosines or max(cosines) < OBLIQUE_COSINE:
        return "OBLIQUE"
    return ("SAGITTAL", "CORONAL", "AXIAL")[cosines.index(max(cosines))]


def _unit(direction: tuple[float, ...]) -> tuple[float, ...] | None:
    length = math.hypot(*direction)
    if not _LEAST_LENGTH < length < math.inf:
        return None
    return tuple(x / length for x in direction)


@lru_cache(maxsize=2048)
def plane_in_text(text: str) -> str | None:
    """Return the one plane that a description names, None where none or several."""
    planes = {_WORDS[word] for word in words(text) if word in _WORDS}
    return planes.pop() if len(planes) == 1 else None


@lru_cache(maxsize=2048)
def dimensions_in_text(text: str) -> str | None:
    """Return 2D or 3D where a description names exactly one of them (`fl3d`)."""
    terms = {f"{digit}D" for digit in _DIMENSIONS.findall(text)}
    return terms.pop() if len(terms) == 1 else None
