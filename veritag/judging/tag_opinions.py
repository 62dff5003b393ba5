"""What the picture says of one tag that a series carries."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from veritag.bundles.bundle import TagCalibration
from veritag.findings import (
    ExpectedValue,
    Finding,
    FindingCode,
    Judgement,
    Severity,
)
from veritag.judging.evidence import Siblings, evidence_of
from veritag.judging.observed_tags import ObservedTag
from veritag.judging.picture_kinds import MIXED_SHARE
from veritag.judging.series_picture import SeriesPicture
from veritag.judging.tag_probabilities import calibrated, cautious, contradiction_score

SURE = 0.9
"""Probability of being wrong from which a contradiction is graded an ERROR.

Not where more descriptions and series of the study agree with the tag than with the
picture: of two that are equally probable, that is the one to doubt."""

_EXPECTED = 3

GRAVE = ("Modality", "BodyPartExamined", "PatientPosition", "ImageOrientationPatient")
"""Tags by which images are routed, hung and measured."""


@dataclass(frozen=True)
class TagOpinion:
    """What the picture says of one present tag."""

    seen: ObservedTag
    concept: str
    posterior: dict[str, float]
    calibration: TagCalibration
    picture: SeriesPicture
    siblings: Siblings

    @cached_property
    def score(self) -> float:
        """The probability, before calibration, that nothing fits what was received.

        It stays below the threshold where a fair share of the pictures is sure of the
        received value: a stack of chest and abdomen is rightly called CHEST.
        """
        tag = self.seen.tag
        fit = self.picture.tables.fit(tag)
        score = contradiction_score(self.posterior, self.concept, fit)
        threshold = self.calibration.threshold
        if threshold is None:
            return score
        shared = score >= threshold and (
            self.picture.share_sure(tag, self.concept) >= MIXED_SHARE
        )
        doubtful = np.array([shared or self.picture.strange])
        return float(cautious(np.array([score]), threshold, doubtful)[0])

    @property
    def probability(self) -> float:
        """The calibrated probability that the tag is wrong."""
        return float(calibrated(self.calibration, np.array(self.score)))

    @property
    def flagged(self) -> bool:
        """Whether the score reaches the threshold."""
        threshold = self.calibration.threshold
        return threshold is not None and self.score >= threshold

    def judgement(self) -> Judgement:
        """Return what is said of the tag, flagged or not."""
        return Judgement(
            self.seen.tag,
            self.seen.text,
            self.probability,
            shows=next(iter(self.posterior)),
            score=round(self.score, 6),
            flagged=self.flagged,
        )

    def finding(self) -> Finding:
        """Return the finding that the picture contradicts the tag."""
        tag = self.seen.tag
        probability = self.probability
        expected = _expected(self._unlike_observed())
        told = self._witnesses(expected)
        grave = tag in GRAVE and probability >= SURE and told.get("support", 0) >= 0
        return Finding(
            FindingCode.TAG_CONTRADICTS_IMAGE,
            Severity.ERROR if grave else Severity.WARNING,
            tag,
            self.seen.text,
            round(probability, 4),
            expected,
            {
                **self.picture.evidence(self.posterior),
                **told,
                "score": round(self.score, 4),
                "threshold": self.calibration.threshold,
            },
        )

    def _unlike_observed(self) -> dict[str, float]:
        fit = self.picture.tables.fit(self.seen.tag)
        return {
            value: p
            for value, p in self.posterior.items()
            if fit(value, self.concept) < 1
        }

    def _witnesses(self, expected: tuple[ExpectedValue, ...]) -> dict[str, Any]:
        tag, tables = self.seen.tag, self.picture.tables
        found = evidence_of(tables, tag, self.picture.verdicts, self.siblings)
        told = found.as_json()
        if expected and ("hints" in told or "study" in told):
            best = expected[0].value
            told["support"] = found.support(tables.fit(tag), self.concept, best)
        return told


def opinions_of(
    picture: SeriesPicture,
    observed: Mapping[str, ObservedTag],
    siblings: Siblings = (),
) -> dict[str, TagOpinion]:
    """Return the opinions on present tags, where the model may have one.

    It has none on a received value that it has met nothing of, or that it has not
    shown to be able to judge on pictures of the received Modality.
    """
    received = observed.get("Modality")
    modality = received.concept if received and received.carried else None
    opinions = {}
    for tag, seen in observed.items():
        if not (seen.carried and seen.concept):
            continue
        posterior = picture.posterior(tag)
        if posterior and _may_speak(picture, tag, seen.concept, modality):
            calibration = picture.manifest.calibration[tag]
            opinions[tag] = TagOpinion(
                seen, seen.concept, posterior, calibration, picture, siblings
            )
    return opinions


def _may_speak(
    picture: SeriesPicture, tag: str, concept: str, modality: str | None
) -> bool:
    # How a body part looks that was never met is not known: nothing says it is wrong.
    tables = picture.tables
    return tables.met(tag, concept) and tables.speaks(tag, concept, modality)


def _expected(posterior: Mapping[str, float]) -> tuple[ExpectedValue, ...]:
    best = sorted(posterior.items(), key=lambda item: (-item[1], item[0]))[:_EXPECTED]
    return tuple(ExpectedValue(value, round(p, 4)) for value, p in best)
