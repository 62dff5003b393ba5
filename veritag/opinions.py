"""What the picture says of one tag that a series carries."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from veritag.bundle import BundleManifest, TagCalibration
from veritag.concepts import Relation, compatible, relation
from veritag.findings import ExpectedValue, Finding, FindingCode, Severity
from veritag.observed import ObservedTag
from veritag.picture import SeriesPicture, suggestion
from veritag.profiles import contradiction_score

SURE = 0.9
"""Probability of being wrong from which a contradiction is graded an ERROR."""

_EXPECTED = 3

_GRAVE = ("Modality", "BodyPartExamined", "PatientPosition", "ImageOrientationPatient")
"""Tags by which images are routed, hung and measured."""

_COARSE = {
    "BodyPartExamined": frozenset(
        ("EXTREMITY", "UPPERLIMB", "LOWERLIMB", "ARM", "LEG", "SPINE", "BACK")
    ),
    "Modality": frozenset(("OT", "RG")),
}
"""Values that name hardly more than "some image": others are as fine as they need be."""


@dataclass(frozen=True)
class Opinion:
    """What the picture says of one present tag."""

    seen: ObservedTag
    concept: str
    posterior: dict[str, float]
    calibration: TagCalibration
    picture: SeriesPicture

    @property
    def score(self) -> float:
        """The probability, before calibration, that nothing fits what was received."""
        tag = self.seen.tag
        return contradiction_score(
            self.posterior, self.concept, lambda a, b: compatible(tag, a, b)
        )

    @property
    def probability(self) -> float:
        """The calibrated probability that the tag is wrong."""
        knots = self.calibration.score_knots
        if not knots:
            return self.score
        calibrated = np.interp(self.score, knots, self.calibration.probability_knots)
        return float(np.clip(calibrated, 0, 1))

    def findings(self) -> list[Finding]:
        """Return a contradiction, else a value too coarse, else nothing."""
        threshold = self.calibration.threshold
        if threshold is not None and self.score >= threshold:
            return [self._contradiction(threshold)]
        return self._too_coarse()

    def _contradiction(self, threshold: float) -> Finding:
        tag = self.seen.tag
        probability = self.probability
        grave = tag in _GRAVE and probability >= SURE
        evidence = self.picture.evidence(self.posterior)
        evidence |= {"score": round(self.score, 4), "threshold": threshold}
        return Finding(
            FindingCode.TAG_CONTRADICTS_IMAGE,
            Severity.ERROR if grave else Severity.WARNING,
            tag,
            self.seen.text,
            round(probability, 4),
            _expected(self._unlike_observed()),
            evidence,
        )

    def _unlike_observed(self) -> dict[str, float]:
        tag = self.seen.tag
        return {
            value: p
            for value, p in self.posterior.items()
            if not compatible(tag, value, self.concept)
        }

    def _too_coarse(self) -> list[Finding]:
        tag = self.seen.tag
        if self.concept not in _COARSE.get(tag, ()):
            return []
        finer = [
            value
            for value in self.posterior
            if relation(tag, value, self.concept) is Relation.NARROWER
            and value not in _COARSE[tag]
        ]
        best = suggestion(tag, self.posterior, finer)
        if best is None:
            return []
        return [
            Finding(
                FindingCode.TAG_TOO_COARSE,
                Severity.INFO,
                tag,
                self.seen.text,
                best.probability,
                (best,),
                self.picture.evidence(self.posterior),
            )
        ]


def opinions_of(
    picture: SeriesPicture, observed: Mapping[str, ObservedTag]
) -> dict[str, Opinion]:
    """Return the opinions on present tags, where the model may have one."""
    opinions = {}
    for tag, seen in observed.items():
        posterior = picture.posterior(tag) if seen.carried and seen.concept else None
        if (
            posterior
            and seen.concept
            and ever_seen(picture.manifest, tag, seen.concept)
        ):
            calibration = picture.manifest.calibration[tag]
            opinions[tag] = Opinion(seen, seen.concept, posterior, calibration, picture)
    return opinions


def ever_seen(manifest: BundleManifest, tag: str, concept: str) -> bool:
    """Tell whether the bundle learnt of anything that the tag could mean.

    What a picture of a rare body part looks like is not known to a bundle that never
    met one: it must not say that the rare one is wrong. A value that fits nearly
    everything (OT, EXTREMITY) is no acquaintance.
    """
    return any(
        compatible(tag, value, concept)
        for cluster in manifest.clusters
        for value in cluster.profiles.get(tag, ())
        if value == concept or value not in _COARSE.get(tag, frozenset())
    )


def _expected(posterior: Mapping[str, float]) -> tuple[ExpectedValue, ...]:
    ranked = sorted(posterior.items(), key=lambda item: -item[1])[:_EXPECTED]
    return tuple(ExpectedValue(value, round(p, 4)) for value, p in ranked)
