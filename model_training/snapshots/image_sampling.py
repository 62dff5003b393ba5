"""Choice of images to learn from, before any is decoded: common kinds are capped.

Whether an image is chosen depends on its id and the seed, so that most chosen images
stay the same from one snapshot to the next.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """Caps on the number of images.

    Attributes
    ----------
    max_per_series
        Images of one series, reviewed ones included: neighboring slices show nearly
        the same.
    max_per_kind
        Images of one modality and body part, reviewed ones not included.
    max_images
        Images in all; above it, the commonest kinds are capped further.
    min_images
        Images up to which `max_per_series` is raised, for all series alike: a small
        archive has no better images than further slices of its few series.
    """

    max_per_series: int = 8
    max_per_kind: int = 4000
    max_images: int = 60_000
    min_images: int = 4000
    seed: int = 1


def choose_images(
    ids: Numbers,
    series: Numbers,
    kinds: Numbers,
    config: SamplingConfig,
    *,
    reviewed: Mask | None = None,
) -> Mask:
    """Return which of N instances to learn from, of shape (N,).

    Parameters
    ----------
    ids, series, kinds
        Id of each instance, and codes of its series and kind, of shape (N,).
    reviewed
        Instances of reviewed series, of shape (N,): only `max_per_series` caps them.
    """
    hashes = hash_ids(ids, config.seed)
    # Ranks by hash: new images displace few of those chosen before.
    within_series = rank_within(series, hashes) < series_cap(series, config)
    chosen = np.zeros(len(ids), np.bool_)
    if reviewed is not None:
        chosen = within_series & reviewed
    # Reviewed images take their room first; the caps on kinds share the remainder.
    others = np.flatnonzero(within_series & ~chosen)
    rank = rank_within(kinds[others], hashes[others])
    room = max(0, config.max_images - int(chosen.sum()))
    rows = _within_caps(kinds[others], rank, hashes[others], config.max_per_kind, room)
    chosen[others[rows]] = True
    return chosen


def series_cap(series: Numbers, config: SamplingConfig) -> int:
    """Return the largest number of images of one series."""
    counts = np.unique(series, return_counts=True)[1]
    return max(config.max_per_series, fair_cap(counts, config.min_images))


def _within_caps(
    kinds: Numbers, rank: Numbers, hashes: NDArray[np.uint64], per_kind: int, room: int
) -> NDArray[np.intp]:
    """Return rows under one cap for every kind, at most `room` of them."""
    cap = min(per_kind, fair_cap(np.unique(kinds, return_counts=True)[1], room))
    under = np.flatnonzero(rank < cap)
    if cap < per_kind and len(under) < room:
        # There is no room for one more image of every kind: some kinds get one.
        next_ones = np.flatnonzero(rank == cap)
        order = np.argsort(hashes[next_ones], kind="stable")
        under = np.concatenate([under, next_ones[order][: room - len(under)]])
    return under


def fair_cap(counts: NDArray[np.intp], room: int) -> int:
    """Return the greatest cap under which groups of these sizes fit into the room."""
    if counts.sum() <= room:
        return int(counts.max(initial=0))
    # Bisection: the number of images under a cap grows with the cap.
    low, high = 0, int(counts.max())
    while high - low > 1:
        middle = (low + high) // 2
        if np.minimum(counts, middle).sum() <= room:
            low = middle
        else:
            high = middle
    return low


def hash_ids(ids: Numbers, seed: int) -> NDArray[np.uint64]:
    """Return a hash of each id and the seed (SplitMix64), of shape (N,)."""
    # Products wrap around at 64 bits, as SplitMix64 requires.
    with np.errstate(over="ignore"):
        x = ids.astype(np.uint64) + np.uint64(seed % 2**64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def rank_within(groups: Numbers, hashes: NDArray[np.uint64]) -> Numbers:
    """Return the rank of each row by its hash within its group, from 0, of shape (N,)."""
    order = np.lexsort((hashes, groups))
    ordered = groups[order]
    first = np.ones(len(groups), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(first)
    rank = np.empty(len(groups), np.int64)
    sizes = np.diff(np.append(starts, len(groups)))
    rank[order] = np.arange(len(groups)) - np.repeat(starts, sizes)
    return rank
