"""Snapshots on the disk, one sealed folder each.

`tiles.npy` is mapped, not read; `samples.jsonl` has one line for each of its rows;
`snapshot.json` seals both. A folder gets its name only once all of it is on the disk,
so that a crash leaves no partial snapshot under that name.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from model_training.process.publish_folder import (
    disk_errors,
    publish_folder,
    unpublished_folder,
)
from model_training.snapshots.samples import Sample, SampleInterner, from_json, to_json
from model_training.snapshots.snapshot import Snapshot, digest_of, row_digest
from veritag.errors import ConfigurationError, StopError
from veritag.pixels.preprocessing import Preprocessing

TILES = "tiles.npy"
SAMPLES = "samples.jsonl"
SEAL = "snapshot.json"
SCHEMA = 1

_ROWS_AT_ONCE = 1024
_BLOCK = 1 << 20


class SnapshotRejected(StopError):
    """A snapshot does not match its seal or this version."""


class SnapshotWriter:
    """Writes a snapshot in batches of rows; see `new_snapshot`."""

    def __init__(self, work: Path, preprocessing: Preprocessing) -> None:
        self.work = work
        self._preprocessing = preprocessing
        self._digests: list[bytes] = []
        self._tiles: BinaryIO = (work / TILES).open("wb")
        self._samples: TextIO = (work / SAMPLES).open("w", encoding="utf-8")
        self._write_header()

    def add(self, tiles: NDArray[np.uint8], samples: Sequence[Sample]) -> None:
        """Append tiles of shape (n, size, size) and their samples."""
        for tile, sample in zip(tiles, samples, strict=True):
            self._digests.append(row_digest(tile, sample))
            self._samples.write(to_json(sample) + "\n")
        self._tiles.write(np.ascontiguousarray(tiles, np.uint8).tobytes())

    def seal(self, left_out: Mapping[str, int]) -> str:
        """Complete and seal the files; return the snapshot's digest."""
        # The number of rows is known only now.
        self._tiles.seek(0)
        self._write_header()
        self.close()
        seal = {
            "schema": SCHEMA,
            "digest": digest_of(self._digests),
            "images": len(self._digests),
            "preprocessing": asdict(self._preprocessing),
            "left_out": dict(left_out),
            "files": {name: _file_digest(self.work / name) for name in _SEALED},
        }
        content = {**seal, "seal": _seal_of(seal)}
        # The seal is the last file: a folder without it is not a snapshot.
        (self.work / SEAL).write_text(json.dumps(content, indent=1), encoding="utf-8")
        return str(seal["digest"])

    def close(self) -> None:
        """Close the files."""
        self._tiles.close()
        self._samples.close()

    def _write_header(self) -> None:
        """Write the header of `tiles.npy`, whose length does not depend on the rows."""
        size = self._preprocessing.size
        shape = (len(self._digests), size, size)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._tiles, header)


_SEALED = (TILES, SAMPLES)


@contextmanager
def new_snapshot(
    parent: Path, preprocessing: Preprocessing
) -> Iterator[SnapshotWriter]:
    """Yield a writer whose folder in `parent` is removed unless it is published.

    Raises
    ------
    StopError
        If the disk is full or fails.
    """
    with disk_errors(f"the snapshot in {parent}"), unpublished_folder(parent) as work:
        writer = SnapshotWriter(work, preprocessing)
        try:
            yield writer
        finally:
            writer.close()


def save_snapshot(snapshot: Snapshot, place: Path) -> None:
    """Write a snapshot into the new folder `place`.

    Raises
    ------
    ConfigurationError
        If `place` exists.
    StopError
        If the disk is full or fails; no partial folder is left then.
    """
    if place.exists():
        raise ConfigurationError(f"{place} exists: name a folder that does not")
    with new_snapshot(place.parent, snapshot.preprocessing) as writer:
        for start in range(0, len(snapshot), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            writer.add(snapshot.tiles[rows], snapshot.samples[rows])
        writer.seal(snapshot.left_out)
        publish_folder(writer.work, place)


def load_snapshot(place: Path, *, verify: bool = True) -> Snapshot:
    """Return the snapshot of a folder, its tiles mapped.

    Parameters
    ----------
    verify
        Whether both files are compared with the seal: about a second per GB.

    Raises
    ------
    SnapshotRejected
        If there is no snapshot, or it does not match its seal or this version.
    BundleRejected
        If this version does not support its preprocessing.
    """
    try:
        return _load(place, verify=verify)
    except SnapshotRejected:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SnapshotRejected(
            f"{place} is not a snapshot that this version can read "
            f"({type(error).__name__}): take a new one"
        ) from error


def _load(place: Path, *, verify: bool) -> Snapshot:
    seal: dict[str, Any] = json.loads((place / SEAL).read_text(encoding="utf-8"))
    if seal.pop("seal", None) != _seal_of(seal) or seal["schema"] != SCHEMA:
        raise SnapshotRejected(f"{place} does not match its seal: take a new snapshot")
    if verify:
        _require_sealed(place, seal["files"])
    preprocessing = Preprocessing(**seal["preprocessing"])
    preprocessing.require_supported(str(place))
    # An empty file cannot be mapped.
    tiles = np.load(place / TILES, mmap_mode="r" if seal["images"] else None)
    intern = SampleInterner()
    with (place / SAMPLES).open(encoding="utf-8") as file:
        samples = tuple(intern(from_json(line)) for line in file)
    shape = (len(samples), preprocessing.size, preprocessing.size)
    if tiles.shape != shape or tiles.dtype != np.uint8:
        raise SnapshotRejected(
            f"{place} has tiles of another shape than its seal states"
        )
    snapshot = Snapshot(tiles, samples, preprocessing, seal["left_out"])
    # The cached property: the seal vouches for the digest.
    snapshot.__dict__["_digest"] = seal["digest"]
    return snapshot


def _require_sealed(place: Path, files: Mapping[str, str]) -> None:
    for name in _SEALED:
        if _file_digest(place / name) != files[name]:
            raise SnapshotRejected(
                f"{place / name} is damaged: it does not match the seal of its snapshot"
            )


def prune_snapshots(parent: Path, keep: int) -> None:
    """Remove all but the newest snapshots; a process that maps one can read on."""
    seals = sorted(parent.glob(f"*/{SEAL}"), key=lambda p: p.stat().st_mtime)
    for seal in seals[: max(0, len(seals) - keep)]:
        shutil.rmtree(seal.parent, ignore_errors=True)


def _seal_of(content: Mapping[str, Any]) -> str:
    text = json.dumps(dict(content), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _file_digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
