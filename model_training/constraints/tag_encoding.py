"""The eight judged tags of samples as numbers that Gower's distance understands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model_training.constraints.gower import (
    Columns,
    Floats,
    Indices,
    Ranges,
    describe_columns,
    value_ranges,
)
from model_training.snapshots.samples import Sample
from veritag.dicom.tags import JUDGED_TAGS
from veritag.terms.concepts import Relation, normalize, relation

CATEGORIES = JUDGED_TAGS[:5]
ORIENTATION = "ImageOrientationPatient"
CONCEPTS = ("Modality", "BodyPartExamined")
"""Categories whose values are compared by meaning."""
COSINE_RANGE = 2.0
"""Range of a direction cosine, known beforehand and free of outliers."""
COSINE_DIGITS = 2
"""Decimals kept of a direction cosine: the slices of one tilted series have one tuple.
A rounded cosine is off by 0.005 at most, 1/400 of its range."""

_LENGTHS = {ORIENTATION: 6, "ExposureTime": 1, "Exposure": 1}
_PLANES: Mapping[str, tuple[float, ...]] = {
    # Rows and columns as most scanners give them, PS3.3 C.7.6.2.1.1.
    "AXIAL": (1, 0, 0, 0, 1, 0),
    "CORONAL": (1, 0, 0, 0, 0, -1),
    "SAGITTAL": (0, 1, 0, 0, 0, -1),
}
_GROUPS = np.array([*range(5), *[5] * 6, 6, 7])


@dataclass(frozen=True)
class TagEncoding:
    """How samples become rows of 13 columns, as fitted on some samples.

    Attributes
    ----------
    vocabularies
        Categorical tag to its values; a value's code is its place.
    columns
        What the columns are: five of codes, six direction cosines, two exposures.
    """

    vocabularies: Mapping[str, tuple[str, ...]]
    columns: Columns

    def transform(self, samples: Sequence[Sample]) -> Floats:
        """Return the samples as X of shape (N, 13), NaN where a tag is missing.

        A category that did not occur in fitting counts as missing: nothing is known of
        what it is like. Signs of ImageOrientationPatient count, since a turned or
        mirrored axis shows a turned or mirrored picture. Where a reviewer settled
        another plane, or where only the plane is known, its usual orientation stands in.
        """
        return np.column_stack([self._codes(samples), _numbers(samples)])

    def members(self, tag: str) -> Indices:
        """Return the columns of a tag."""
        return np.flatnonzero(self.columns.groups == JUDGED_TAGS.index(tag))

    def _codes(self, samples: Sequence[Sample]) -> Floats:
        codes = np.empty((len(samples), len(CATEGORIES)))
        for column, tag in enumerate(CATEGORIES):
            place = {value: n for n, value in enumerate(self.vocabularies[tag])}
            codes[:, column] = [place.get(s.tags.get(tag, ""), np.nan) for s in samples]
        return codes


def fit_tags(
    samples: Sequence[Sample],
    *,
    ranges: Ranges = "robust",
    concepts: bool = True,
    weights: Mapping[str, float] | None = None,
) -> TagEncoding:
    """Return an encoding fitted on samples.

    Parameters
    ----------
    samples
        At least those that will be compared with each other.
    ranges
        See `value_ranges`; ranges are of distinct values, so that no scanner's thousand
        slices narrow them. Robust ones take direction cosines to range over 2.
    concepts
        Whether Modality and BodyPartExamined are compared by meaning, see
        `concept_similarities`; else by equality.
    weights
        How much a tag counts, 1 where not told.
    """
    vocabularies = {
        tag: tuple(sorted({s.tags[tag] for s in samples if s.tags.get(tag)}))
        for tag in CATEGORIES
    }
    similarities = {
        CATEGORIES.index(tag): concept_similarities(tag, vocabularies[tag])
        for tag in CONCEPTS
        if concepts and vocabularies[tag]
    }
    told = weights or {}
    counts = np.array([told.get(tag, 1.0) for tag in JUDGED_TAGS])
    columns = describe_columns(
        np.empty((0, len(_GROUPS))),
        categorical=len(CATEGORIES) > _GROUPS,
        ranges=_fit_ranges(_numbers(samples), ranges),
        groups=_GROUPS,
        weights=counts[_GROUPS],
        similarities=similarities,
    )
    return TagEncoding(vocabularies, columns)


def concept_similarities(tag: str, values: Sequence[str]) -> Floats:
    """Return how alike values of Modality or BodyPartExamined are, of shape (V, V).

    Equal concepts are alike (1), disjoint ones are not (0). A broader, narrower or
    overlapping one says nothing for or against (NaN), as if it were missing: HEAD may
    be BRAIN. Modalities of one kind of picture are alike: CR and DX name the detector,
    which no picture tells, and a site that sends both gains nothing from a difference.
    """
    alike = 1.0 if tag == "Modality" else np.nan
    said = {
        Relation.EQUAL: 1.0,
        Relation.DISJOINT: 0.0,
        Relation.OVERLAPS: alike,
        Relation.BROADER: np.nan,
        Relation.NARROWER: np.nan,
    }
    return np.array([[said[relation(tag, a, b)] for b in values] for a in values])


def _fit_ranges(numbers: Floats, ranges: Ranges) -> Floats:
    widths = value_ranges(numbers, np.zeros(numbers.shape[1], np.bool_), ranges)
    if ranges == "robust":
        widths[: _LENGTHS[ORIENTATION]] = COSINE_RANGE
    return np.concatenate([np.ones(len(CATEGORIES)), widths])


def _numbers(samples: Sequence[Sample]) -> Floats:
    """Return the numeric tags of samples, of shape (N, 8), NaN where missing."""
    parts = [
        np.array([_number(s, tag) for s in samples]).reshape(-1, length)
        for tag, length in _LENGTHS.items()
    ]
    for part in parts:
        part[~np.isfinite(part).all(axis=1)] = np.nan
    parts[0] = parts[0].round(COSINE_DIGITS)
    return np.column_stack(parts)


def _number(sample: Sample, tag: str) -> tuple[float, ...]:
    values = sample.numbers.get(tag, ())
    if tag == ORIENTATION:
        values = _orientation(sample, values)
    length = _LENGTHS[tag]
    return values if len(values) == length else (np.nan,) * length


def _orientation(sample: Sample, values: tuple[float, ...]) -> tuple[float, ...]:
    plane = sample.tags.get(ORIENTATION, "")
    received = normalize(ORIENTATION, values)
    is_settled = ORIENTATION in sample.verified
    if received and (received == plane or not is_settled):
        return values
    return _PLANES.get(plane, ())
