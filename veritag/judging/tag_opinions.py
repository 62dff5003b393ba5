"""Opinions on tags with concepts: the pictures against the received value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from veritag.findings import ExpectedValue, Finding, FindingCode, Severity
from veritag.judging.evidence import Siblings, evidence_of
from veritag.judging.observed_tags import ObservedTag
from veritag.judging.opinion import Opinion
from veritag.judging.picture_kinds import MIXED_SHARE
from veritag.judging.series_picture import SeriesPicture
from veritag.judging.tag_scores import TagScores, tag_scores

GRAVE_FROM = 0.9
"""Probability of being wrong from which a contradiction is graded an ERROR.

Not where more descriptions and series of the study agree with the tag than with the
picture: of two that are equally probable, that is the one to doubt."""

_EXPECTED = 3

GRAVE = ("Modality", "BodyPartExamined", "PatientPosition", "ImageOrientationPatient")
"""Tags by which images are routed, hung and measured."""


@dataclass(frozen=True)
class TagOpinion(Opinion):
    """The opinion on one present tag.

    Attributes
    ----------
    concept
        The received value.
    posterior
        Concept to its probability given the pictures, the most probable first.
    """

    concept: str
    posterior: dict[str, float]
    siblings: Siblings

    @property
    def shows(self) -> str:
        """The concept that the pictures show."""
        return next(iter(self.posterior))

    def finding(self) -> Finding:
        """Return the finding that the pictures contradict the tag."""
        tag, probability = self.observed.tag, self.probability
        expected = _most_probable(self._misfits())
        evidence = self._evidence(expected)
        grave = (
            tag in GRAVE
            and probability >= GRAVE_FROM
            and evidence.get("support", 0) >= 0
        )
        return Finding(
            FindingCode.TAG_CONTRADICTS_IMAGE,
            Severity.ERROR if grave else Severity.WARNING,
            tag,
            self.observed.text,
            round(probability, 4),
            expected,
            {
                **self.picture.evidence(self.posterior),
                **evidence,
                "score": round(self.score, 4),
                "threshold": self.scores.calibration.threshold,
            },
        )

    def _misfits(self) -> dict[str, float]:
        """Return the posterior of the concepts that the received value may not mean."""
        fit = self.picture.tables.fit(self.observed.tag)
        return {
            value: p
            for value, p in self.posterior.items()
            if fit(value, self.concept) < 1
        }

    def _evidence(self, expected: tuple[ExpectedValue, ...]) -> dict[str, Any]:
        tag, tables = self.observed.tag, self.picture.tables
        evidence = evidence_of(tables, tag, self.picture.verdicts, self.siblings)
        body = evidence.as_json()
        if expected and ("hints" in body or "study" in body):
            best = expected[0].value
            body["support"] = evidence.support(tables.fit(tag), self.concept, best)
        return body


def opinions_of(
    picture: SeriesPicture,
    observed: Mapping[str, ObservedTag],
    siblings: Siblings = (),
) -> dict[str, TagOpinion]:
    """Return the opinions on present tags, where the bundle has one."""
    received = observed.get("Modality")
    modality = received.concept if received and received.carried else None
    opinions = {}
    for tag, value in observed.items():
        if not (value.carried and value.concept):
            continue
        posterior = picture.posterior(tag)
        if posterior is None:
            continue
        scores = _scores(picture, tag, value.concept, modality)
        if not np.isnan(scores.score[0]):
            opinions[tag] = TagOpinion(
                value, picture, scores, value.concept, posterior, siblings
            )
    return opinions


def _scores(
    picture: SeriesPicture, tag: str, concept: str, modality: str | None
) -> TagScores:
    """Return the score of a received value, one row.

    It stays below the threshold where a fair share of the pictures is sure of the
    value: a stack of chest and abdomen is rightly called CHEST.
    """
    return tag_scores(
        picture.tables,
        tag,
        picture.pooled(tag)[None, :],
        [concept],
        [modality],
        unfamiliar=np.array([picture.unfamiliar]),
        supported=np.array([picture.share_sure(tag, concept) >= MIXED_SHARE]),
    )


def _most_probable(posterior: Mapping[str, float]) -> tuple[ExpectedValue, ...]:
    best = sorted(posterior.items(), key=lambda item: (-item[1], item[0]))[:_EXPECTED]
    return tuple(ExpectedValue(value, round(p, 4)) for value, p in best)
