"""Which patients are trained on and which are reported, and the parts of the report."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.compare.images.labelled import (
    UNIFESP,
    LabelledSet,
    Mask,
    draw,
    thin,
)
from model_training.snapshots.split import LEAST_PATIENTS
from veritag.errors import StopError

UNSEEN = 0.3
"""Share of patients that figures are told of."""
HELD_OUT = 0.07
"""Share of patients whose reconstruction says when training may stop."""
LEAST_IMAGES = 20
"""Images, trained on or unseen, under which a comparison says nothing."""


@dataclass(frozen=True)
class Parts:
    """Images of different patients: trained on, to know when to stop, and reported."""

    training: LabelledSet
    held_out: LabelledSet
    unseen: LabelledSet

    def reports(self) -> dict[str, NDArray[np.bool_]]:
        """Return the name of each part of the unseen to its mask, leaving out empty ones."""
        unseen = self.unseen
        masks = {
            "all": np.ones(len(unseen), dtype=np.bool_),
            "UNIFESP": np.char.startswith(unseen.source, UNIFESP),
            "DICOM": unseen.is_dicom,
        }
        return {name: m for name, m in masks.items() if m.any() and not _same(m, name)}


def _same(mask: Mask, name: str) -> bool:
    return name != "all" and bool(mask.all())


def split(data: LabelledSet, limit: int = 0, seed: int = 0) -> Parts:
    """Split by patient; the part of a patient depends on its key and the seed alone.

    At most `limit` images of a modality, region and source train, 0 for all; the
    unseen stay as they come.

    Patients with a kind that fewer than four have only train: nothing could be shown
    on it, whether it fell into the one part or into the other.

    Raises
    ------
    StopError
        If there are too few images, or only one kind of them.
    """
    kinds = np.char.add(np.char.add(data.modality, " "), data.region)
    if len(set(kinds.tolist())) < 2:  # noqa: PLR2004 -- one kind can be told from none
        raise StopError(
            "all images are of one modality and region: there is nothing to tell apart"
        )
    rare = _of_rare_kinds(kinds.tolist(), data.patients.tolist())
    draws = np.array(
        [1.0 if p in rare else draw(p, seed) for p in data.patients.tolist()]
    )
    unseen, held_out = draws < UNSEEN, draws < UNSEEN + HELD_OUT
    _require(int((~held_out).sum()), "to train on")
    _require(int(unseen.sum()), "of unseen patients")
    training = thin(data.part(~held_out), limit, seed)
    return Parts(training, data.part(held_out & ~unseen), data.part(unseen))


def _of_rare_kinds(kinds: list[str], patients: list[str]) -> set[str]:
    by_kind: defaultdict[str, set[str]] = defaultdict(set)
    for kind, patient in zip(kinds, patients, strict=True):
        by_kind[kind].add(patient)
    rare = (found for found in by_kind.values() if len(found) < LEAST_PATIENTS)
    return {patient for found in rare for patient in found}


def _require(images: int, what: str) -> None:
    if images < LEAST_IMAGES:
        raise StopError(
            f"there are {images} images {what}; a comparison needs at least {LEAST_IMAGES}"
        )
