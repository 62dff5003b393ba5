"""Explanations of findings: titles and sentences for reviewers."""

from collections.abc import Mapping
from typing import Any

from pydicom.datadict import (
    dictionary_description,
    dictionary_VM,
    dictionary_VR,
    tag_for_keyword,
)
from pydicom.uid import UID

from services.review.finding_labels import LABELS, MEANINGS, PICTURES_DIFFER, TITLES
from veritag.findings import Finding, FindingCode
from veritag.records.review.station_groups import GroupKey

_NEARLY_CERTAIN = 0.99
_EXPECTED_BY_OTHER_ATTRIBUTES = frozenset(
    {FindingCode.ORIENTATIONS_DISAGREE, FindingCode.POSITION_CONTRADICTS_ORIENTATION}
)
_NOT_CORRECTABLE_VRS = frozenset({"UI", "SQ"})
_PATIENT_TAGS = frozenset({"PatientID", "PatientBirthDate"})
"""Corrected in the system that registers patients; decisions hold no patient data."""


def tag_name(keyword: str | None) -> str:
    """Return the standard's name of a Data Element (PS3.6 Chapter 6)."""
    if keyword is None:
        return "Series"
    tag = tag_for_keyword(keyword)
    return keyword if tag is None else dictionary_description(tag)


def label(code: FindingCode) -> str:
    """Return the label of a finding code."""
    return LABELS[code]


def title(finding: Finding) -> str:
    """Return the heading of a finding, with the name of its tag."""
    return _heading(finding.code, finding.tag)


def _heading(code: FindingCode, tag: str | None) -> str:
    template = LABELS[code] if tag is None else TITLES.get(code, LABELS[code])
    return template.format(tag=tag_name(tag))


def repeated(key: GroupKey) -> str:
    """Return the heading of the findings that a station repeats."""
    if key.code is FindingCode.TAG_CONTRADICTS_IMAGE and key.expected:
        return (
            f"{tag_name(key.tag)} {key.observed} where the images show {key.expected}"
        )
    heading = _heading(key.code, key.tag)
    return f"{heading}: {key.observed}" if key.observed and key.tag else heading


def station(key: GroupKey) -> str:
    """Return the name of a station: manufacturer and station name."""
    return " · ".join(part for part in (key.manufacturer, key.station_name) if part)


def correctable(finding: Finding) -> bool:
    """Return whether a reviewer can type the right value; never a UID."""
    tag = tag_for_keyword(finding.tag) if finding.tag else None
    if tag is None or finding.tag in _PATIENT_TAGS:
        return False
    vr, several = dictionary_VR(tag), dictionary_VM(tag) != "1"
    return vr not in _NOT_CORRECTABLE_VRS and not (vr == "CS" and several)


def explain(finding: Finding) -> str:
    """Return the meaning and the evidence of a finding, in a few sentences."""
    # Read with care: an earlier version may have recorded evidence of another form.
    evidence = finding.evidence
    parts = [
        _meaning(finding),
        _expectation(finding),
        _known_instances(evidence),
        _broken_instances(evidence),
        _listed("Reasons", evidence.get("reasons"), "reason", "instances"),
        _listed(
            "Rules", _without_full_stops(evidence.get("rules")), "rule", "instances"
        ),
        _studies(evidence),
        _value_count(evidence),
        _listed("Received values", evidence.get("values"), "value", "instances"),
        _sop_class(evidence),
        _listed("Kinds of pictures", evidence.get("kinds"), "value", "instances"),
        _usual_range(evidence),
        _hints(evidence.get("hints")),
        _listed("Other series of the study", evidence.get("study"), "value", "series"),
        _listed("Similar images", evidence.get("neighbors"), "value", "images"),
        _listed("Clusters", _named(evidence.get("clusters")), "cluster", "weight"),
    ]
    return " ".join(part for part in parts if part)


def _meaning(finding: Finding) -> str:
    if finding.code is FindingCode.MIXED_SERIES and finding.tag is None:
        return PICTURES_DIFFER
    return MEANINGS[finding.code]


def _expectation(finding: Finding) -> str:
    if not finding.expected:
        return ""
    top = finding.expected[0]
    if finding.code is FindingCode.TAG_CONTRADICTS_IMAGE:
        return (
            f"The most probable value is {top.value} ({_percent(top.probability)}); the "
            f"received value is wrong with a probability of {_percent(finding.score)}."
        )
    if finding.code in {FindingCode.TAG_MISSING, FindingCode.TAG_TOO_COARSE}:
        return f"{top.value} has a probability of {_percent(top.probability)}."
    if finding.code is FindingCode.VALUE_NOT_DEFINED:
        return f"The nearest defined term is {top.value}."
    if finding.code in _EXPECTED_BY_OTHER_ATTRIBUTES:
        return f"Other attributes give {top.value}."
    return ""


def _percent(probability: float) -> str:
    """Return a probability as a percentage, over 99% at most."""
    return "over 99%" if probability > _NEARLY_CERTAIN else f"{probability:.0%}"


def _known_instances(evidence: Mapping[str, Any]) -> str:
    """Return the number of pictures that the opinion of the model rests on."""
    total, known = evidence.get("instances"), evidence.get("known")
    if not isinstance(total, int) or not isinstance(known, int):
        return ""
    carriers, apart = evidence.get("carriers"), evidence.get("set_apart")
    carried = f" {carriers} of them have the tag." if carriers else ""
    others = f" {apart} set apart as unlike the others." if apart else ""
    known_kind = f"The model knows the kind of image of {known} of {_count(total)}."
    return known_kind + carried + others


def _broken_instances(evidence: Mapping[str, Any]) -> str:
    """Return the number of instances that break a rule."""
    total, concerned = evidence.get("of"), evidence.get("instances")
    if not isinstance(total, int) or not isinstance(concerned, int):
        return ""
    return f"This applies to {concerned} of {_count(total)}."


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


def _without_full_stops(rules: Any) -> Any:
    """Return rules without full stops, to be listed in one sentence."""
    if not isinstance(rules, list):
        return rules
    return [
        {**r, "rule": str(r["rule"]).rstrip(".")}
        for r in rules
        if isinstance(r, dict) and "rule" in r
    ]


def _studies(evidence: Mapping[str, Any]) -> str:
    studies = evidence.get("studies")
    if not isinstance(studies, int):
        return ""
    return f"The Series Instance UID was received in {studies} studies."


def _value_count(evidence: Mapping[str, Any]) -> str:
    values = evidence.get("different")
    return f"There are {values} different values." if isinstance(values, int) else ""


def _named(clusters: Any) -> Any:
    """Return clusters under their names, or under their ids where they have none."""
    if not isinstance(clusters, list):
        return clusters
    return [
        {**c, "cluster": c.get("name") or c.get("cluster")}
        for c in clusters
        if isinstance(c, dict)
    ]


def _usual_range(evidence: Mapping[str, Any]) -> str:
    """Return the range of values of similar images."""
    ends = evidence.get("range")
    if not isinstance(ends, list) or len(ends) != 2:  # noqa: PLR2004 -- low and high
        return ""
    return f"Similar images usually have {ends[0]:.4g} to {ends[1]:.4g}."


def _hints(hints: Any) -> str:
    """Return the values that descriptions and codes of the series name."""
    if not isinstance(hints, list) or not hints:
        return ""
    values = "; ".join(f"{tag_name(h['source'])}: {h['value']}" for h in hints)
    return f"Other elements name {values}."


def _number(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, float) else str(value)


def _sop_class(evidence: Mapping[str, Any]) -> str:
    uid = evidence.get("sop_class_uid")
    if isinstance(uid, str):
        return f"The SOP Class is {UID(uid).name}."
    several = evidence.get("sop_classes")
    if not isinstance(several, list):
        return ""
    named = [{**c, "name": UID(c["sop_class_uid"]).name} for c in several]
    return _listed("SOP Classes", named, "name", "instances")
