"""From the verdicts of a series to its findings.

Conservative by design: a tag is flagged only where the bundle's calibration has shown
that the model can tell, on most of the series' instances, and never because of a few
odd slices. Pure functions; nothing is read or stored.
"""

from collections.abc import Mapping, Sequence

from veritag.bundle import BundleManifest
from veritag.findings import (
    Finding,
    FindingCode,
    Judgement,
    SeriesJudgement,
    Severity,
    Verdict,
)
from veritag.observed import ObservedTag, observe
from veritag.opinions import opinions_of
from veritag.picture import SeriesPicture, picture_of, suggestion
from veritag.rules import rule_findings

_APPLIES_TO = {
    # A tag that its IOD does not have for other modalities is not missing there.
    "PatientPosition": ("CT", "MR"),
    "MRAcquisitionType": ("MR",),
    "ImageOrientationPatient": ("CT", "MR", "PT"),
}
_MAY_BE_MISSED = ("Modality", "BodyPartExamined", *_APPLIES_TO)


def judge_series(
    manifest: BundleManifest, verdicts: Sequence[Verdict], *, conflicts: int = 0
) -> SeriesJudgement:
    """Return all that is said of a series.

    Parameters
    ----------
    verdicts
        Of all its instances, made by the bundle of `manifest`.
    conflicts
        Instances whose SOP Instance UID was received with different bytes.
    """
    observed = observe(verdicts)
    findings = rule_findings(verdicts, observed, conflicts)
    picture = picture_of(manifest, verdicts)
    opinions = opinions_of(picture, observed)
    findings += picture.unknown_finding()
    for opinion in opinions.values():
        findings += opinion.findings()
    findings += _missing(picture, observed)
    judgements = tuple(
        Judgement(
            tag, seen.text, opinions[tag].probability if tag in opinions else None
        )
        for tag, seen in observed.items()
    )
    return SeriesJudgement(
        len(verdicts), picture.unknown_kind, tuple(findings), judgements
    )


def _missing(
    picture: SeriesPicture, observed: Mapping[str, ObservedTag]
) -> list[Finding]:
    modality = observed["Modality"].concept if "Modality" in observed else None
    found = []
    for tag in _MAY_BE_MISSED:
        seen = observed.get(tag)
        applies = modality in _APPLIES_TO.get(tag, (modality,))
        if applies and not (seen and seen.carried):
            found += _missing_tag(picture, tag, seen)
    return found


def _missing_tag(
    picture: SeriesPicture, tag: str, seen: ObservedTag | None
) -> list[Finding]:
    posterior = picture.posterior(tag) or {}
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
