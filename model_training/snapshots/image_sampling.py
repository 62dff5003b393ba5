"""Which of many images to learn from: rare kinds whole, common ones capped.

Chosen before anything is decoded, by what the records tell. Whether an image is chosen
depends on its id and the seed: from one snapshot to the next most stay the same.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """How many images of what are learnt from.

    Attributes
    ----------
    per_series
        Images of one series at most, reviewed series too: neighboring slices show
        nearly the same.
    per_kind
        Images of one modality and body part at most.
    most
        Images in all; where there are more, the commonest kinds give way first.
    enough
        Images up to which `per_series` gives way, evenly: a small archive has nothing
        better than many slices of its few series.
    """

    per_series: int = 8
    per_kind: int = 4000
    most: int = 60_000
    enough: int = 4000
    seed: int = 1


def choose_images(
    ids: Numbers,
    series: Numbers,
    kinds: Numbers,
    config: SamplingConfig,
    *,
    always: Mask | None = None,
) -> Mask:
    """Return which instances to learn from, all arrays of shape (N,).

    Parameters
    ----------
    ids, series, kinds
        Of each instance its id and codes of its series and kind.
    always
        Those whose series was reviewed: only `per_series` caps them.
    """
    lot = hash_ids(ids, config.seed)
    kept = rank_within(series, lot) < series_cap(series, config)
    reviewed = np.zeros(len(ids), np.bool_) if always is None else kept & always
    rest = np.flatnonzero(kept & ~reviewed)
    rank = rank_within(kinds[rest], lot[rest])
    room = max(0, config.most - int(reviewed.sum()))
    chosen = reviewed.copy()
    chosen[rest[_within_caps(kinds[rest], rank, lot[rest], config.per_kind, room)]] = (
        True
    )
    return chosen


def series_cap(series: Numbers, config: SamplingConfig) -> int:
    """Return how many images of one series are learnt from at most."""
    counts = np.unique(series, return_counts=True)[1]
    return max(config.per_series, fair_cap(counts, config.enough))


def _within_caps(
    kinds: Numbers, rank: Numbers, lot: NDArray[np.uint64], per_kind: int, room: int
) -> NDArray[np.intp]:
    """Return the rows under one cap for every kind, `room` of them at most."""
    cap = min(per_kind, fair_cap(np.unique(kinds, return_counts=True)[1], room))
    under = np.flatnonzero(rank < cap)
    if cap < per_kind and len(under) < room:
        # What a whole further image of each kind would exceed goes to some of them.
        further = np.flatnonzero(rank == cap)
        by_lot = further[np.argsort(lot[further], kind="stable")]
        under = np.concatenate([under, by_lot[: room - len(under)]])
    return under


def fair_cap(counts: NDArray[np.intp], room: int) -> int:
    """Return the greatest cap under which kinds of these counts fit into the room."""
    if counts.sum() <= room:
        return int(counts.max(initial=0))
    low, high = 0, int(counts.max())
    while high - low > 1:
        middle = (low + high) // 2
        if np.minimum(counts, middle).sum() <= room:
            low = middle
        else:
            high = middle
    return low


def hash_ids(ids: Numbers, seed: int) -> NDArray[np.uint64]:
    """Return a number without order for each id (SplitMix64), of shape (N,)."""
    with np.errstate(over="ignore"):
        x = ids.astype(np.uint64) + np.uint64(seed % 2**64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def rank_within(groups: Numbers, lot: NDArray[np.uint64]) -> Numbers:
    """Return the place of each in its group by lot, from 0, of shape (N,)."""
    order = np.lexsort((lot, groups))
    ordered = groups[order]
    first = np.ones(len(groups), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first)
    rank = np.empty(len(groups), np.int64)
    sizes = np.diff(np.append(starts, len(groups)))
    rank[order] = np.arange(len(groups)) - np.repeat(starts, sizes)
    return rank
