"""Transitive closure of must-links: components, contradictions, purity."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Pairs = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Purity(NamedTuple):
    """Shares of pairs that agree with labels, NaN where no pair has two known ones."""

    must_link: float
    cannot_link: float


def must_link_components(must_link: Pairs, n: int) -> Pairs:
    """Return the component of each of n instances, of shape (n,).

    Instances joined by must-links, directly or through others, have equal numbers.
    Memory is linear in instances and pairs.
    """
    ones = np.ones(len(must_link), dtype=np.int8)
    graph = coo_array((ones, (must_link[:, 0], must_link[:, 1])), shape=(n, n))
    _, components = connected_components(graph, directed=False)
    return np.asarray(components, dtype=np.int64)


def contradictions(must_link: Pairs, cannot_link: Pairs, n: int) -> Mask:
    """Return which cannot-links lie inside a must-link component, of shape (C,)."""
    components = must_link_components(must_link, n)
    return np.asarray(components[cannot_link[:, 0]] == components[cannot_link[:, 1]])


def share_agreeing(pairs: Pairs, labels: NDArray[np.str_], *, alike: bool) -> float:
    """Return the share of pairs whose labels are (not) alike, NaN without pairs.

    Pairs with an empty label are left out.
    """
    first, second = labels[pairs[:, 0]], labels[pairs[:, 1]]
    known = (first != "") & (second != "")
    if not known.any():
        return float("nan")
    return float(np.mean((first == second)[known] == alike))
