"""The reference set: images of patients that never train, frozen, to compare bundles on.

`reference/reference.json` names the patients and the snapshot in use; the snapshot lies
beside it under its digest. It is drawn from the unseen part of the archive, patient by
patient, and grows only while it is small: two bundles are compared on what neither has
learnt from, and today's figures with last month's.
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
"""So many times the images must be there before a reference set is drawn larger."""

NO_PATIENTS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ReferenceSet:
    """The frozen images, and the keys of all patients that never train."""

    patients: frozenset[str]
    snapshot: Snapshot


def reference_patients(folder: Path) -> frozenset[str]:
    """Return the patients of the reference set, none where there is none yet.

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
        told = json.loads(path.read_text(encoding="utf-8"))
        return [str(p) for p in told["patients"]], str(told["snapshot"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StopError(
            f"{path} is damaged ({type(error).__name__}): restore the folder from a "
            "backup, or remove it to have a reference set drawn anew"
        ) from error


def reference_set(
    folder: Path, snapshot: Snapshot, seed: int, most: int
) -> ReferenceSet:
    """Return the reference set, drawn or enlarged from a snapshot where it is small.

    Parameters
    ----------
    snapshot
        Of the whole archive, unseen patients among it.
    seed
        Of the split by which training keeps its hands off the unseen.
    most
        Images that it may hold.

    Raises
    ------
    StopError
        If the folder is damaged, or the disk is full; the set stays as it was then.
    """
    state = _state(folder)
    frozen = load_snapshot(folder / state[1]) if state else None
    patients = frozenset(state[0]) if state else NO_PATIENTS
    if frozen is not None and frozen.preprocessing != snapshot.preprocessing:
        # Tiles of another size: the same patients, as the archive shows them now.
        return _freeze(folder, patients, images_of_patients(snapshot, patients))
    held = 0 if frozen is None else len(frozen)
    unseen = unseen_patients(snapshot.samples, seed)
    usable = unseen | patients
    available = sum(s.patient in usable for s in snapshot.samples)
    if frozen is not None and (held >= most or available < GROWTH * held):
        return ReferenceSet(patients, frozen)
    chosen = patients | _drawn(snapshot.samples, unseen - patients, most - held)
    return _freeze(folder, chosen, _grown(frozen, snapshot, chosen - patients))


def unseen_patients(samples: Sequence[Sample], seed: int) -> frozenset[str]:
    """Return the patients that never train, whatever else is in the archive."""
    unseen = split_samples(samples, seed).unseen
    return frozenset(s.patient for s, u in zip(samples, unseen, strict=True) if u)


def patients_to_withhold(
    samples: Sequence[Sample], patients: frozenset[str], seed: int
) -> frozenset[str]:
    """Return those of the patients that a split would not leave unseen.

    Once they are left out, none of the others is learnt from: kinds that fewer
    patients have then are looked at again.
    """
    left_out: frozenset[str] = frozenset()
    while True:
        stay = [s for s in samples if s.patient not in left_out]
        more = patients & {s.patient for s in stay} - unseen_patients(stay, seed)
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
    """Return whole patients, by their keys, whose images fit into the room."""
    images: dict[str, int] = dict.fromkeys(sorted(candidates), 0)
    for sample in samples:
        if sample.patient in images:
            images[sample.patient] += 1
    drawn = set()
    for patient, count in images.items():
        if count <= room:
            drawn.add(patient)
            room -= count
    return frozenset(drawn)


def _grown(
    frozen: Snapshot | None, snapshot: Snapshot, new: frozenset[str]
) -> Snapshot:
    """Return the frozen images as they are, and those of new patients after them."""
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


def _write(path: Path, told: dict[str, object]) -> None:
    """Replace a small file so that a crash leaves the old or the new one."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(told, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
