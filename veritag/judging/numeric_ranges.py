"""Opinions on numeric tags: received numbers against the usual range of the kind.

n is the number of pictures, K that of clusters. Exposure spans orders of magnitude and
is wrong by factors (another unit, another device), so that distances are ratios.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from veritag.bundles.manifest import TagCalibration
from veritag.findings import Finding, FindingCode, Severity
from veritag.judging.observed_tags import ObservedTag
from veritag.judging.opinion import Opinion
from veritag.judging.series_picture import SeriesPicture
from veritag.judging.tag_probabilities import Floats, cautious
from veritag.judging.tag_scores import TagScores

NUMERIC = ("ExposureTime", "Exposure")

LEAST_COVERED = 0.5
"""Share of the weight that must lie on clusters which have a range."""

_NARROWEST = 0.1
"""Least width of a range, in natural logarithms: fixed settings still vary a little."""


def range_scores(values: Floats, weights: Floats, low: Floats, high: Floats) -> Floats:
    """Return how far values lie outside of their clusters' ranges, of shape (n,).

    0 within the range, 1 from a range's width beyond its end on, both on a logarithmic
    scale, weighed by cluster; NaN where clusters have no ranges or a value is no number.

    Parameters
    ----------
    values
        Of shape (n,), positive; others are outside of every range.
    weights
        Of the clusters, of shape (n, K), rows summing to 1.
    """
    knows = np.isfinite(low) & np.isfinite(high) & (high > 0)
    tiny = np.finfo(np.float64).tiny
    # A range that begins at 0 would be infinitely wide on a logarithmic scale.
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
class RangeOpinion(Opinion):
    """The opinion on one number that a series carries.

    Attributes
    ----------
    usual
        The range of the heaviest cluster that has one.
    """

    usual: tuple[float, float]

    def finding(self) -> Finding:
        """Return the finding that the pictures contradict the number."""
        evidence: dict[str, Any] = {
            **self.picture.counts(),
            "clusters": self.picture.top_clusters(),
            "range": list(self.usual),
            "score": round(self.score, 4),
            "threshold": self.scores.calibration.threshold,
        }
        return Finding(
            FindingCode.TAG_CONTRADICTS_IMAGE,
            Severity.WARNING,
            self.observed.tag,
            self.observed.text,
            round(self.probability, 4),
            evidence=evidence,
        )


def range_opinions(
    picture: SeriesPicture, observed: Mapping[str, ObservedTag]
) -> dict[str, RangeOpinion]:
    """Return the opinions on numeric tags, where the bundle has one."""
    opinions = {}
    for tag in NUMERIC:
        value, calibration = observed.get(tag), picture.calibration(tag)
        if value and value.carried and calibration:
            opinion = _opinion(picture, value, calibration)
            if opinion is not None:
                opinions[tag] = opinion
    return opinions


def _opinion(
    picture: SeriesPicture, observed: ObservedTag, calibration: TagCalibration
) -> RangeOpinion | None:
    low, high = picture.tables.ranges(observed.tag)
    carried = [v.tags.get(observed.tag) for v in picture.verdicts]
    values = np.array([v if isinstance(v, float | int) else np.nan for v in carried])
    scores = range_scores(values, picture.shares, low, high)
    scores = scores[np.isfinite(scores)]
    if len(scores) == 0 or calibration.threshold is None:
        return None
    # The median: a few images with another exposure do not decide.
    score = cautious(
        np.array([np.median(scores)]),
        calibration.threshold,
        np.array([picture.unfamiliar]),
    )
    heaviest = int(np.where(np.isfinite(low), picture.weights, -1).argmax())
    usual = (float(low[heaviest]), float(high[heaviest]))
    return RangeOpinion(observed, picture, TagScores(calibration, score), usual)
