"""The reference set: how it is drawn, kept, enlarged and checked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_training.snapshots.reference_set import (
    images_of_patients,
    reference_patients,
    reference_set,
    unseen_patients,
)
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot
from veritag.errors import StopError
from veritag.pixels.preprocessing import Preprocessing

PRE = Preprocessing(size=32)


def archive(patients: int, images: int = 3, pre: Preprocessing = PRE) -> Snapshot:
    """Return an archive of so many patients of two kinds."""
    rng = np.random.default_rng(5)
    samples = tuple(
        Sample(
            {"Modality": ("CT", "MR")[p % 2], "BodyPartExamined": "HEAD"},
            f"patient-{p:04}",
            "archive",
            station="one",
        )
        for p in range(patients)
        for _ in range(images)
    )
    tiles = rng.integers(0, 255, (len(samples), pre.size, pre.size), dtype=np.uint8)
    return Snapshot(tiles, samples, pre, {})


def test_it_is_drawn_from_patients_that_never_train(tmp_path: Path) -> None:
    """The set holds whole patients of the unseen part, up to a number of images."""
    whole = archive(300)
    unseen = unseen_patients(whole.samples, 1)
    reference = reference_set(tmp_path, whole, 1, most=60)
    assert reference.patients < unseen
    assert 58 <= len(reference.snapshot) <= 60
    assert reference_patients(tmp_path) == reference.patients
    for patient in reference.patients:
        assert sum(s.patient == patient for s in reference.snapshot.samples) == 3


def test_it_stays_as_it_is_while_the_archive_changes(tmp_path: Path) -> None:
    """More images and changed images of its patients do not change the set."""
    first = reference_set(tmp_path, archive(300), 1, most=60)
    later = archive(330, images=4)
    again = reference_set(tmp_path, later, 1, most=60)
    assert again.snapshot.digest() == first.snapshot.digest()
    assert again.patients == first.patients


def test_a_small_one_grows_when_twice_as_much_is_there(tmp_path: Path) -> None:
    """An enlarged set starts with the old images, followed by new patients."""
    small = reference_set(tmp_path, archive(60), 1, most=500)
    held = len(small.snapshot)
    same = reference_set(tmp_path, archive(70), 1, most=500)
    assert len(same.snapshot) == held
    grown = reference_set(tmp_path, archive(300), 1, most=500)
    assert len(grown.snapshot) >= 2 * held
    assert small.patients < grown.patients
    np.testing.assert_array_equal(
        grown.snapshot.tiles[:held], archive(60).tiles[_rows(small.patients)]
    )
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1


def _rows(patients: frozenset[str]) -> list[int]:
    samples = archive(60).samples
    return [n for n, s in enumerate(samples) if s.patient in patients]


def test_tiles_of_another_size_are_of_the_same_patients(tmp_path: Path) -> None:
    """With another tile size, the set has the same patients."""
    first = reference_set(tmp_path, archive(300), 1, most=60)
    larger = archive(300, pre=Preprocessing(size=64))
    second = reference_set(tmp_path, larger, 1, most=60)
    assert second.patients == first.patients
    assert second.snapshot.tiles.shape[1:] == (64, 64)
    assert second.snapshot.samples == images_of_patients(larger, first.patients).samples


def test_a_damaged_one_is_never_replaced_silently(tmp_path: Path) -> None:
    """A damaged set is an error, because figures of a new one are not comparable."""
    reference = reference_set(tmp_path, archive(300), 1, most=60)
    tiles = tmp_path / reference.snapshot.digest() / "tiles.npy"
    content = bytearray(tiles.read_bytes())
    content[-1] ^= 1
    tiles.write_bytes(content)
    with pytest.raises(StopError, match="damaged"):
        reference_set(tmp_path, archive(300), 1, most=60)
    (tmp_path / "reference.json").write_text("{")
    with pytest.raises(StopError, match="new reference set"):
        reference_set(tmp_path, archive(300), 1, most=60)


def test_an_archive_without_unseen_patients_has_an_empty_one(tmp_path: Path) -> None:
    """Without unseen patients the set is empty and can grow later."""
    few = archive(2)
    assert len(reference_set(tmp_path, few, 1, most=60).snapshot) == 0
    assert len(reference_set(tmp_path, archive(300), 1, most=60).snapshot) > 50


def test_images_of_some_patients() -> None:
    """Only the tiles and samples of these patients are kept."""
    whole = archive(4, images=2)
    some = images_of_patients(whole, frozenset({"patient-0001"}))
    assert [s.patient for s in some.samples] == ["patient-0001"] * 2
    assert replace(some).preprocessing == PRE
