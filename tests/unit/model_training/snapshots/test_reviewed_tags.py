"""Effects of decisions on the tags that are learnt from."""

from typing import Any

import pytest

from model_training.snapshots.archive.reviewed_tags import (
    REVIEWED_WEIGHT,
    apply_decisions,
)
from veritag.decisions import Decision
from veritag.findings import FindingCode, TagValue
from veritag.records.training.training_data import DecidedTag

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
RECEIVED: dict[str, TagValue] = {
    "Modality": "CT",
    "BodyPartExamined": "Brain",
    "ImageOrientationPatient": AXIAL,
    "ExposureTime": 500.0,
}


def decided(
    decision: Decision,
    tag: str = "BodyPartExamined",
    observed: str | None = "BRAIN",
    value: str | None = None,
    code: FindingCode = FindingCode.TAG_CONTRADICTS_IMAGE,
) -> DecidedTag:
    """Return a decision on a tag of a series."""
    return DecidedTag(1, tag, code, observed, decision, value)


def test_without_a_decision_the_received_values_stand() -> None:
    """Tags are normalized, numbers kept, nothing is verified."""
    reviewed = apply_decisions(RECEIVED, ())
    assert reviewed.tags["BodyPartExamined"] == "BRAIN"
    assert reviewed.tags["ImageOrientationPatient"] == "AXIAL"
    assert reviewed.numbers["ExposureTime"] == (500.0,)
    assert (reviewed.verified, reviewed.weight) == (frozenset(), 1.0)


def test_a_correction_also_reaches_instances_that_lack_the_tag() -> None:
    """A correction holds for the series: an instance without the tag gets the value."""
    one = decided(
        Decision.CORRECTED,
        "PatientPosition",
        None,
        "hfs",
        code=FindingCode.TAG_MISSING,
    )
    reviewed = apply_decisions(RECEIVED, [one])
    assert reviewed.tags["PatientPosition"] == "HFS"
    assert reviewed.received == {}
    assert reviewed.weight == REVIEWED_WEIGHT


@pytest.mark.parametrize("decision", [Decision.CONFIRMED, Decision.DISMISSED])
def test_an_instance_with_another_value_is_not_meant(decision: Decision) -> None:
    """A decision on HAND has no effect on an instance with BRAIN."""
    reviewed = apply_decisions(RECEIVED, [decided(decision, observed="HAND")])
    assert reviewed.tags["BodyPartExamined"] == "BRAIN"
    assert reviewed.verified == frozenset()


@pytest.mark.parametrize(
    ("code", "decision", "stays", "verified"),
    [
        (FindingCode.TAG_CONTRADICTS_IMAGE, Decision.CONFIRMED, False, True),
        (FindingCode.TAG_CONTRADICTS_IMAGE, Decision.DISMISSED, True, True),
        (FindingCode.TAG_TOO_COARSE, Decision.CONFIRMED, True, False),
        (FindingCode.TAG_TOO_COARSE, Decision.DISMISSED, True, True),
        (FindingCode.VALUE_NOT_DEFINED, Decision.CONFIRMED, True, False),
        (FindingCode.VALUE_NOT_DEFINED, Decision.DISMISSED, True, False),
        (FindingCode.MIXED_SERIES, Decision.CONFIRMED, True, False),
        (FindingCode.MIXED_SERIES, Decision.DISMISSED, True, False),
    ],
)
def test_a_decision_says_no_more_than_its_finding_asked(
    code: FindingCode, decision: Decision, stays: bool, verified: bool
) -> None:
    """A coarse or misspelled value is not wrong; a mixed series names no value."""
    reviewed = apply_decisions(RECEIVED, [decided(decision, code=code)])
    assert ("BodyPartExamined" in reviewed.tags) == stays
    assert ("BodyPartExamined" in reviewed.verified) == verified


def test_the_later_of_two_findings_about_a_tag_has_the_word() -> None:
    """A dismissal after a correction restores the received value."""
    twice = [
        decided(Decision.CORRECTED, value="KNEE"),
        decided(Decision.DISMISSED, code=FindingCode.TAG_TOO_COARSE),
    ]
    assert apply_decisions(RECEIVED, twice).tags["BodyPartExamined"] == "BRAIN"
    assert apply_decisions(RECEIVED, twice[::-1]).tags["BodyPartExamined"] == "KNEE"


@pytest.mark.parametrize(
    ("value", "plane", "numbers"),
    [
        ("CORONAL", "CORONAL", None),
        ("1\\0\\0\\0\\0\\-1", "CORONAL", (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)),
        ("sideways", None, None),
    ],
)
def test_a_plane_is_corrected_by_its_name_or_its_cosines(
    value: str, plane: str | None, numbers: tuple[float, ...] | None
) -> None:
    """A corrected plane replaces the cosines; an unknown text verifies nothing."""
    one = decided(
        Decision.CORRECTED, "ImageOrientationPatient", "1\\0\\0\\0\\1\\0", value
    )
    reviewed = apply_decisions(RECEIVED, [one])
    assert reviewed.tags.get("ImageOrientationPatient") == plane
    assert reviewed.numbers.get("ImageOrientationPatient") == numbers
    assert reviewed.weight == (REVIEWED_WEIGHT if plane else 1.0)


@pytest.mark.parametrize(
    ("decision", "value", "left"),
    [
        (Decision.CORRECTED, "12.5", {"ExposureTime": (12.5,)}),
        (Decision.CORRECTED, "nan", {}),
        (Decision.CONFIRMED, None, {}),
        (Decision.DISMISSED, None, {"ExposureTime": (500.0,)}),
    ],
)
def test_numbers_are_reviewed_too(
    decision: Decision, value: str | None, left: dict[str, Any]
) -> None:
    """Numbers are compared by their text."""
    reviewed = apply_decisions(
        RECEIVED, [decided(decision, "ExposureTime", "500", value)]
    )
    numbers = {k: v for k, v in reviewed.numbers.items() if k == "ExposureTime"}
    assert numbers == left


def test_tags_that_are_not_learnt_from_are_left_alone() -> None:
    """A decision on a UID or a date has no effect."""
    one = decided(Decision.CORRECTED, "SOPInstanceUID", None, "1.2.3")
    assert apply_decisions(RECEIVED, [one]).verified == frozenset()
