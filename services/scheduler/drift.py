"""Distance between the images of today and those of a bundle's training.

Functions of shares without numpy, which the scheduler does not load.
"""

import math
from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key")


def jensen_shannon(p: Mapping[Key, float], q: Mapping[Key, float]) -> float:
    """Return the Jensen-Shannon distance of two distributions, in 0..1.

    The square root of the divergence to base 2 (Lin 1991; Endres and Schindelin 2003):
    0 for equal shares, 1 for disjoint ones. Masses need not sum to 1.
    """
    a, b = _normalized(p), _normalized(q)
    divergence = 0.0
    for key in a.keys() | b.keys():
        x, y = a.get(key, 0.0), b.get(key, 0.0)
        middle = (x + y) / 2
        divergence += (_term(x, middle) + _term(y, middle)) / 2
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def _normalized(masses: Mapping[Key, float]) -> dict[Key, float]:
    total = sum(masses.values())
    return {key: mass / total for key, mass in masses.items()} if total > 0 else {}


def _term(x: float, middle: float) -> float:
    return x * math.log2(x / middle) if x > 0 else 0.0
