"""Questions to a bundle: right, wrong and received tag values of a set of images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot
from model_training.tag_model.error_injection import wrong_values
from veritag.dicom.tags import JUDGED_TAGS

Texts = NDArray[np.str_]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class TagQuestion:
    """Values of one tag to be judged, empty where the image has none; of shape (N,).

    Attributes
    ----------
    right, wrong
        The true values and, for each, one that contradicts it.
    received
        The values before reviewers corrected them.
    reviewed
        Where a reviewer has decided about the value.
    """

    right: Texts
    wrong: Texts
    received: Texts
    reviewed: NDArray[np.bool_]


@dataclass(frozen=True)
class Questions:
    """Questions about a set of images, and the classes that the images belong to.

    Attributes
    ----------
    tags
        Keyword to the values to be judged.
    modality, region
        Index of the Modality, and of the body part with its modality; -1 where it is
        unknown; of shape (N,).
    patient
        Index of the patient, of shape (N,).
    """

    tags: Mapping[str, TagQuestion]
    modality: Labels
    region: Labels
    patient: Labels


def questions_about(snapshot: Snapshot, seed: int) -> Questions:
    """Return the questions about a snapshot.

    They depend on samples and seed alone, so that all bundles get the same ones.
    """
    samples = snapshot.samples
    modality = [s.tags.get("Modality", "") for s in samples]
    parts = [s.tags.get("BodyPartExamined", "") for s in samples]
    regions = [f"{m} {p}" if p else "" for m, p in zip(modality, parts, strict=True)]
    return Questions(
        {
            # A generator for each tag: a further tag changes no other wrong value.
            tag: _question(samples, tag, np.random.default_rng([seed, number]))
            for number, tag in enumerate(JUDGED_TAGS)
        },
        _indices(modality),
        _indices(regions),
        _indices([s.patient for s in samples]),
    )


def _question(
    samples: tuple[Sample, ...], tag: str, rng: np.random.Generator
) -> TagQuestion:
    right = _texts(sample.tags.get(tag, "") for sample in samples)
    received = _texts(s.received.get(tag, s.tags.get(tag, "")) for s in samples)
    reviewed = np.array([tag in sample.received for sample in samples], dtype=bool)
    return TagQuestion(right, wrong_values(tag, right, rng), received, reviewed)


def _texts(values: Iterable[str]) -> Texts:
    return np.array(list(values), dtype=np.str_)


def _indices(names: list[str]) -> Labels:
    """Return indices from 0 of names, -1 for an empty one."""
    order = {name: n for n, name in enumerate(sorted({n for n in names if n}))}
    return np.array([order.get(name, -1) for name in names], dtype=np.intp)
