"""What reviewers decided of a series' tags, laid over the tags as received.

The received values stay what they are in the records: a decision changes what is
learnt from, nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from model_training.snapshots.samples import numbers_of
from veritag.decisions import Decision
from veritag.dicom.tags import JUDGED_TAGS
from veritag.findings import FindingCode, TagValue
from veritag.judging.observed_tags import as_text
from veritag.records.training.learning import SettledTag
from veritag.terms.concepts import normalize

REVIEWED_WEIGHT = 5.0
"""How much an image with a verified value counts in training; any other counts 1."""

_PLANES = frozenset({"AXIAL", "CORONAL", "SAGITTAL", "OBLIQUE"})

_ABOUT_A_WRONG_VALUE = frozenset(
    {FindingCode.TAG_CONTRADICTS_IMAGE, FindingCode.MODALITY_CONTRADICTS_SOP_CLASS}
)
"""Confirmed, the value is wrong: one that is too coarse or misspelled is still true."""

_ABOUT_THE_PICTURE = _ABOUT_A_WRONG_VALUE | {FindingCode.TAG_TOO_COARSE}
"""Dismissed, the value is right: somebody has compared it with the picture."""


@dataclass(frozen=True, slots=True)
class ReviewedTags:
    """What is known of an instance's tags after the review; see `Sample`."""

    tags: Mapping[str, str]
    numbers: Mapping[str, tuple[float, ...]]
    verified: frozenset[str]
    received: Mapping[str, str]

    @property
    def weight(self) -> float:
        """What is verified to be right counts more."""
        right = self.verified & (self.tags.keys() | self.numbers.keys())
        return REVIEWED_WEIGHT if right else 1.0


def settles_value(one: SettledTag) -> bool:
    """Tell whether a decision says anything of a value that is learnt from."""
    if one.tag not in JUDGED_TAGS:
        return False
    if one.decision is Decision.CONFIRMED:
        return one.code in _ABOUT_A_WRONG_VALUE
    return one.decision is Decision.CORRECTED or one.code in _ABOUT_THE_PICTURE


def apply_decisions(
    received: Mapping[str, TagValue], settled: Iterable[SettledTag]
) -> ReviewedTags:
    """Lay the decisions on a series, the oldest first, over the tags of an instance.

    A correction holds for every instance of the series. A value that was confirmed to
    be wrong is taken away, one whose finding was dismissed is right: both only where
    the instance carries the value that the finding was about.
    """
    values = dict(received)
    verified: set[str] = set()
    for one in settled:
        if not settles_value(one) or not _concerns(one, received.get(one.tag)):
            continue
        verified.add(one.tag)
        right = _right_value(one, received)
        if right is None:
            values.pop(one.tag, None)
        else:
            values[one.tag] = right
    before = {t: v for t, v in _meanings(received).items() if t in verified}
    return ReviewedTags(
        _meanings(values), numbers_of(values), frozenset(verified), before
    )


def _concerns(one: SettledTag, value: TagValue | None) -> bool:
    if one.decision is Decision.CORRECTED:
        return True
    if value is None or one.observed is None:
        return False
    meaning = _meaning(one.tag, value)
    if meaning is None:
        return as_text(value) == one.observed
    return meaning == _meaning(one.tag, _parsed(one.tag, one.observed))


def _right_value(one: SettledTag, received: Mapping[str, TagValue]) -> TagValue | None:
    if one.decision is Decision.CORRECTED:
        return _parsed(one.tag, one.corrected_value or "")
    return received[one.tag] if one.decision is Decision.DISMISSED else None


def _parsed(tag: str, text: str) -> TagValue:
    """Return a value from its text; text that is no number stays text."""
    if tag not in {"ImageOrientationPatient", "ExposureTime", "Exposure"}:
        return text
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return text.strip().upper()
    return numbers[0] if len(numbers) == 1 else numbers


def _meanings(values: Mapping[str, TagValue]) -> dict[str, str]:
    meant = {tag: _meaning(tag, value) for tag, value in values.items()}
    return {tag: value for tag, value in meant.items() if value}


def _meaning(tag: str, value: TagValue) -> str | None:
    # A reviewer names the plane; a scanner gives six cosines.
    if tag == "ImageOrientationPatient" and value in _PLANES:
        return str(value)
    return normalize(tag, value)
