"""Store of tiles, which are made once and outlive the objects they were made from.

One folder per preprocessing holds two files that only grow: `tiles.u8` with raw tiles,
and `index.bin` with the digest of each tile's instance and checksums. A tile is written
before its index entry, so that a crash leaves at most a tail of tiles without entries,
which is cut off when the store is opened. One process writes at a time.
"""

import fcntl
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model_training.process.publish_folder import disk_errors
from model_training.snapshots.digest_index import DIGEST, DigestIndex, Rows
from veritag.errors import StopError
from veritag.pixels.preprocessing import Preprocessing

TILES = "tiles.u8"
INDEX = "index.bin"
LOCK = "lock"

_ENTRY = np.dtype([("digest", DIGEST), ("tile", "<u4"), ("check", "<u4")])
_CHECKED_BYTES = 20
"""Bytes of an entry under its own checksum: digest and checksum of the tile."""

Tiles: TypeAlias = NDArray[np.uint8]


def store_folder(root: Path, preprocessing: Preprocessing) -> Path:
    """Return where the tiles of a preprocessing are kept."""
    name = f"{preprocessing.size}-v{preprocessing.version}"
    window = (preprocessing.low_percentile, preprocessing.high_percentile)
    default = Preprocessing()
    if window != (default.low_percentile, default.high_percentile):
        name += f"-p{window[0]:g}-{window[1]:g}"
    return root / name


class TileStore:
    """Tiles of one preprocessing by the digest of their instance; see `open`."""

    def __init__(self, folder: Path, preprocessing: Preprocessing) -> None:
        self.folder = folder
        self._side = preprocessing.size
        self._count = 0
        self._index = DigestIndex(np.empty(0, DIGEST), np.empty(0, np.int64))

    @classmethod
    @contextmanager
    def open(cls, root: Path, preprocessing: Preprocessing) -> Iterator[Self]:
        """Open the store under `root`, created if missing, for this process alone.

        The lock covers all of `root`, because its holder also writes snapshots.

        Raises
        ------
        StopError
            If another process has it open, or the disk fails.
        """
        store = cls(store_folder(root, preprocessing), preprocessing)
        with disk_errors(f"the kept tiles in {store.folder}"):
            store.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            lock = (root / LOCK).open("wb")
        with lock:
            _lock(lock, root)
            with disk_errors(f"the kept tiles in {store.folder}"):
                store._recover()
            yield store

    def __len__(self) -> int:
        return self._count

    def find(self, digests: Sequence[str]) -> Rows:
        """Return the row of each digest (hex), -1 where there is none, of shape (N,)."""
        return self._index.find([bytes.fromhex(digest) for digest in digests])

    def append(self, digests: Sequence[str], tiles: Sequence[Tiles]) -> None:
        """Store tiles of shape (size, size) under the digests of their instances.

        Raises
        ------
        StopError
            If the disk is full or fails; none of these tiles is kept then.
        """
        if not len(digests):
            return
        raw = [np.ascontiguousarray(tile).tobytes() for tile in tiles]
        if any(len(data) != self._tile_bytes for data in raw):
            raise ValueError("tiles of another size")
        keys = [bytes.fromhex(digest) for digest in digests]
        try:
            with disk_errors(f"the kept tiles in {self.folder}"):
                # Tiles before entries, each synced: no entry ever lacks its tile.
                _extend(self.folder / TILES, b"".join(raw))
                _extend(self.folder / INDEX, _entries(keys, raw).tobytes())
        except BaseException:
            # A partial write would shift every later tile.
            self._cut(self._count)
            raise
        self._index.add(keys, self._count)
        self._count += len(keys)

    def read(self, rows: Rows) -> tuple[Tiles, NDArray[np.bool_]]:
        """Return tiles of shape (n, size, size), and which are undamaged, of shape (n,)."""
        if not len(rows):
            empty = np.empty((0, self._side, self._side), np.uint8)
            return empty, np.empty(0, np.bool_)
        shape = (self._count, self._side, self._side)
        kept = np.memmap(self.folder / TILES, np.uint8, mode="r", shape=shape)
        entries = np.memmap(self.folder / INDEX, _ENTRY, mode="r", shape=self._count)
        # The selection is copied, so that the map of the file is closed afterwards.
        tiles = np.asarray(kept[rows])
        sums = np.array([zlib.crc32(tile.tobytes()) for tile in tiles], np.uint32)
        return tiles, sums == entries["tile"][rows]

    @property
    def _tile_bytes(self) -> int:
        return self._side * self._side

    def _recover(self) -> None:
        """Read the index; cut off the tail that a crash left."""
        for name in (TILES, INDEX):
            (self.folder / name).touch(mode=0o640)
        raw = (self.folder / INDEX).read_bytes()
        tile_count = (self.folder / TILES).stat().st_size // self._tile_bytes
        count = min(len(raw) // _ENTRY.itemsize, tile_count)
        entries = np.frombuffer(raw, _ENTRY, count=count).copy()
        undamaged = _checks(raw, len(entries)) == entries["check"]
        # A crash damages the end alone: tiles after a damaged entry are good.
        last = int(np.flatnonzero(undamaged)[-1]) + 1 if undamaged.any() else 0
        self._cut(last)
        self._count = last
        rows = np.flatnonzero(undamaged)
        self._index = DigestIndex(entries["digest"][rows], rows)

    def _cut(self, count: int) -> None:
        for name, width in ((INDEX, _ENTRY.itemsize), (TILES, self._tile_bytes)):
            path = self.folder / name
            if path.stat().st_size != count * width:
                os.truncate(path, count * width)


def _lock(lock: BinaryIO, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StopError(
            f"another training run uses the kept tiles in {folder}: wait until it ends"
        ) from None


def _entries(digests: Sequence[bytes], raw: Sequence[bytes]) -> NDArray[np.void]:
    entries = np.zeros(len(digests), _ENTRY)
    entries["digest"] = digests
    entries["tile"] = [zlib.crc32(data) for data in raw]
    entries["check"] = _checks(entries.tobytes(), len(entries))
    return entries


def _checks(raw: bytes, count: int) -> NDArray[np.uint32]:
    starts = range(0, count * _ENTRY.itemsize, _ENTRY.itemsize)
    return np.array(
        [zlib.crc32(raw[s : s + _CHECKED_BYTES]) for s in starts], np.uint32
    )


def _extend(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
