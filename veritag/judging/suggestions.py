"""Values that the picture suggests where a tag is absent, or says hardly anything."""

from collections.abc import Mapping, Sequence

from veritag.findings import ExpectedValue, Finding, FindingCode, Severity
from veritag.judging.manifest_tables import COARSE
from veritag.judging.observed_tags import ObservedTag
from veritag.judging.series_picture import SeriesPicture
from veritag.terms.concepts import Relation, relation

CONFIDENT = 0.95
"""Probability that a value must have before it is suggested.

High, because it is not calibrated: of the suggestions that the starter bundle would make
at 0.8 on real series, nearly half are wrong.
"""

_APPLIES_TO = {
    # A tag that its IOD does not have for other modalities is not missing there.
    "PatientPosition": ("CT", "MR"),
    "MRAcquisitionType": ("MR",),
    "ImageOrientationPatient": ("CT", "MR", "PT"),
}
_MAY_BE_MISSED = ("Modality", "BodyPartExamined", *_APPLIES_TO)


def too_coarse(
    picture: SeriesPicture, observed: Mapping[str, ObservedTag]
) -> list[Finding]:
    """Return the findings on tags that name hardly more than "some image"."""
    found = []
    for tag, coarse in COARSE.items():
        seen = observed.get(tag)
        if seen and seen.carried and seen.concept in coarse:
            found += _too_coarse(picture, seen)
    return found


def _too_coarse(picture: SeriesPicture, seen: ObservedTag) -> list[Finding]:
    tag, concept = seen.tag, seen.concept or ""
    posterior = _posterior(picture, tag)
    finer = [
        value
        for value in posterior
        if relation(tag, value, concept) is Relation.NARROWER
        and value not in COARSE[tag]
    ]
    best = suggestion(tag, posterior, finer)
    if best is None:
        return []
    return [
        Finding(
            FindingCode.TAG_TOO_COARSE,
            Severity.INFO,
            tag,
            seen.text,
            best.probability,
            (best,),
            picture.evidence(posterior),
        )
    ]


def _posterior(picture: SeriesPicture, tag: str) -> dict[str, float]:
    return {} if picture.unfamiliar else picture.posterior(tag) or {}


def missing(
    picture: SeriesPicture, observed: Mapping[str, ObservedTag]
) -> list[Finding]:
    """Return the findings on tags that images like these carry."""
    modality = observed["Modality"].concept if "Modality" in observed else None
    found = []
    for tag in _MAY_BE_MISSED:
        seen = observed.get(tag)
        applies = modality in _APPLIES_TO.get(tag, (modality,))
        if applies and not (seen and seen.carried):
            found += _missing(picture, tag, seen)
    return found


def _missing(
    picture: SeriesPicture, tag: str, seen: ObservedTag | None
) -> list[Finding]:
    posterior = _posterior(picture, tag)
    best = suggestion(tag, posterior, list(posterior))
    # Modality is Type 1 (PS3.3 C.7.3.1): its absence is wrong whatever the picture is.
    always = tag == "Modality" and picture.inspected > 0
    if best is None and not always:
        return []
    evidence = picture.evidence(posterior) if posterior else picture.counts()
    evidence["carriers"] = seen.carriers if seen else 0
    return [
        Finding(
            FindingCode.TAG_MISSING,
            Severity.ERROR if always else Severity.INFO,
            tag,
            None,
            1.0 if always or best is None else best.probability,
            (best,) if best else (),
            evidence,
        )
    ]


def suggestion(
    tag: str, posterior: Mapping[str, float], candidates: Sequence[str]
) -> ExpectedValue | None:
    """Return the finest candidate of which the picture is confident, None without one.

    What is part of a candidate speaks for it: BRAIN and HEAD together make HEAD sure.
    """
    # Nobody is this sure without each value that has more than the rest: with the
    # most probable ones first, most candidates are out after one comparison.
    needed = [v for v, p in posterior.items() if p > 1 - CONFIDENT]
    sure = [
        (belief, -posterior[value], value)
        for value in candidates
        if all(_counts(tag, v, value) for v in needed)
        and (belief := _belief(tag, posterior, value)) >= CONFIDENT
    ]
    if not sure:
        return None
    belief, _, value = min(sure)
    return ExpectedValue(value, round(min(belief, 1.0), 4))


def _belief(tag: str, posterior: Mapping[str, float], value: str) -> float:
    return sum(p for v, p in posterior.items() if _counts(tag, v, value))


def _counts(tag: str, value: str, candidate: str) -> bool:
    found = relation(tag, value, candidate)
    if found is Relation.OVERLAPS:
        # CR and DX show the same: together they are sure of either.
        return tag == "Modality"
    return found in (Relation.EQUAL, Relation.NARROWER)
