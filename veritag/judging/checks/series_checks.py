"""Findings of a series from the defects and facts of its instances."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from veritag.findings import (
    Defect,
    ExpectedValue,
    Finding,
    FindingCode,
    Severity,
    Verdict,
)

ODD_SHARE = 0.05
"""Share of a series' instances up to which a deviation is ignored as an odd slice."""

_T = TypeVar("_T")

_MAX_RULES = 3

_SEVERITY = {
    FindingCode.SERIES_IN_SEVERAL_STUDIES: Severity.ERROR,
    FindingCode.ATTRIBUTE_MISSING: Severity.ERROR,
    FindingCode.ORIENTATION_INVALID: Severity.ERROR,
    FindingCode.ORIENTATIONS_DISAGREE: Severity.ERROR,
    FindingCode.POSITION_CONTRADICTS_ORIENTATION: Severity.ERROR,
    FindingCode.LATERALITIES_DISAGREE: Severity.ERROR,
    FindingCode.LATERALITY_MISSING: Severity.INFO,
}
"""ERROR where side, place or the object itself is lost; codes left out are WARNING."""

_LESS_HARMFUL = frozenset(
    {"FrameOfReferenceUID", "ImageType", "ScanningSequence", "SequenceVariant"}
)
"""Type 1 attributes whose absence disables a filter or reference line only."""

_EQUAL_FACTS = {
    # Fact that must be equal in a series, and the severity if it is not.
    "PatientID": Severity.ERROR,
    "FrameOfReferenceUID": Severity.WARNING,
    "Laterality": Severity.WARNING,
}

_DIFFERENT = "different values"
"""Without their number, because the observed text is part of a finding's identity."""


def defect_findings(verdicts: Sequence[Verdict]) -> list[Finding]:
    """Return a finding for each code and tag with defects in more than odd slices."""
    groups: dict[tuple[FindingCode, str | None], list[Defect]] = defaultdict(list)
    counts: Counter[tuple[FindingCode, str | None]] = Counter()
    for verdict in verdicts:
        for defect in verdict.defects:
            groups[defect.code, defect.tag].append(defect)
        counts.update({(defect.code, defect.tag) for defect in verdict.defects})
    return [
        _finding(defects, counts[key], len(verdicts))
        for key, defects in groups.items()
        if counts[key] > ODD_SHARE * len(verdicts)
    ]


def _finding(defects: Sequence[Defect], instances: int, of: int) -> Finding:
    code, tag = defects[0].code, defects[0].tag
    (observed, expected), _ = _most_common((d.observed, d.expected) for d in defects)[0]
    rules = _most_common(d.rule for d in defects)[:_MAX_RULES]
    less_harmful = code is FindingCode.ATTRIBUTE_MISSING and tag in _LESS_HARMFUL
    severity = _SEVERITY.get(code, Severity.WARNING)
    share = round(1 / len(expected), 4) if expected else 0.0
    return Finding(
        code,
        Severity.WARNING if less_harmful else severity,
        tag,
        observed,
        1.0,
        tuple(ExpectedValue(value, share) for value in expected),
        {
            "instances": instances,
            "of": of,
            "rules": [{"rule": rule, "instances": n} for rule, n in rules],
        },
    )


def _most_common(values: Iterable[_T]) -> list[tuple[_T, int]]:
    """Return values by descending count; ties in a stable order."""
    return sorted(Counter(values).items(), key=lambda pair: (-pair[1], repr(pair[0])))


def fact_findings(verdicts: Sequence[Verdict], studies: int) -> list[Finding]:
    """Return findings of facts that must be equal in a series but are not.

    PS3.3 A.1.2.3: a series belongs to one study, hence one patient, and has at most one
    Frame of Reference. Laterality is an attribute of the series (C.7.3.1).

    Parameters
    ----------
    studies
        Number of studies in which the Series Instance UID was received.
    """
    findings = [*_several_studies(verdicts, studies)]
    for name, severity in _EQUAL_FACTS.items():
        findings += _differing(verdicts, name, severity)
    return findings


def _several_studies(verdicts: Sequence[Verdict], studies: int) -> list[Finding]:
    """PS3.3 A.1.2.3, PS3.5 9.1: a series belongs to one study."""
    uids = _value_counts(verdicts, "StudyInstanceUID")
    studies = max(studies, len(uids))
    if studies < 2:  # noqa: PLR2004 -- one is correct
        return []
    return [
        Finding(
            FindingCode.SERIES_IN_SEVERAL_STUDIES,
            Severity.ERROR,
            "SeriesInstanceUID",
            None,
            1.0,
            evidence={"studies": studies, "of": len(verdicts)},
        )
    ]


def _differing(
    verdicts: Sequence[Verdict], name: str, severity: Severity
) -> list[Finding]:
    counts = _value_counts(verdicts, name)
    if len(counts) < 2:  # noqa: PLR2004 -- all are equal
        return []
    total = counts.total()
    deviating = total - max(counts.values())
    # A single slice of another patient is an error, not an odd slice.
    allowed = 0.0 if name == "PatientID" else ODD_SHARE * total
    if deviating <= allowed:
        return []
    evidence = {"different": len(counts), "instances": deviating, "of": total}
    code = FindingCode.MIXED_SERIES
    return [Finding(code, severity, name, _DIFFERENT, 1.0, evidence=evidence)]


def _value_counts(verdicts: Sequence[Verdict], name: str) -> Counter[str]:
    return Counter(v.facts[name] for v in verdicts if name in v.facts)
