"""Explanations of findings."""

from typing import Any

import pytest

from services.review import explanations
from veritag.findings import ExpectedValue, Finding, FindingCode, Severity
from veritag.records.review.station_groups import GroupKey


def finding(code: FindingCode, tag: str | None = None, **changes: Any) -> Finding:
    """Return a finding of the code."""
    values: dict[str, Any] = {"observed": "HAND", "score": 0.97}
    return Finding(code, Severity.ERROR, tag, **{**values, **changes})


@pytest.mark.parametrize("code", FindingCode)
def test_every_code_has_words(code: FindingCode) -> None:
    """Every code has a label, a title and a meaning."""
    assert explanations.label(code)
    assert "_" not in explanations.title(finding(code, "BodyPartExamined"))
    assert explanations.explain(finding(code)).endswith(".")


def test_a_contradiction_says_how_sure_it_is() -> None:
    """The explanation gives the likely value, its probability and the evidence."""
    explanation = explanations.explain(
        finding(
            FindingCode.TAG_CONTRADICTS_IMAGE,
            "BodyPartExamined",
            expected=(ExpectedValue("CHEST", 0.91),),
            evidence={
                "instances": 24,
                "known": 23,
                "clusters": [
                    {"cluster": 7, "weight": 0.9},
                    {"cluster": 1, "weight": 0.0},
                ],
            },
        )
    )
    assert explanation == (
        "Similar images have another value. The most probable value is CHEST (91%); the "
        "received value is wrong with a probability of 97%. The model knows the kind "
        "of image of 23 of 24 instances. Clusters: 7 (90%)."
    )


def test_a_rule_says_where_it_found_fault() -> None:
    """The explanation gives counts, reasons, values and SOP Class of the evidence."""
    explanation = explanations.explain(
        finding(
            FindingCode.UNREADABLE,
            evidence={
                "instances": 1,
                "of": 3,
                "reasons": [{"reason": "the file is empty", "instances": 1}],
                "values": [{"value": "CHEST", "instances": 2}],
                "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            },
        )
    )
    assert "This applies to 1 of 3 instances." in explanation
    assert "Reasons: the file is empty (1)." in explanation
    assert "Received values: CHEST (2)." in explanation
    assert "The SOP Class is CT Image Storage." in explanation


def test_a_series_is_mixed_by_its_tags_or_by_its_pictures() -> None:
    """Where the tags agree and the pictures differ, no tag is named."""
    by_rule = finding(FindingCode.MIXED_SERIES, "Modality", observed="CT")
    assert "have values that do not belong together" in explanations.explain(by_rule)
    kinds = [{"value": "CT", "instances": 8}, {"value": "MR", "instances": 4}]
    seen = {"by": "Modality", "kinds": kinds, "instances": 12, "known": 12}
    by_picture = finding(FindingCode.MIXED_SERIES, observed=None, evidence=seen)
    assert explanations.explain(by_picture) == (
        "The tags of this series agree, but its pictures show kinds that do not belong "
        "together. The model knows the kind of image of 12 of 12 instances. Kinds of "
        "pictures: CT (8), MR (4)."
    )
    assert explanations.title(by_picture) == "Series is mixed"
    key = GroupKey("ACME", "CT1", FindingCode.MIXED_SERIES, None, None, None)
    assert explanations.repeated(key) == "Series is mixed"


def test_different_values_are_counted() -> None:
    """The number of different identifiers is shown, the identifiers are not."""
    evidence = {"different": 3, "instances": 2, "of": 9}
    explanation = explanations.explain(
        finding(FindingCode.MIXED_SERIES, evidence=evidence)
    )
    assert explanation.endswith(
        "This applies to 2 of 9 instances. There are 3 different values."
    )


def test_several_sop_classes_are_told_with_their_counts() -> None:
    """SOP Classes are named, each with its number of instances."""
    uids = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4")
    classes = [
        {"sop_class_uid": uid, "instances": n}
        for uid, n in zip(uids, (2, 1), strict=True)
    ]
    explanation = explanations.explain(
        finding(
            FindingCode.MODALITY_CONTRADICTS_SOP_CLASS,
            "Modality",
            evidence={"sop_classes": classes, "instances": 3, "of": 3},
        )
    )
    assert explanation.endswith(
        "SOP Classes: CT Image Storage (2), MR Image Storage (1)."
    )


def test_a_broken_rule_is_told_with_its_section() -> None:
    """The rules of the evidence and the value of other attributes are listed."""
    explanation = explanations.explain(
        finding(
            FindingCode.POSITION_CONTRADICTS_ORIENTATION,
            "PatientPosition",
            expected=(ExpectedValue("headfirst", 1.0),),
            evidence={
                "instances": 2,
                "of": 2,
                "rules": [{"rule": "They agree (PS3.3 C.7.3.1).", "instances": 2}],
            },
        )
    )
    assert explanation == (
        "The patient position and the orientation of the image exclude each other. "
        "Other attributes give headfirst. This applies to 2 of 2 instances. Rules: "
        "They agree (PS3.3 C.7.3.1) (2)."
    )


def test_a_series_in_several_studies_is_counted() -> None:
    """The number of studies is given, and no UID."""
    evidence = {"studies": 2, "of": 9}
    explanation = explanations.explain(
        finding(FindingCode.SERIES_IN_SEVERAL_STUDIES, evidence=evidence)
    )
    assert "The Series Instance UID was received in 2 studies." in explanation


@pytest.mark.parametrize(
    "evidence",
    [
        {"instances": "many", "of": None, "known": 1.5},
        {"reasons": "text", "clusters": [1, {"cluster": 3}], "values": []},
        {"sop_class_uid": 7},
        {"rules": "none", "studies": "many"},
        {"rules": [1, {"instances": 3}]},
    ],
)
def test_odd_evidence_is_left_out(evidence: dict[str, Any]) -> None:
    """Evidence of another version never breaks the page."""
    plain = explanations.explain(finding(FindingCode.NO_PIXELS))
    assert (
        explanations.explain(finding(FindingCode.NO_PIXELS, evidence=evidence)) == plain
    )


def test_tags_have_their_standard_name() -> None:
    """Tags have their names of PS3.6; an unknown keyword stays as it is."""
    assert explanations.tag_name("BodyPartExamined") == "Body Part Examined"
    assert explanations.tag_name("NotATag") == "NotATag"


def test_a_uid_is_not_corrected_by_hand() -> None:
    """A finding is correctable only where a reviewer can type the right value."""
    duplicate = finding(FindingCode.DUPLICATE_UID_CONFLICT, "SOPInstanceUID")
    assert not explanations.correctable(duplicate)
    assert not explanations.correctable(finding(FindingCode.UNKNOWN_KIND))
    assert explanations.correctable(finding(FindingCode.TAG_MISSING, "Modality"))
    assert explanations.correctable(finding(FindingCode.DATE_INVALID, "StudyDate"))
    for tag in ("FrameOfReferenceUID", "ImageType", "PatientID", "PatientBirthDate"):
        assert not explanations.correctable(finding(FindingCode.MIXED_SERIES, tag))


def test_no_model_is_ever_certain() -> None:
    """A probability that would round to 100% is given as over 99%."""
    explanation = explanations.explain(
        finding(
            FindingCode.TAG_CONTRADICTS_IMAGE,
            score=0.9996,
            expected=(ExpectedValue("CHEST", 0.97),),
        )
    )
    assert "a probability of over 99%" in explanation
