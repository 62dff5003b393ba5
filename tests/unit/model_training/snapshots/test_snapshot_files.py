"""Snapshots on the disk: saved and loaded, damaged, pruned, and after a crash."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_training.process.publish_folder import PART, remove_unpublished
from model_training.snapshots.phantom_snapshot import phantom_snapshot
from model_training.snapshots.samples import Sample, from_json, to_json
from model_training.snapshots.snapshot import Snapshot, join_snapshots
from model_training.snapshots.snapshot_files import (
    SAMPLES,
    SEAL,
    TILES,
    SnapshotRejected,
    load_snapshot,
    prune_snapshots,
    save_snapshot,
)
from veritag.errors import ConfigurationError, StopError
from veritag.pixels.preprocessing import Preprocessing

PRE = Preprocessing(size=8)

TEXTS = st.text(max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SAMPLES_OF_ANY_KIND = st.builds(
    Sample,
    st.dictionaries(TEXTS, TEXTS, max_size=3),
    TEXTS,
    TEXTS,
    TEXTS,
    st.booleans(),
    st.booleans(),
    TEXTS,
    st.dictionaries(TEXTS, st.lists(NUMBERS, max_size=6).map(tuple), max_size=2),
    st.frozensets(TEXTS, max_size=3),
    NUMBERS,
    st.dictionaries(TEXTS, TEXTS, max_size=2),
)


def made(count: int = 4) -> Snapshot:
    """Return a snapshot of a few different images."""
    tiles = np.random.default_rng(3).integers(0, 256, (count, 8, 8)).astype(np.uint8)
    samples = tuple(
        Sample(
            {"Modality": "CT"},
            f"p{n}",
            "s",
            station=f"d{n}",
            numbers={"Exposure": (float(n),)},
            verified=frozenset({"Modality"}),
            weight=5.0,
            received={"Modality": "MR"},
        )
        for n in range(count)
    )
    return Snapshot(tiles, samples, PRE, {"an empty picture": 2})


def test_what_is_saved_is_loaded_and_mapped(tmp_path: Path) -> None:
    """Tiles, samples, preprocessing, counts and digest are the same; tiles are mapped."""
    snapshot = join_snapshots([made(), made(1)])
    save_snapshot(snapshot, tmp_path / "one")
    loaded = load_snapshot(tmp_path / "one")
    np.testing.assert_array_equal(loaded.tiles, snapshot.tiles)
    assert isinstance(loaded.tiles, np.memmap)
    assert loaded.samples == snapshot.samples
    assert loaded.preprocessing == PRE
    assert loaded.left_out == {"an empty picture": 4}
    assert loaded.digest() == snapshot.digest()
    assert Snapshot(loaded.tiles, loaded.samples, PRE, {}).digest() == loaded.digest()


def test_an_empty_snapshot_is_a_snapshot(tmp_path: Path) -> None:
    """A snapshot without images keeps the reasons for what was left out."""
    save_snapshot(made(0), tmp_path / "none")
    loaded = load_snapshot(tmp_path / "none")
    assert len(loaded) == 0
    assert loaded.left_out == {"an empty picture": 2}


@settings(max_examples=100, deadline=None)
@given(SAMPLES_OF_ANY_KIND)
def test_any_sample_survives_its_line(sample: Sample) -> None:
    """Every sample survives being written as one line."""
    line = to_json(sample)
    assert "\n" not in line
    assert from_json(line) == sample


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([TILES, SAMPLES, SEAL]), st.integers(0), st.integers(1, 255))
def test_a_changed_byte_is_refused(name: str, place: int, change: int) -> None:
    """A snapshot with a changed byte is refused, or equals the original."""
    with tempfile.TemporaryDirectory() as folder:
        whole = made()
        save_snapshot(whole, Path(folder) / "one")
        file = Path(folder) / "one" / name
        content = bytearray(file.read_bytes())
        content[place % len(content)] ^= change
        file.write_bytes(content)
        try:
            loaded = load_snapshot(Path(folder) / "one")
        except SnapshotRejected:
            return
        # Only whitespace of the seal may change without an effect.
        assert name == SEAL
        assert (loaded.samples, loaded.digest()) == (whole.samples, whole.digest())


@pytest.mark.parametrize("lost", [TILES, SAMPLES, SEAL])
def test_a_snapshot_without_one_of_its_files_is_refused(
    tmp_path: Path, lost: str
) -> None:
    """A snapshot without one of its files is refused."""
    save_snapshot(made(), tmp_path / "one")
    (tmp_path / "one" / lost).unlink()
    with pytest.raises(SnapshotRejected, match="take a new one"):
        load_snapshot(tmp_path / "one")


def test_another_version_of_the_preprocessing_is_refused(tmp_path: Path) -> None:
    """Tiles of a preprocessing that this version lacks are not trained on."""
    other = replace(made(), preprocessing=replace(PRE, version=99))
    save_snapshot(other, tmp_path / "one")
    with pytest.raises(StopError, match="preprocessing version 99"):
        load_snapshot(tmp_path / "one")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A disk that is full within the tiles ends in an error and no folder."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(StopError, match="snapshot in"):
            save_snapshot(made(100), tmp_path / "one")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    """A snapshot is immutable."""
    save_snapshot(made(), tmp_path / "one")
    with pytest.raises(ConfigurationError, match="exists"):
        save_snapshot(made(1), tmp_path / "one")
    assert len(load_snapshot(tmp_path / "one")) == 4


_WRITE = """
import os, signal, sys
from pathlib import Path
from tests.unit.model_training.snapshots.test_snapshot_files import PRE, made
from model_training.snapshots.snapshot_files import new_snapshot
with new_snapshot(Path(sys.argv[1]), PRE) as writer:
    writer.add(made().tiles, made().samples)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_leaves_no_snapshot(tmp_path: Path) -> None:
    """The partial folder has no final name, is refused, and is removed later."""
    run = subprocess.run(
        [sys.executable, "-c", _WRITE, str(tmp_path)],
        cwd=Path(__file__).parents[4],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(PART)
    with pytest.raises(SnapshotRejected):
        load_snapshot(left)
    remove_unpublished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_are_removed_and_a_mapped_one_can_be_read_on(tmp_path: Path) -> None:
    """A mapped snapshot can be read after it was removed."""
    for n in range(3):
        save_snapshot(made(n + 1), tmp_path / str(n))
        os.utime(tmp_path / str(n) / SEAL, (n, n))
    oldest = load_snapshot(tmp_path / "0")
    prune_snapshots(tmp_path, keep=2)
    assert {p.name for p in tmp_path.iterdir()} == {"1", "2"}
    np.testing.assert_array_equal(oldest.tiles, made(1).tiles)


CHANGES: dict[str, Callable[[Sample], Sample]] = {
    "tag": lambda s: replace(s, tags={"Modality": "XA"}),
    "patient": lambda s: replace(s, patient="other"),
    "station": lambda s: replace(s, station="other"),
    "number": lambda s: replace(s, numbers={"Exposure": (99.0,)}),
    "verified": lambda s: replace(s, verified=frozenset()),
    "weight": lambda s: replace(s, weight=1.0),
    "received": lambda s: replace(s, received={}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_digest_tells_every_change(what: str) -> None:
    """A change of anything that is learnt from changes the digest."""
    snapshot = made()
    first, *rest = snapshot.samples
    changed = replace(snapshot, samples=(CHANGES[what](first), *rest))
    assert changed.digest() != snapshot.digest()


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 255), st.integers(1, 255))
def test_the_digest_tells_pixels_and_not_order(
    order: list[int], pixel: int, change: int
) -> None:
    """The order of images does not change the digest, a single pixel does."""
    snapshot = made()
    samples = tuple(snapshot.samples[n] for n in order)
    shuffled = Snapshot(snapshot.tiles[order], samples, PRE, {})
    assert shuffled.digest() == snapshot.digest()
    tiles: Any = snapshot.tiles.copy()
    tiles.reshape(-1)[pixel] ^= change
    assert replace(snapshot, tiles=tiles).digest() != snapshot.digest()


def test_phantoms_have_numbers_and_a_station() -> None:
    """Phantoms have numeric tags like scanned images, and share one station."""
    snapshot = phantom_snapshot(1, PRE)
    assert len({s.station for s in snapshot.samples}) == 1
    ct = next(s for s in snapshot.samples if s.tags["Modality"] == "CT")
    assert len(ct.numbers["ImageOrientationPatient"]) == 6
