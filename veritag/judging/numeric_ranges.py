"""Numeric tags against what images of the same kind usually carry.

n is the number of pictures, K that of clusters. Exposure spans orders of magnitude and
is wrong by factors (another unit, another device), so that distances are ratios.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from veritag.bundles.bundle import TagCalibration
from veritag.findings import Finding, FindingCode, Judgement, Severity
from veritag.judging.observed_tags import ObservedTag
from veritag.judging.series_picture import SeriesPicture
from veritag.judging.tag_probabilities import (
    LEAST_COVERED,
    Floats,
    calibrated,
    cautious,
)

NUMERIC = ("ExposureTime", "Exposure")

_NARROWEST = 0.1
"""Least width of a range, in natural logarithms: fixed settings still vary a little."""


def range_scores(values: Floats, weights: Floats, low: Floats, high: Floats) -> Floats:
    """Return how far values lie outside of their clusters' ranges, of shape (n,).

    0 within the range, 1 from a range's width beyond its end on, both on a logarithmic
    scale, weighed by cluster; NaN where the clusters have no ranges, or a value is none.

    Parameters
    ----------
    values
        Of shape (n,), positive; others are outside of every range.
    weights
        Of the clusters, of shape (n, K), rows summing to 1.
    """
    knows = np.isfinite(low) & np.isfinite(high) & (high > 0)
    tiny = np.finfo(np.float64).tiny
    bottom = np.log(np.maximum(low[knows], np.maximum(high[knows], tiny) * 1e-3))
    top = np.log(np.maximum(high[knows], tiny))
    logs = np.log(np.clip(values, tiny, np.finfo(np.float64).max))[:, None]
    beyond = np.maximum(np.maximum(bottom - logs, logs - top), 0)
    outside = np.minimum(beyond / np.maximum(top - bottom, _NARROWEST), 1)
    covered = weights[:, knows].sum(axis=1)
    mass = (weights[:, knows] * outside).sum(axis=1)
    scores: Floats = np.where(
        (covered >= LEAST_COVERED) & np.isfinite(values),
        mass / np.maximum(covered, LEAST_COVERED),
        np.nan,
    )
    return scores


@dataclass(frozen=True)
class RangeOpinion:
    """What the picture says of one number that a series carries.

    Attributes
    ----------
    usual
        The range of the heaviest cluster that has one.
    """

    seen: ObservedTag
    score: float
    usual: tuple[float, float]
    calibration: TagCalibration
    picture: SeriesPicture

    @property
    def probability(self) -> float:
        """The calibrated probability that the number is wrong."""
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
            score=round(self.score, 6),
            flagged=self.flagged,
        )

    def finding(self) -> Finding:
        """Return the finding that the picture contradicts the number."""
        evidence: dict[str, Any] = {
            **self.picture.counts(),
            "clusters": self.picture.top_clusters(),
            "range": list(self.usual),
            "score": round(self.score, 4),
            "threshold": self.calibration.threshold,
        }
        return Finding(
            FindingCode.TAG_CONTRADICTS_IMAGE,
            Severity.WARNING,
            self.seen.tag,
            self.seen.text,
            round(self.probability, 4),
            evidence=evidence,
        )


def range_opinions(
    picture: SeriesPicture, observed: Mapping[str, ObservedTag]
) -> dict[str, RangeOpinion]:
    """Return the opinions on numeric tags, where the model may have one."""
    opinions = {}
    for tag in NUMERIC:
        seen, calibration = observed.get(tag), picture.calibration(tag)
        if seen and seen.carried and calibration:
            found = _opinion(picture, seen, calibration)
            if found is not None:
                opinions[tag] = found
    return opinions


def _opinion(
    picture: SeriesPicture, seen: ObservedTag, calibration: TagCalibration
) -> RangeOpinion | None:
    low, high = picture.tables.ranges(seen.tag)
    carried = [v.tags.get(seen.tag) for v in picture.verdicts]
    values = np.array([v if isinstance(v, float | int) else np.nan for v in carried])
    scores = range_scores(values, picture.shares, low, high)
    told = scores[np.isfinite(scores)]
    if len(told) == 0:
        return None
    best = int(np.where(np.isfinite(low), picture.weights, -1).argmax())
    usual = (float(low[best]), float(high[best]))
    score = np.array([np.median(told)])
    if calibration.threshold is not None:
        strange = np.array([picture.strange])
        score = cautious(score, calibration.threshold, strange)
    return RangeOpinion(seen, float(score[0]), usual, calibration, picture)
