"""Split of labelled images by patient: training, held-out and unseen images."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.compare.images.labelled_images import (
    UNIFESP,
    LabelledImages,
    thin,
    uniform_of,
)
from model_training.snapshots.split import LEAST_PATIENTS
from veritag.errors import StopError

UNSEEN = 0.3
"""Share of patients that the figures are measured on."""
HELD_OUT = 0.07
"""Share of patients whose loss decides when the encoder stops training."""
LEAST_IMAGES = 20
"""Least number of training images, and of unseen ones."""


@dataclass(frozen=True)
class PatientSplit:
    """Images of different patients: for training, for early stopping, and for the figures."""

    training: LabelledImages
    held_out: LabelledImages
    unseen: LabelledImages

    def reported_masks(self) -> dict[str, NDArray[np.bool_]]:
        """Return name to mask of each reported part of the unseen images, without empty ones."""
        unseen = self.unseen
        masks = {
            "all": np.ones(len(unseen), dtype=np.bool_),
            "UNIFESP": np.char.startswith(unseen.source, UNIFESP),
            "DICOM": unseen.is_dicom,
        }
        # A part of all images would repeat the table of "all".
        return {
            name: mask
            for name, mask in masks.items()
            if mask.any() and (name == "all" or not mask.all())
        }


def split_by_patient(
    data: LabelledImages, limit: int = 0, seed: int = 0
) -> PatientSplit:
    """Split by patient; the part of a patient depends only on its key and the seed.

    At most `limit` images of a modality, region and source train, 0 for all; unseen
    images are not limited. Patients with a kind that fewer than four patients have only
    train: so few unseen patients give no figure worth reporting.

    Raises
    ------
    StopError
        If there are too few images, or only one kind of them.
    """
    kinds = np.char.add(np.char.add(data.modality, " "), data.region)
    if len(set(kinds.tolist())) < 2:  # noqa: PLR2004 -- one kind is no clustering
        raise StopError(
            "all images are of one modality and region: clusters cannot separate kinds"
        )
    rare = _of_rare_kinds(kinds.tolist(), data.patients.tolist())
    draws = np.array(
        [1.0 if p in rare else uniform_of(p, seed) for p in data.patients.tolist()]
    )
    unseen, held_out = draws < UNSEEN, draws < UNSEEN + HELD_OUT
    _require(int((~held_out).sum()), "to train on")
    _require(int(unseen.sum()), "of unseen patients")
    training = thin(data.part(~held_out), limit, seed)
    return PatientSplit(training, data.part(held_out & ~unseen), data.part(unseen))


def _of_rare_kinds(kinds: list[str], patients: list[str]) -> set[str]:
    by_kind: defaultdict[str, set[str]] = defaultdict(set)
    for kind, patient in zip(kinds, patients, strict=True):
        by_kind[kind].add(patient)
    rare = (group for group in by_kind.values() if len(group) < LEAST_PATIENTS)
    return {patient for group in rare for patient in group}


def _require(images: int, what: str) -> None:
    if images < LEAST_IMAGES:
        raise StopError(
            f"there are {images} images {what}; a comparison needs at least {LEAST_IMAGES}"
        )
