"""Findings in words: what reviewers read instead of codes and numbers."""

from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_description, tag_for_keyword

from veritag.findings import Finding, FindingCode

LABELS: Mapping[FindingCode, str] = {
    FindingCode.TAG_CONTRADICTS_IMAGE: "Tag contradicts the image",
    FindingCode.TAG_MISSING: "Tag is missing",
    FindingCode.TAG_TOO_COARSE: "Tag is too coarse",
    FindingCode.VALUE_NOT_DEFINED: "Value is not a defined term",
    FindingCode.MIXED_SERIES: "Series mixes kinds of image",
    FindingCode.UNKNOWN_KIND: "Kind of image is unknown",
    FindingCode.UNREADABLE: "Instances cannot be read",
    FindingCode.NO_PIXELS: "Instances hold no picture",
    FindingCode.DUPLICATE_UID_CONFLICT: "One UID, different contents",
    FindingCode.MODALITY_CONTRADICTS_SOP_CLASS: "Modality contradicts the SOP Class",
}

_TITLES: Mapping[FindingCode, str] = {
    FindingCode.TAG_CONTRADICTS_IMAGE: "{tag} contradicts the image",
    FindingCode.TAG_MISSING: "{tag} is missing",
    FindingCode.TAG_TOO_COARSE: "{tag} is too coarse",
    FindingCode.VALUE_NOT_DEFINED: "{tag} is not a defined term",
}

_MEANINGS: Mapping[FindingCode, str] = {
    FindingCode.TAG_CONTRADICTS_IMAGE: (
        "Images that look like these carry another value."
    ),
    FindingCode.TAG_MISSING: (
        "Images that look like these carry this tag; here it is absent or empty."
    ),
    FindingCode.TAG_TOO_COARSE: (
        "The value is true, and a more precise one is usual for images like these."
    ),
    FindingCode.VALUE_NOT_DEFINED: (
        "The value is not among the terms that the standard defines for this tag."
    ),
    FindingCode.MIXED_SERIES: "The instances of this series do not look alike.",
    FindingCode.UNKNOWN_KIND: (
        "The model has seen nothing like these images, so it judges none of their tags."
    ),
    FindingCode.UNREADABLE: "Instances of this series could not be read or decoded.",
    FindingCode.NO_PIXELS: "Instances of this series hold no picture to compare with.",
    FindingCode.DUPLICATE_UID_CONFLICT: (
        "The same SOP Instance UID was received with different contents; "
        "all of them were kept."
    ),
    FindingCode.MODALITY_CONTRADICTS_SOP_CLASS: (
        "The SOP Class of the instances belongs to another modality."
    ),
}


def tag_name(keyword: str | None) -> str:
    """Return the standard's name of a Data Element (PS3.6 Chapter 6)."""
    if keyword is None:
        return "Series"
    tag = tag_for_keyword(keyword)
    return keyword if tag is None else dictionary_description(tag)


def label(code: str) -> str:
    """Return a finding code in words."""
    return LABELS[FindingCode(code)]


def title(finding: Finding) -> str:
    """Return the heading of a finding, with the name of its tag."""
    template = _TITLES.get(finding.code, LABELS[finding.code])
    return template.format(tag=tag_name(finding.tag))


def explain(finding: Finding) -> str:
    """Return the evidence of a finding as one or two sentences."""
    evidence = finding.evidence
    parts = [_MEANINGS[finding.code], _instances(evidence), _top_value(finding)]
    return " ".join(part for part in parts if part)


def _instances(evidence: Mapping[str, Any]) -> str:
    total, known = evidence.get("instances"), evidence.get("known_instances")
    if not isinstance(total, int) or total < 1:
        return ""
    if isinstance(known, int) and known != total:
        return f"{known} of {total} instances were judged."
    return f"All {total} instances were judged." if total > 1 else ""


def _top_value(finding: Finding) -> str:
    if finding.code is not FindingCode.TAG_CONTRADICTS_IMAGE or not finding.expected:
        return ""
    top = finding.expected[0]
    return (
        f"The most probable value is {top.value} "
        f"({top.probability:.0%}); the received one is wrong with a score of "
        f"{finding.score:.2f}."
    )
