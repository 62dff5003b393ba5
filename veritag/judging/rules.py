"""Findings by rule, without a model: each cites the part of DICOM that it checks."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from veritag.findings import (
    ExpectedValue,
    Finding,
    FindingCode,
    Severity,
    Verdict,
    VerdictStatus,
)
from veritag.judging.checks.series_checks import (
    ODD_SHARE,
    defect_findings,
    fact_findings,
)
from veritag.judging.observed_tags import ObservedTag
from veritag.terms.concepts import (
    Relation,
    is_defined,
    nearest_term,
    normalize,
    relation,
)
from veritag.terms.sop_classes import IMAGE_STORAGE, MODALITIES_OF

_REASONS_SHOWN = 3
_SAME_IN_A_SERIES = ("Modality", "BodyPartExamined", "PatientPosition")


def rule_findings(
    verdicts: Sequence[Verdict],
    observed: Mapping[str, ObservedTag],
    conflicts: int,
    studies: int = 1,
) -> list[Finding]:
    """Return the findings on a series that its tags and states alone allow.

    Parameters
    ----------
    conflicts
        Instances whose SOP Instance UID was received with different bytes.
    studies
        That the Series Instance UID was received in.
    """
    return [
        *_unreadable(verdicts),
        *_no_pixels(verdicts),
        *_duplicate_uids(verdicts, conflicts),
        *_modality_contradicts_sop_class(verdicts),
        *_not_defined(observed),
        *_mixed(observed),
        *fact_findings(verdicts, studies),
        *defect_findings(verdicts),
    ]


def _unreadable(verdicts: Sequence[Verdict]) -> list[Finding]:
    unreadable = [v for v in verdicts if v.status is VerdictStatus.UNREADABLE]
    if not unreadable:
        return []
    most = 2 * len(unreadable) >= len(verdicts)
    severity = Severity.ERROR if most else Severity.WARNING
    code = FindingCode.UNREADABLE
    return [_about_instances(code, severity, unreadable, len(verdicts))]


def _no_pixels(verdicts: Sequence[Verdict]) -> list[Finding]:
    """Only for SOP classes that are images: a report has no pixels."""
    without_pixels = [
        v
        for v in verdicts
        if v.status is VerdictStatus.NO_PIXELS and v.sop_class_uid in IMAGE_STORAGE
    ]
    if not without_pixels:
        return []
    code = FindingCode.NO_PIXELS
    return [_about_instances(code, Severity.INFO, without_pixels, len(verdicts))]


def _about_instances(
    code: FindingCode, severity: Severity, affected: Sequence[Verdict], of: int
) -> Finding:
    reasons = Counter(v.reason or "unknown" for v in affected).most_common(
        _REASONS_SHOWN
    )
    evidence = {
        "instances": len(affected),
        "of": of,
        "reasons": [{"reason": r, "instances": n} for r, n in reasons],
    }
    return Finding(code, severity, None, None, 1.0, (), evidence)


def _duplicate_uids(verdicts: Sequence[Verdict], conflicts: int) -> list[Finding]:
    """PS3.5 9.1: a UID identifies one object for ever."""
    if conflicts == 0:
        return []
    return [
        Finding(
            FindingCode.DUPLICATE_UID_CONFLICT,
            Severity.ERROR,
            "SOPInstanceUID",
            None,
            1.0,
            evidence={"instances": conflicts, "of": len(verdicts)},
        )
    ]


def _modality_contradicts_sop_class(verdicts: Sequence[Verdict]) -> list[Finding]:
    """One finding for each received value, whichever classes exclude it."""
    wrong: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in verdicts:
        value = verdict.tags.get("Modality")
        allowed = MODALITIES_OF.get(verdict.sop_class_uid)
        modality = normalize("Modality", value) if value is not None else None
        if allowed and modality and modality not in allowed:
            wrong[str(value)][verdict.sop_class_uid] += 1
    return [
        _contradiction(modality, classes, len(verdicts))
        for modality, classes in wrong.items()
        if classes.total() > ODD_SHARE * len(verdicts)
    ]


def _contradiction(modality: str, classes: Counter[str], of: int) -> Finding:
    ordered = sorted(classes.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [{"sop_class_uid": uid, "instances": n} for uid, n in ordered]
    return Finding(
        FindingCode.MODALITY_CONTRADICTS_SOP_CLASS,
        Severity.ERROR,
        "Modality",
        modality,
        1.0,
        _allowed_by(classes),
        {
            **(
                {"sop_class_uid": ordered[0][0]}
                if len(rows) == 1
                else {"sop_classes": rows}
            ),
            "instances": classes.total(),
            "of": of,
        },
    )


def _allowed_by(classes: Counter[str]) -> tuple[ExpectedValue, ...]:
    """Return the Modalities that the classes allow, weighed by their instances.

    Each class divides its instances evenly among its Modalities.
    """
    shares: dict[str, float] = defaultdict(float)
    for uid, count in classes.items():
        for term in MODALITIES_OF[uid]:
            shares[term] += count / classes.total() / len(MODALITIES_OF[uid])
    likely = [(term, round(share, 4)) for term, share in shares.items()]
    likely.sort(key=lambda pair: (-pair[1], pair[0]))
    return tuple(ExpectedValue(term, share) for term, share in likely)


def _not_defined(observed: Mapping[str, ObservedTag]) -> list[Finding]:
    """PS3.5 6.2: CS values of these tags come from lists of defined terms."""
    return [
        _undefined(tag)
        for tag in observed.values()
        if tag.carried and not is_defined(tag.tag, tag.value)
    ]


def _undefined(tag: ObservedTag) -> Finding:
    nearest = nearest_term(tag.tag, tag.value)
    # A spelling that is understood does little harm; an unknown value breaks routing and
    # hanging.
    understood = tag.concept is not None and tag.tag == "BodyPartExamined"
    return Finding(
        FindingCode.VALUE_NOT_DEFINED,
        Severity.INFO if understood else Severity.WARNING,
        tag.tag,
        tag.text,
        1.0,
        (ExpectedValue(nearest, 1.0),) if nearest else (),
        {"instances": tag.carriers, "of": tag.readable},
    )


def _mixed(observed: Mapping[str, ObservedTag]) -> list[Finding]:
    """PS3.3 C.7.3.1: Modality, body part and position belong to the series."""
    findings = []
    for name in _SAME_IN_A_SERIES:
        tag = observed.get(name)
        others = _disjoint_concepts(tag) if tag else []
        if tag and others:
            evidence = {
                "values": [{"value": c, "instances": n} for c, n in tag.concepts if c],
                "of": tag.readable,
            }
            code = FindingCode.MIXED_SERIES
            findings.append(
                Finding(code, Severity.WARNING, name, tag.text, 1.0, evidence=evidence)
            )
    return findings


def _disjoint_concepts(tag: ObservedTag) -> list[str]:
    """Return the concepts in a series that cannot be true beside its main one."""
    return [
        concept
        for concept, count in tag.concepts
        if concept
        and tag.concept
        and count > ODD_SHARE * tag.carriers
        and relation(tag.tag, concept, tag.concept) is Relation.DISJOINT
    ]
