"""Findings in words: what reviewers read instead of codes and numbers."""

from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.uid import UID

from veritag.findings import Finding, FindingCode

LABELS: Mapping[FindingCode, str] = {
    FindingCode.TAG_CONTRADICTS_IMAGE: "Tag contradicts the image",
    FindingCode.TAG_MISSING: "Tag is missing",
    FindingCode.TAG_TOO_COARSE: "Tag is too coarse",
    FindingCode.VALUE_NOT_DEFINED: "Value is not a defined term",
    FindingCode.MIXED_SERIES: "Series mixes values",
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
    FindingCode.MIXED_SERIES: "{tag} differs within the series",
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
    FindingCode.MIXED_SERIES: (
        "The instances of this series carry values that cannot stand side by side."
    ),
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

_NEARLY_CERTAIN = 0.99


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


def correctable(finding: Finding) -> bool:
    """Whether there is a right value to write; a UID is not for people to make up."""
    return (
        finding.tag is not None
        and finding.code is not FindingCode.DUPLICATE_UID_CONFLICT
    )


def explain(finding: Finding) -> str:
    """Return what a finding means and rests on, in a few sentences."""
    evidence = finding.evidence
    parts = [
        _MEANINGS[finding.code],
        _belief(finding),
        _looked_at(evidence),
        _concerned(evidence),
        _listed("Reasons", evidence.get("reasons"), "reason", "instances"),
        _listed("Received values", evidence.get("values"), "value", "instances"),
        _sop_class(evidence),
        _listed("Clusters", _named(evidence.get("clusters")), "cluster", "weight"),
    ]
    return " ".join(part for part in parts if part)


def _belief(finding: Finding) -> str:
    if not finding.expected:
        return ""
    top = finding.expected[0]
    if finding.code is FindingCode.TAG_CONTRADICTS_IMAGE:
        return (
            f"{top.value} is the most probable one ({_percent(top.probability)}); the "
            f"received value is wrong with a probability of {_percent(finding.score)}."
        )
    if finding.code in {FindingCode.TAG_MISSING, FindingCode.TAG_TOO_COARSE}:
        return f"{top.value} has a probability of {_percent(top.probability)}."
    if finding.code is FindingCode.VALUE_NOT_DEFINED:
        return f"The nearest defined term is {top.value}."
    return ""


def _percent(probability: float) -> str:
    """Return a probability in words that never claims certainty."""
    return "over 99%" if probability > _NEARLY_CERTAIN else f"{probability:.0%}"


def _looked_at(evidence: Mapping[str, Any]) -> str:
    """Say on how many pictures the model's opinion rests."""
    total, known = evidence.get("instances"), evidence.get("known")
    if not isinstance(total, int) or not isinstance(known, int):
        return ""
    carriers = evidence.get("carriers")
    carried = f" {carriers} of them carry the tag." if carriers else ""
    return f"The model knows the kind of image of {known} of {_count(total)}.{carried}"


def _concerned(evidence: Mapping[str, Any]) -> str:
    """Say how many instances a rule found fault with."""
    total, concerned = evidence.get("of"), evidence.get("instances")
    if not isinstance(total, int) or not isinstance(concerned, int):
        return ""
    return f"It is so in {concerned} of {_count(total)}."


def _count(instances: int) -> str:
    return "1 instance" if instances == 1 else f"{instances} instances"


def _listed(heading: str, items: Any, name: str, number: str) -> str:
    if not isinstance(items, list) or not items:
        return ""
    listed = ", ".join(
        f"{item[name]} ({_number(item[number])})"
        for item in items
        if isinstance(item, dict) and item.keys() >= {name, number} and item[number]
    )
    return f"{heading}: {listed}." if listed else ""


def _named(clusters: Any) -> Any:
    """Call clusters by their names; bundles of old have only ids."""
    if not isinstance(clusters, list):
        return clusters
    return [
        {**c, "cluster": c.get("name") or c.get("cluster")}
        for c in clusters
        if isinstance(c, dict)
    ]


def _number(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, float) else str(value)


def _sop_class(evidence: Mapping[str, Any]) -> str:
    uid = evidence.get("sop_class_uid")
    return f"The SOP Class is {UID(uid).name}." if isinstance(uid, str) else ""
