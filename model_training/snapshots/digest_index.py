"""Index from the digest of an instance to the row of its tile, 24 bytes an entry."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.int64]
Digests: TypeAlias = NDArray[np.bytes_]

DIGEST = "S16"

_MOST_RECENT = 1 << 16
"""Entries added to the dictionary before they are merged into the sorted arrays."""


class DigestIndex:
    """Digests of 16 bytes to rows, in sorted arrays; recent ones in a dictionary."""

    def __init__(self, digests: Digests, rows: Rows) -> None:
        self._recent: dict[bytes, int] = {}
        self._sort(digests, rows)

    def _sort(self, digests: Digests, rows: Rows) -> None:
        # Reversed and stable: of two rows with one digest, searchsorted finds the newer.
        order = np.argsort(digests[::-1], kind="stable")
        self._digests, self._rows = digests[::-1][order], rows[::-1][order]

    def find(self, wanted: Sequence[bytes]) -> Rows:
        """Return the newest row of each digest, -1 where there is none, of shape (n,)."""
        recent = np.array([self._recent.get(d, -1) for d in wanted], np.int64)
        if not len(self._digests) or not len(wanted):
            return recent
        keys = np.array(wanted, DIGEST)
        place = np.searchsorted(self._digests, keys)
        place = np.minimum(place, len(self._digests) - 1)
        older = np.where(self._digests[place] == keys, self._rows[place], -1)
        # Rows only grow, so that the larger one is the newer.
        return np.maximum(older, recent)

    def add(self, digests: Sequence[bytes], first: int) -> None:
        """Add the digests of consecutive rows, which start at `first`."""
        self._recent.update(
            zip(digests, range(first, first + len(digests)), strict=True)
        )
        if len(self._recent) > _MOST_RECENT:
            self._merge()

    def _merge(self) -> None:
        recent = np.array(list(self._recent), DIGEST)
        rows = np.array(list(self._recent.values()), np.int64)
        self._recent = {}
        self._sort(
            np.concatenate([self._digests, recent]),
            np.concatenate([self._rows, rows]),
        )
