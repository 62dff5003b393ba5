"""Mixed series: pictures of kinds that do not belong together."""

from collections.abc import Mapping, Sequence

from veritag.findings import Finding, FindingCode, Severity
from veritag.judging.observed_tags import ObservedTag
from veritag.judging.picture_kinds import (
    MIXED_LEAST,
    PictureKind,
    kinds_of,
    other_kinds,
)
from veritag.judging.series_picture import SeriesPicture

_PROJECTIONS = frozenset(("CR", "DX", "RG", "IO", "PX", "MG"))
"""Projection Modalities: a picture shows all of its body part, a scan passes several."""


def mixed_series(
    picture: SeriesPicture,
    observed: Mapping[str, ObservedTag],
    rules: Sequence[Finding],
) -> list[Finding]:
    """Return the finding that the pictures of a series are of several kinds.

    By Modality, and by body part where each picture shows one. Not where the tags
    differ as well: then a rule has found it already.
    """
    found_by_rule = {f.tag for f in rules if f.code is FindingCode.MIXED_SERIES}
    received = observed.get("Modality")
    tags = ["Modality"]
    if received and received.concept in _PROJECTIONS:
        tags.append("BodyPartExamined")
    for tag in tags:
        kinds = _kinds(picture, tag)
        if len(kinds) > 1 and tag not in found_by_rule:
            return [_finding(picture, tag, kinds)]
    return []


def _kinds(picture: SeriesPicture, tag: str) -> list[PictureKind]:
    tables = picture.tables
    if picture.calibration(tag) is None or tag not in tables.columns:
        return []
    # Fewer pictures than that cannot be two kinds, each with its least number.
    if picture.unfamiliar or len(picture.verdicts) < 2 * MIXED_LEAST:
        return []
    kinds = kinds_of(tag, tables.values(tag), picture.probabilities(tag))
    return [*kinds[:1], *other_kinds(kinds)]


def _finding(picture: SeriesPicture, tag: str, kinds: Sequence[PictureKind]) -> Finding:
    certainty = picture.probabilities(tag).max(axis=1)
    score = min(float(certainty[kind.members].mean()) for kind in kinds)
    evidence = {
        **picture.counts(),
        "by": tag,
        "kinds": [{"value": kind.name, "instances": kind.count} for kind in kinds],
    }
    return Finding(
        FindingCode.MIXED_SERIES,
        Severity.WARNING,
        None,
        None,
        round(score, 4),
        evidence=evidence,
    )
