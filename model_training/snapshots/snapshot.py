"""Snapshots: tiles and their samples, immutable under one digest."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.snapshots.image_sources import ImageEntry
from model_training.snapshots.read_image import (
    map_in_threads,
    read_entry,
    rejection_reason,
)
from model_training.snapshots.samples import Sample
from veritag.errors import RejectError
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import Tile

KEPT_APART = "of patients on whom bundles are compared"


@dataclass(frozen=True)
class Snapshot:
    """Tiles of shape (N, size, size) and their samples; immutable.

    The tiles may be mapped from a file, so that only the rows in use are read.
    """

    tiles: NDArray[np.uint8]
    samples: tuple[Sample, ...]
    preprocessing: Preprocessing
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.samples)

    def values(self, tag: str) -> NDArray[np.str_]:
        """Return the normalized values of a tag, empty where absent, of shape (N,)."""
        return np.array([s.tags.get(tag, "") for s in self.samples], dtype=np.str_)

    def weights(self) -> NDArray[np.float64]:
        """Return the weight of each image in training, of shape (N,)."""
        return np.array([s.weight for s in self.samples], dtype=np.float64)

    def digest(self) -> str:
        """Return a fingerprint of tiles and samples that does not depend on their order."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digests = [
            row_digest(tile, sample)
            for tile, sample in zip(self.tiles, self.samples, strict=True)
        ]
        return digest_of(digests)

    def part(self, chosen: NDArray[np.bool_]) -> "Snapshot":
        """Return the images chosen by a mask of shape (N,).

        Adjacent tiles are not copied: a mapped part stays mapped.
        """
        samples = tuple(s for s, keep in zip(self.samples, chosen, strict=True) if keep)
        return Snapshot(self.tiles[as_slice(chosen)], samples, self.preprocessing, {})

    def summary(self) -> dict[str, Any]:
        """Return its lineage for a bundle: digest, counts and sources."""
        sources = Counter((s.source, s.license) for s in self.samples)
        return {
            "digest": self.digest(),
            "images": len(self),
            "patients": len({s.patient for s in self.samples}),
            "stations": len({s.station for s in self.samples}),
            "synthetic": sum(s.is_synthetic for s in self.samples),
            "reviewed": sum(bool(s.verified) for s in self.samples),
            "kinds": dict(Counter(s.kind for s in self.samples).most_common()),
            "left_out": dict(self.left_out),
            "sources": [
                {"source": source, "license": license_, "images": images}
                for (source, license_), images in sorted(sources.items())
            ],
        }


def without_patients(snapshot: Snapshot, patients: frozenset[str]) -> Snapshot:
    """Return the snapshot without the images of these patients."""
    kept = np.array([s.patient not in patients for s in snapshot.samples], dtype=bool)
    if kept.all():
        return snapshot
    left_out = {**snapshot.left_out, KEPT_APART: int((~kept).sum())}
    return replace(snapshot.part(kept), left_out=left_out)


def as_slice(chosen: NDArray[np.bool_]) -> "slice | NDArray[np.bool_]":
    """Return a mask as a slice where its rows are adjacent, else the mask itself."""
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return slice(0, 0)
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else chosen


def row_digest(tile: NDArray[np.uint8], sample: Sample) -> bytes:
    """Return the fingerprint of one image, 16 bytes."""
    content = tile.tobytes() + sample.fingerprint()
    return hashlib.blake2b(content, digest_size=16).digest()


def digest_of(rows: Iterable[bytes]) -> str:
    """Return the fingerprint of a snapshot from those of its images, in any order."""
    return hashlib.blake2b(b"".join(sorted(rows)), digest_size=16).hexdigest()


def take_snapshot(
    entries: Sequence[ImageEntry],
    preprocessing: Preprocessing,
    *,
    on_step: Callable[[int], None] = lambda _: None,
) -> Snapshot:
    """Read images into a snapshot; unusable images are counted by their reason."""

    def read(entry: ImageEntry) -> tuple[Tile, Sample] | str:
        try:
            return read_entry(entry, preprocessing)
        except RejectError as error:
            return rejection_reason(error)

    size = preprocessing.size
    # Memory for unusable images is reserved too, and never touched.
    tiles = np.empty((len(entries), size, size), dtype=np.uint8)
    samples: list[Sample] = []
    left_out: Counter[str] = Counter()
    for outcome in map_in_threads(read, entries):
        on_step(1)
        if isinstance(outcome, str):
            left_out[outcome] += 1
        else:
            tiles[len(samples)] = outcome[0]
            samples.append(outcome[1])
    return Snapshot(
        tiles[: len(samples)], tuple(samples), preprocessing, dict(left_out)
    )


def assemble_snapshot(
    images: Iterable[tuple[Tile, Sample]],
    preprocessing: Preprocessing,
    left_out: Mapping[str, int] | None = None,
) -> Snapshot:
    """Return a snapshot of tiles and their samples."""
    pairs = list(images)
    size = preprocessing.size
    tiles = np.empty((len(pairs), size, size), dtype=np.uint8)
    for row, (tile, _) in enumerate(pairs):
        tiles[row] = tile
    samples = tuple(sample for _, sample in pairs)
    return Snapshot(tiles, samples, preprocessing, dict(left_out or {}))


def join_snapshots(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Return one snapshot of several with the same preprocessing."""
    left_out: Counter[str] = Counter()
    for snapshot in snapshots:
        left_out.update(snapshot.left_out)
    return Snapshot(
        np.concatenate([s.tiles for s in snapshots]),
        tuple(sample for s in snapshots for sample in s.samples),
        snapshots[0].preprocessing,
        dict(left_out),
    )
