"""Where the tile of an instance lies: 24 bytes for each, however many there are."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.int64]
Digests: TypeAlias = NDArray[np.bytes_]

DIGEST = "S16"

_FRESH = 1 << 16


class DigestIndex:
    """Digests of 16 bytes to rows: sorted arrays, what came since in a dictionary."""

    def __init__(self, digests: Digests, rows: Rows) -> None:
        self._fresh: dict[bytes, int] = {}
        self._sort(digests, rows)

    def _sort(self, digests: Digests, rows: Rows) -> None:
        # Stable, from the end: of one digest kept twice the newer row is found.
        order = np.argsort(digests[::-1], kind="stable")
        self._digests, self._rows = digests[::-1][order], rows[::-1][order]

    def find(self, wanted: Sequence[bytes]) -> Rows:
        """Return the newest row of each digest, -1 where there is none, of shape (n,)."""
        newer = np.array([self._fresh.get(d, -1) for d in wanted], np.int64)
        if not len(self._digests) or not len(wanted):
            return newer
        asked = np.array(wanted, DIGEST)
        place = np.searchsorted(self._digests, asked)
        place = np.minimum(place, len(self._digests) - 1)
        older = np.where(self._digests[place] == asked, self._rows[place], -1)
        return np.maximum(older, newer)

    def add(self, digests: Sequence[bytes], first: int) -> None:
        """Note the digests of the rows from `first` on."""
        self._fresh.update(
            zip(digests, range(first, first + len(digests)), strict=True)
        )
        if len(self._fresh) > _FRESH:
            fresh = np.array(list(self._fresh), DIGEST)
            rows = np.array(list(self._fresh.values()), np.int64)
            self._fresh = {}
            self._sort(
                np.concatenate([self._digests, fresh]),
                np.concatenate([self._rows, rows]),
            )
