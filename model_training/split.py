"""Patients into training, calibration and unseen parts; no patient is in two."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.snapshot import Snapshot

CALIBRATION = 0.15
UNSEEN = 0.15
LEAST_PATIENTS = 4
"""Patients of a kind under which its patients train: too few to show anything on."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Masks over a snapshot, each of shape (N,)."""

    training: Mask
    calibration: Mask
    unseen: Mask


def split_patients(snapshot: Snapshot, seed: int) -> Split:
    """Split by patient; synthetic pictures and very rare kinds only train.

    Which part a patient falls into depends on its key and the seed alone, so that the
    unseen stay unseen when images are added.
    """
    patients: dict[str, set[str]] = defaultdict(set)
    for sample in snapshot.samples:
        patients[sample.kind].add(sample.patient)
    common = {
        s.patient for s in snapshot.samples if len(patients[s.kind]) >= LEAST_PATIENTS
    }
    draws = np.array(
        [
            0.0 if s.is_synthetic or s.patient not in common else _draw(s.patient, seed)
            for s in snapshot.samples
        ]
    )
    unseen = draws >= 1 - UNSEEN
    calibration = ~unseen & (draws >= 1 - UNSEEN - CALIBRATION)
    return Split(~unseen & ~calibration, calibration, unseen)


def _draw(patient: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}|{patient}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
