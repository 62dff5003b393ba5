"""The reference set: frozen images on which bundles are compared, of patients that never train.

`reference/reference.json` names the patients and the snapshot in use; the snapshot lies
beside it under its digest. The set is drawn by patient from the unseen part of the
archive and grows only while it is small, so that neither bundle has learnt from it and
figures of different months can be compared.
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_training.process.publish_folder import disk_errors
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot
from model_training.snapshots.snapshot_files import load_snapshot, save_snapshot
from model_training.snapshots.split import split_samples
from veritag.errors import StopError

STATE = "reference.json"
GROWTH = 2
"""Factor by which the usable images exceed a small set before it is enlarged."""

NO_PATIENTS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReferenceSet:
    """The frozen images, and the keys of their patients."""

    patients: frozenset[str]
    snapshot: Snapshot


def reference_patients(folder: Path) -> frozenset[str]:
    """Return the patients of the reference set, none before it is first drawn.

    Raises
    ------
    StopError
        If the folder is damaged.
    """
    state = _state(folder)
    return frozenset(state[0]) if state else NO_PATIENTS


def _state(folder: Path) -> tuple[list[str], str] | None:
    path = folder / STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        return [str(p) for p in state["patients"]], str(state["snapshot"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StopError(
            f"{path} is damaged ({type(error).__name__}): restore the folder from a "
            "backup, or remove it so that a new reference set is drawn"
        ) from error


def reference_set(
    folder: Path, snapshot: Snapshot, seed: int, most: int
) -> ReferenceSet:
    """Return the reference set, first drawn or, where small, enlarged from a snapshot.

    Parameters
    ----------
    snapshot
        Of the whole archive, with its unseen patients.
    seed
        Of the split into training and unseen patients.
    most
        Largest number of images.

    Raises
    ------
    StopError
        If the folder is damaged or the disk is full; the set is unchanged then.
    """
    state = _state(folder)
    frozen = load_snapshot(folder / state[1]) if state else None
    patients = frozenset(state[0]) if state else NO_PATIENTS
    if frozen is not None and frozen.preprocessing != snapshot.preprocessing:
        # Tiles of another size cannot be compared: the same patients are read again.
        return _freeze(folder, patients, images_of_patients(snapshot, patients))
    size = 0 if frozen is None else len(frozen)
    # Patients of the set stay usable where a larger archive would let them train.
    unseen = unseen_patients(snapshot.samples, seed)
    usable = unseen | patients
    available = sum(s.patient in usable for s in snapshot.samples)
    if frozen is not None and (size >= most or available < GROWTH * size):
        return ReferenceSet(patients, frozen)
    chosen = patients | _drawn(snapshot.samples, unseen - patients, most - size)
    return _freeze(folder, chosen, _grown(frozen, snapshot, chosen - patients))


def unseen_patients(samples: Sequence[Sample], seed: int) -> frozenset[str]:
    """Return the patients in the unseen part of a split."""
    unseen = split_samples(samples, seed).unseen
    return frozenset(s.patient for s, u in zip(samples, unseen, strict=True) if u)


def patients_to_withhold(
    samples: Sequence[Sample], patients: frozenset[str], seed: int
) -> frozenset[str]:
    """Return those of the patients that a split would not leave unseen.

    Without their images, the split leaves all others of them unseen. Leaving images out
    can make a kind rare, and patients of rare kinds train: hence the repetition.
    """
    left_out: frozenset[str] = frozenset()
    while True:
        kept = [s for s in samples if s.patient not in left_out]
        more = patients & {s.patient for s in kept} - unseen_patients(kept, seed)
        if not more:
            return left_out
        left_out |= more


def images_of_patients(snapshot: Snapshot, patients: frozenset[str]) -> Snapshot:
    """Return the images of these patients."""
    return snapshot.part(
        np.array([s.patient in patients for s in snapshot.samples], dtype=bool)
    )


def _drawn(
    samples: Sequence[Sample], candidates: frozenset[str], room: int
) -> frozenset[str]:
    """Return patients in the order of their keys, each with all images, up to `room`."""
    images: dict[str, int] = dict.fromkeys(sorted(candidates), 0)
    for sample in samples:
        if sample.patient in images:
            images[sample.patient] += 1
    drawn = set()
    for patient, count in images.items():
        # Whole patients only: the bootstrap of the gate resamples patients.
        if count <= room:
            drawn.add(patient)
            room -= count
    return frozenset(drawn)


def _grown(
    frozen: Snapshot | None, snapshot: Snapshot, new: frozenset[str]
) -> Snapshot:
    """Return the frozen images, unchanged, followed by those of new patients."""
    added = images_of_patients(snapshot, new)
    if frozen is None:
        return added
    return Snapshot(
        np.concatenate([frozen.tiles, added.tiles]),
        frozen.samples + added.samples,
        snapshot.preprocessing,
        {},
    )


def _freeze(folder: Path, patients: frozenset[str], images: Snapshot) -> ReferenceSet:
    """Save the images, then name them in the state, then remove older snapshots.

    In this order a crash leaves a state that names a whole snapshot.
    """
    digest = images.digest()
    with disk_errors(f"the reference set in {folder}"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        if not (folder / digest).exists():
            save_snapshot(images, folder / digest)
        _write(folder / STATE, {"patients": sorted(patients), "snapshot": digest})
        for old in folder.iterdir():
            if old.is_dir() and old.name != digest:
                shutil.rmtree(old, ignore_errors=True)
    return ReferenceSet(patients, load_snapshot(folder / digest))


def _write(path: Path, state: dict[str, object]) -> None:
    """Replace a file so that a crash leaves either the old or the new content."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
        file.flush()
        # Synced before the rename: the name never refers to unwritten content.
        os.fsync(file.fileno())
    part.replace(path)
