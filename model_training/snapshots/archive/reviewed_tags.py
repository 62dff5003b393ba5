"""Tags of an instance after the decisions of reviewers on its series.

A decision changes what is learnt from; the received values in the records stay.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from model_training.snapshots.samples import numbers_of
from veritag.decisions import Decision
from veritag.dicom.tags import JUDGED_TAGS
from veritag.findings import FindingCode, TagValue
from veritag.judging.observed_tags import as_text
from veritag.records.training.training_data import DecidedTag
from veritag.terms.concepts import normalize

REVIEWED_WEIGHT = 5.0
"""How much an image with a verified value counts in training; any other counts 1."""

_PLANES = frozenset({"AXIAL", "CORONAL", "SAGITTAL", "OBLIQUE"})

_WRONG_VALUE_CODES = frozenset(
    {FindingCode.TAG_CONTRADICTS_IMAGE, FindingCode.MODALITY_CONTRADICTS_SOP_CLASS}
)
"""Codes whose confirmation means a wrong value; a coarse or misspelled one is true."""

_IMAGE_CODES = _WRONG_VALUE_CODES | {FindingCode.TAG_TOO_COARSE}
"""Codes whose dismissal means a right value: it was compared with the image."""


@dataclass(frozen=True, slots=True)
class ReviewedTags:
    """Tags of an instance after the review, with the fields of `Sample`."""

    tags: Mapping[str, str]
    numbers: Mapping[str, tuple[float, ...]]
    verified: frozenset[str]
    received: Mapping[str, str]

    @property
    def weight(self) -> float:
        """Weight in training: larger where a value is verified to be right."""
        right = self.verified & (self.tags.keys() | self.numbers.keys())
        return REVIEWED_WEIGHT if right else 1.0


def decides_value(decided: DecidedTag) -> bool:
    """Return whether a decision shows that a learnt tag's value is right or wrong."""
    if decided.tag not in JUDGED_TAGS:
        return False
    if decided.decision is Decision.CONFIRMED:
        return decided.code in _WRONG_VALUE_CODES
    return decided.decision is Decision.CORRECTED or decided.code in _IMAGE_CODES


def apply_decisions(
    received: Mapping[str, TagValue], decisions: Iterable[DecidedTag]
) -> ReviewedTags:
    """Return an instance's tags after the decisions on its series, the oldest first.

    A correction holds for every instance of the series. A value confirmed to be wrong
    is removed, and a value whose finding was dismissed is right; both only where the
    instance has the value that the finding was about.
    """
    values = dict(received)
    verified: set[str] = set()
    for decided in decisions:
        tag = decided.tag
        if not decides_value(decided) or not _concerns(decided, received.get(tag)):
            continue
        verified.add(tag)
        right = _right_value(decided, received)
        if right is None:
            values.pop(tag, None)
        else:
            values[tag] = right
    before = {t: v for t, v in _meanings(received).items() if t in verified}
    return ReviewedTags(
        _meanings(values), numbers_of(values), frozenset(verified), before
    )


def _concerns(decided: DecidedTag, value: TagValue | None) -> bool:
    """Return whether a decision holds for an instance with this received value."""
    if decided.decision is Decision.CORRECTED:
        return True
    if value is None or decided.observed is None:
        return False
    # Compared by meaning: series of THORAX and CHEST are of one finding.
    meaning = _meaning(decided.tag, value)
    if meaning is None:
        return as_text(value) == decided.observed
    return meaning == _meaning(decided.tag, _parsed(decided.tag, decided.observed))


def _right_value(
    decided: DecidedTag, received: Mapping[str, TagValue]
) -> TagValue | None:
    if decided.decision is Decision.CORRECTED:
        return _parsed(decided.tag, decided.corrected_value or "")
    return received[decided.tag] if decided.decision is Decision.DISMISSED else None


def _parsed(tag: str, text: str) -> TagValue:
    """Return a tag's value from its text; text without numbers stays text."""
    if tag not in {"ImageOrientationPatient", "ExposureTime", "Exposure"}:
        return text
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return text.strip().upper()
    return numbers[0] if len(numbers) == 1 else numbers


def _meanings(values: Mapping[str, TagValue]) -> dict[str, str]:
    meanings = {tag: _meaning(tag, value) for tag, value in values.items()}
    return {tag: meaning for tag, meaning in meanings.items() if meaning}


def _meaning(tag: str, value: TagValue) -> str | None:
    # A reviewer's correction names the plane; scanners send six direction cosines.
    if tag == "ImageOrientationPatient" and value in _PLANES:
        return str(value)
    return normalize(tag, value)
