"""Suggestions of values where a tag is absent or too coarse."""

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
    # The IODs of other Modalities do not have the tag: it is not missing there.
    "PatientPosition": ("CT", "MR"),
    "MRAcquisitionType": ("MR",),
    "ImageOrientationPatient": ("CT", "MR", "PT"),
}
_MAY_BE_MISSED = ("Modality", "BodyPartExamined", *_APPLIES_TO)


def too_coarse(
    picture: SeriesPicture, observed: Mapping[str, ObservedTag]
) -> list[Finding]:
    """Return the findings on tags that say hardly more than "some image"."""
    findings = []
    for tag, coarse in COARSE.items():
        value = observed.get(tag)
        if value and value.carried and value.concept in coarse:
            findings += _too_coarse(picture, value)
    return findings


def _too_coarse(picture: SeriesPicture, observed: ObservedTag) -> list[Finding]:
    tag, concept = observed.tag, observed.concept or ""
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
            observed.text,
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
    findings = []
    for tag in _MAY_BE_MISSED:
        value = observed.get(tag)
        applies = modality in _APPLIES_TO.get(tag, (modality,))
        if applies and not (value and value.carried):
            findings += _missing(picture, tag, value)
    return findings


def _missing(
    picture: SeriesPicture, tag: str, observed: ObservedTag | None
) -> list[Finding]:
    posterior = _posterior(picture, tag)
    best = suggestion(tag, posterior, list(posterior))
    # Modality is Type 1 (PS3.3 C.7.3.1): its absence is wrong, whatever is shown.
    always = tag == "Modality" and picture.inspected > 0
    if best is None and not always:
        return []
    evidence = picture.evidence(posterior) if posterior else picture.counts()
    evidence["carriers"] = observed.carriers if observed else 0
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
    """Return the finest candidate that is probable enough, None without one.

    The probability of its parts is added to it: BRAIN and HEAD together make HEAD sure.
    """
    # No candidate reaches CONFIDENT without each value that has more than what is left
    # over: this excludes most candidates after one comparison.
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
    """Return whether the probability of a value is added to that of a candidate."""
    related = relation(tag, value, candidate)
    if related is Relation.OVERLAPS:
        # CR and DX show the same: their probabilities together stand for either.
        return tag == "Modality"
    return related in (Relation.EQUAL, Relation.NARROWER)
