"""Encoding of the eight judged tags of samples as numbers for Gower's distance."""

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
"""Range of a direction cosine, which is known and has no outliers."""
COSINE_DIGITS = 2
"""Decimals of a direction cosine, so that the slices of a tilted series share a tuple.
Rounding changes a cosine by 0.005 at most, 1/400 of its range."""

_LENGTHS = {ORIENTATION: 6, "ExposureTime": 1, "Exposure": 1}
_PLANES: Mapping[str, tuple[float, ...]] = {
    # Usual direction cosines of rows and columns, PS3.3 C.7.6.2.1.1.
    "AXIAL": (1, 0, 0, 0, 1, 0),
    "CORONAL": (1, 0, 0, 0, 0, -1),
    "SAGITTAL": (0, 1, 0, 0, 0, -1),
}
_GROUPS = np.array([*range(5), *[5] * 6, 6, 7])
"""Index in `JUDGED_TAGS` of each of the 13 columns."""


@dataclass(frozen=True)
class TagEncoding:
    """Encoding of samples as rows of 13 columns, fitted on samples.

    Attributes
    ----------
    vocabularies
        Categorical tag to its values; the code of a value is its index.
    columns
        Five columns of codes, six of direction cosines, two of exposures.
    """

    vocabularies: Mapping[str, tuple[str, ...]]
    columns: Columns

    def transform(self, samples: Sequence[Sample]) -> Floats:
        """Return the samples as X of shape (N, 13), NaN where a tag is missing.

        A value that did not occur in fitting counts as missing, because it has no
        similarities. Signs of ImageOrientationPatient count: a reversed axis mirrors
        the image. Where a reviewer gave another plane, or only the plane is known,
        the usual orientation of that plane is used.
        """
        return np.column_stack([self._codes(samples), _numbers(samples)])

    def members(self, tag: str) -> Indices:
        """Return the column indices of a tag."""
        return np.flatnonzero(self.columns.groups == JUDGED_TAGS.index(tag))

    def _codes(self, samples: Sequence[Sample]) -> Floats:
        codes = np.empty((len(samples), len(CATEGORIES)))
        for column, tag in enumerate(CATEGORIES):
            code = {value: n for n, value in enumerate(self.vocabularies[tag])}
            codes[:, column] = [code.get(s.tags.get(tag, ""), np.nan) for s in samples]
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
        All samples that will be compared with each other.
    ranges
        See `value_ranges`; of distinct values, so that the many slices of one scanner
        do not narrow them. Robust ranges of direction cosines are 2.
    concepts
        Whether Modality and BodyPartExamined are compared by meaning, see
        `concept_similarities`; else by equality.
    weights
        Weight of a tag, 1 by default.
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
    by_tag = weights or {}
    tag_weights = np.array([by_tag.get(tag, 1.0) for tag in JUDGED_TAGS])
    columns = describe_columns(
        np.empty((0, len(_GROUPS))),
        categorical=len(CATEGORIES) > _GROUPS,
        ranges=_fit_ranges(_numbers(samples), ranges),
        groups=_GROUPS,
        weights=tag_weights[_GROUPS],
        similarities=similarities,
    )
    return TagEncoding(vocabularies, columns)


def concept_similarities(tag: str, values: Sequence[str]) -> Floats:
    """Return the similarities of values of Modality or BodyPartExamined, (V, V).

    Equal concepts have similarity 1, disjoint ones 0. Broader, narrower and overlapping
    ones are not comparable (NaN), like missing values: HEAD may be BRAIN. Overlapping
    modalities are similar (1): CR and DX name the detector, which no image shows.
    """
    alike = 1.0 if tag == "Modality" else np.nan
    similarity = {
        Relation.EQUAL: 1.0,
        Relation.DISJOINT: 0.0,
        Relation.OVERLAPS: alike,
        Relation.BROADER: np.nan,
        Relation.NARROWER: np.nan,
    }
    return np.array([[similarity[relation(tag, a, b)] for b in values] for a in values])


def _fit_ranges(numbers: Floats, ranges: Ranges) -> Floats:
    widths = value_ranges(numbers, np.zeros(numbers.shape[1], np.bool_), ranges)
    if ranges == "robust":
        widths[: _LENGTHS[ORIENTATION]] = COSINE_RANGE
    return np.concatenate([np.ones(len(CATEGORIES)), widths])


def _numbers(samples: Sequence[Sample]) -> Floats:
    """Return the numeric tags of samples as columns, (N, 8), NaN where missing."""
    parts = [
        np.array([_number(s, tag) for s in samples]).reshape(-1, length)
        for tag, length in _LENGTHS.items()
    ]
    for part in parts:
        # An orientation with one unusable cosine counts as missing.
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
    is_verified = ORIENTATION in sample.verified
    if received and (received == plane or not is_verified):
        return values
    return _PLANES.get(plane, ())
