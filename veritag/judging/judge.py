"""Judging of a series: from its verdicts to its findings.

Conservative by design: a tag is flagged only where the bundle's calibration has shown
that the model can tell, on most of the series' instances, and never because of a few
odd slices. Pure functions; nothing is read or stored.
"""

from collections.abc import Mapping, Sequence

from veritag.bundles.manifest import BundleManifest
from veritag.findings import (
    Finding,
    FindingCode,
    Judgement,
    SeriesJudgement,
    Verdict,
)
from veritag.judging.evidence import Siblings
from veritag.judging.mixed_series import mixed_series
from veritag.judging.numeric_ranges import range_opinions
from veritag.judging.observed_tags import ObservedTag, observe
from veritag.judging.opinion import Opinion
from veritag.judging.rules import rule_findings
from veritag.judging.series_picture import picture_of
from veritag.judging.suggestions import missing, too_coarse
from veritag.judging.tag_opinions import opinions_of


def judge_series(
    manifest: BundleManifest,
    verdicts: Sequence[Verdict],
    *,
    conflicts: int = 0,
    studies: int = 1,
    siblings: Siblings = (),
) -> SeriesJudgement:
    """Return the findings and judgements of a series.

    Parameters
    ----------
    verdicts
        Of all its instances, made by the bundle of `manifest`.
    conflicts
        Instances whose SOP Instance UID was received with different bytes.
    studies
        That the Series Instance UID was received in.
    siblings
        The tags of each other series of the study: listed as evidence, and a rank for
        findings that are otherwise equal.
    """
    observed = observe(verdicts)
    rules = rule_findings(verdicts, observed, conflicts, studies)
    picture = picture_of(manifest, verdicts)
    opinions: dict[str, Opinion] = {
        **opinions_of(picture, observed, siblings),
        **range_opinions(picture, observed),
    }
    flagged = {tag: opinion for tag, opinion in opinions.items() if opinion.flagged}
    required = {f.tag for f in rules if f.code is FindingCode.ATTRIBUTE_MISSING}
    # One finding for each fault: a flagged tag is not called too coarse as well, and a
    # required attribute is not called missing twice.
    findings = [
        *rules,
        *picture.unknown_finding(),
        *mixed_series(picture, observed, rules),
        *sorted((opinion.finding() for opinion in flagged.values()), key=gravest_first),
        *(f for f in too_coarse(picture, observed) if f.tag not in flagged),
        *(f for f in missing(picture, observed) if f.tag not in required),
    ]
    judgements = _judgements(observed, opinions)
    return SeriesJudgement(
        len(verdicts), picture.unknown_kind, tuple(findings), judgements
    )


def gravest_first(finding: Finding) -> tuple[int, float, int]:
    """Return the sorting key of findings: severity, score, then support."""
    support = finding.evidence.get("support", 0)
    return finding.severity.rank, -finding.score, -support


def _judgements(
    observed: Mapping[str, ObservedTag],
    opinions: Mapping[str, Opinion],
) -> tuple[Judgement, ...]:
    return tuple(
        opinions[tag].judgement()
        if tag in opinions
        else Judgement(tag, value.text, None)
        for tag, value in observed.items()
    )
