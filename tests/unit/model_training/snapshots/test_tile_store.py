"""The tile store after crashes, torn files and full disks."""

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_training.process.publish_folder import disk_errors
from model_training.snapshots.tile_store import INDEX, TILES, TileStore, store_folder
from veritag.errors import StopError
from veritag.pixels.preprocessing import Preprocessing

PRE = Preprocessing(size=8)
FOLDER = "8-v1"


def tiles(*numbers: int) -> dict[str, np.ndarray]:
    """Return digest to tile for each number."""
    made = {}
    for number in numbers:
        rng = np.random.default_rng(number)
        # Zero bytes at either end of a digest must not be stripped by NumPy.
        digest = f"00{number:028x}00"
        made[digest] = rng.integers(0, 256, (8, 8)).astype(np.uint8)
    return made


def keep(root: Path, kept: dict[str, np.ndarray]) -> None:
    """Append tiles in one go."""
    with TileStore.open(root, PRE) as store:
        store.append(list(kept), list(kept.values()))


def found(root: Path, wanted: dict[str, np.ndarray]) -> list[str]:
    """Return the digests whose tile is found undamaged; check the tile."""
    with TileStore.open(root, PRE) as store:
        rows = store.find(list(wanted))
        present = [d for d, row in zip(wanted, rows, strict=True) if row >= 0]
        read, whole = store.read(rows[rows >= 0])
        for digest, tile, good in zip(present, read, whole, strict=True):
            if good:
                np.testing.assert_array_equal(tile, wanted[digest])
        return [d for d, good in zip(present, whole, strict=True) if good]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit the size of every file to `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_tiles_are_found_by_the_digest_of_their_instance(tmp_path: Path) -> None:
    """Tiles of several runs are found; a missing one has row -1."""
    kept = tiles(1, 2, 3)
    keep(tmp_path, tiles(2, 3))
    keep(tmp_path, tiles(1))
    assert found(tmp_path, {**kept, **tiles(9)}) == list(kept)
    with TileStore.open(tmp_path, PRE) as store:
        assert store.find(list(tiles(9))).tolist() == [-1]
        assert store.find([]).shape == (0,)


def test_another_preprocessing_has_its_own_tiles() -> None:
    """Size, version and window name the folder."""
    names = {
        store_folder(Path(), pre).name
        for pre in (
            Preprocessing(size=64),
            Preprocessing(size=32),
            Preprocessing(version=2),
            Preprocessing(low_percentile=0.5),
        )
    }
    assert names == {"64-v1", "32-v1", "64-v2", "64-v1-p0.5-99"}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 6 * 64),
    st.integers(0, 6 * 24),
    st.binary(max_size=70),
    st.binary(max_size=30),
)
def test_a_torn_tail_is_cut_off(
    tiles_end: int, index_end: int, tiles_junk: bytes, index_junk: bytes
) -> None:
    """Wherever the files are torn, found tiles are right and more can be added."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        kept = tiles(*range(6))
        keep(root, kept)
        for name, end, junk in (
            (TILES, tiles_end, tiles_junk),
            (INDEX, index_end, index_junk),
        ):
            os.truncate(root / FOLDER / name, end)
            with (root / FOLDER / name).open("ab") as file:
                file.write(junk)
        good = found(root, kept)
        whole = min(tiles_end // 64, index_end // 24)
        assert good[:whole] == list(kept)[:whole]
        keep(root, tiles(7, 8))
        assert found(root, tiles(7, 8)) == list(tiles(7, 8))
        assert found(root, kept)[:whole] == good[:whole]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([TILES, INDEX]), st.integers(0, 6 * 64 - 1), st.integers(1, 255))
def test_damage_costs_no_more_than_the_tile_it_hit(
    name: str, place: int, change: int
) -> None:
    """A changed byte is noticed, and tiles before and after it are still found."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        kept = tiles(*range(6))
        keep(root, kept)
        file = root / FOLDER / name
        content = bytearray(file.read_bytes())
        place %= len(content)
        content[place] ^= change
        file.write_bytes(content)
        hit = place * 6 // len(content)
        assert found(root, kept) == [d for n, d in enumerate(kept) if n != hit]
        keep(root, tiles(hit))
        assert set(found(root, kept)) == set(kept)


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    """A second run of any tile size is refused while the first has the store open."""
    for second in (PRE, replace(PRE, size=16)):
        with (
            TileStore.open(tmp_path, PRE),
            pytest.raises(StopError, match="wait until it ends"),
            TileStore.open(tmp_path, second),
        ):
            pass
    assert found(tmp_path, {}) == []


def test_what_does_not_fit_on_the_disk_is_not_kept(tmp_path: Path) -> None:
    """A disk that is full within a tile leaves the store unchanged."""
    keep(tmp_path, tiles(1))
    with (
        TileStore.open(tmp_path, PRE) as store,
        files_of_at_most(64 + 32),
        pytest.raises(StopError, match="could not be read or written"),
    ):
        store.append(list(tiles(2)), list(tiles(2).values()))
    assert (tmp_path / FOLDER / TILES).stat().st_size == 64
    keep(tmp_path, tiles(3))
    assert found(tmp_path, tiles(1, 2, 3)) == list(tiles(1, 3))


def test_a_full_disk_is_told_as_such() -> None:
    """The error for a full disk says what to do."""
    with (
        pytest.raises(StopError, match=r"disk is full: the picture .* free some"),
        disk_errors("the picture"),
        Path("/dev/full").open("wb") as file,
    ):
        file.write(b"x" * 100_000)


def test_a_tile_of_another_size_is_refused(tmp_path: Path) -> None:
    """A tile of another size, which would shift all later tiles, is refused."""
    with (
        TileStore.open(tmp_path, PRE) as store,
        pytest.raises(ValueError, match="size"),
    ):
        store.append(["00" * 16], [np.zeros((9, 9), np.uint8)])
