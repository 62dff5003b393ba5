"""From the defects and facts of instances to findings of their series."""

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
"""Share of a series' instances up to which a deviation is an odd slice, no finding."""

_T = TypeVar("_T")

_RULES_SHOWN = 3

_SEVERITY = {
    FindingCode.SERIES_IN_SEVERAL_STUDIES: Severity.ERROR,
    FindingCode.ATTRIBUTE_MISSING: Severity.ERROR,
    FindingCode.ORIENTATION_INVALID: Severity.ERROR,
    FindingCode.ORIENTATIONS_DISAGREE: Severity.ERROR,
    FindingCode.POSITION_CONTRADICTS_ORIENTATION: Severity.ERROR,
    FindingCode.LATERALITIES_DISAGREE: Severity.ERROR,
    FindingCode.LATERALITY_MISSING: Severity.INFO,
}
"""Where sides, places or the object itself are lost; all others are WARNING."""

_LESS_HARM = frozenset(
    {"FrameOfReferenceUID", "ImageType", "ScanningSequence", "SequenceVariant"}
)
"""Type 1 attributes whose absence costs a filter or a reference line, not a place."""

_ALIKE = {
    # Fact: how grave it is when it differs.
    "PatientID": Severity.ERROR,
    "FrameOfReferenceUID": Severity.WARNING,
    "Laterality": Severity.WARNING,
}

_DIFFERENT = "different values"
"""Never their number: by what was observed a finding is known again."""


def defect_findings(verdicts: Sequence[Verdict]) -> list[Finding]:
    """Return a finding for each code and tag that more than an odd slice breaks."""
    groups: dict[tuple[FindingCode, str | None], list[Defect]] = defaultdict(list)
    hit: Counter[tuple[FindingCode, str | None]] = Counter()
    for verdict in verdicts:
        for defect in verdict.defects:
            groups[defect.code, defect.tag].append(defect)
        hit.update({(defect.code, defect.tag) for defect in verdict.defects})
    return [
        _finding(defects, hit[key], len(verdicts))
        for key, defects in groups.items()
        if hit[key] > ODD_SHARE * len(verdicts)
    ]


def _finding(defects: Sequence[Defect], instances: int, of: int) -> Finding:
    code, tag = defects[0].code, defects[0].tag
    (observed, expected), _ = _most_common((d.observed, d.expected) for d in defects)[0]
    rules = _most_common(d.rule for d in defects)[:_RULES_SHOWN]
    less = code is FindingCode.ATTRIBUTE_MISSING and tag in _LESS_HARM
    severity = _SEVERITY.get(code, Severity.WARNING)
    share = round(1 / len(expected), 4) if expected else 0.0
    return Finding(
        code,
        Severity.WARNING if less else severity,
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


def _most_common(things: Iterable[_T]) -> list[tuple[_T, int]]:
    """Return things by number; of equally many, in an order that never changes."""
    return sorted(Counter(things).items(), key=lambda pair: (-pair[1], repr(pair[0])))


def fact_findings(verdicts: Sequence[Verdict], studies: int) -> list[Finding]:
    """Return what instances of one series do not have in common and must.

    PS3.3 A.1.2.3: a series is of one study and so of one patient, and has one Frame of
    Reference at most; Laterality belongs to the series (C.7.3.1).

    Parameters
    ----------
    studies
        That the Series Instance UID was received in.
    """
    found = [*_several_studies(verdicts, studies)]
    for name, severity in _ALIKE.items():
        found += _differing(verdicts, name, severity)
    return found


def _several_studies(verdicts: Sequence[Verdict], studies: int) -> list[Finding]:
    """PS3.3 A.1.2.3, PS3.5 9.1: a series belongs to one study for ever."""
    counted = _values(verdicts, "StudyInstanceUID")
    studies = max(studies, len(counted))
    if studies < 2:  # noqa: PLR2004 -- one is as it should be
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
    counted = _values(verdicts, name)
    if len(counted) < 2:  # noqa: PLR2004 -- nothing to differ
        return []
    carriers, most = counted.total(), max(counted.values())
    # A slice of another patient is never just odd.
    allowed = 0.0 if name == "PatientID" else ODD_SHARE * carriers
    if carriers - most <= allowed:
        return []
    evidence = {"different": len(counted), "instances": carriers - most, "of": carriers}
    code = FindingCode.MIXED_SERIES
    return [Finding(code, severity, name, _DIFFERENT, 1.0, evidence=evidence)]


def _values(verdicts: Sequence[Verdict], name: str) -> Counter[str]:
    return Counter(v.facts[name] for v in verdicts if name in v.facts)
