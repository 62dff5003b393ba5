"""What a set of images is asked, and the kinds that they are known to be of."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.evaluation.predictions import TagQuestion, questions
from model_training.snapshots.snapshot import Snapshot


@dataclass(frozen=True)
class Questions:
    """What a set of images is asked, and what is known of them.

    Attributes
    ----------
    modality, region
        Index of the Modality, and of the body part with its modality; -1 where the
        image does not tell it; of shape (N,).
    patient
        Index of the patient, of shape (N,).
    """

    questions: Mapping[str, TagQuestion]
    modality: NDArray[np.intp]
    region: NDArray[np.intp]
    patient: NDArray[np.intp]


def ask(snapshot: Snapshot, seed: int) -> Questions:
    """Return the questions and labels of a set of images."""
    samples = snapshot.samples
    modality = [s.tags.get("Modality", "") for s in samples]
    parts = [s.tags.get("BodyPartExamined", "") for s in samples]
    regions = [f"{m} {p}" if p else "" for m, p in zip(modality, parts, strict=True)]
    return Questions(
        questions(samples, seed),
        _indexed(modality),
        _indexed(regions),
        _indexed([s.patient for s in samples]),
    )


def _indexed(names: list[str]) -> NDArray[np.intp]:
    """Return indices from 0 of names, -1 for an empty one."""
    order = {name: n for n, name in enumerate(sorted({n for n in names if n}))}
    return np.array([order.get(name, -1) for name in names], dtype=np.intp)
