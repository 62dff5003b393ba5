"""Thresholds that held-out images support: precision first, then recall.

Two kinds of held-out evidence: patients that did not train, and, where there are
several stations, all that some of them made. The second shows what a new scanner's
pictures do to the model; a threshold must hold on both.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from model_training.cluster_model import ClusterModel, Values
from model_training.injection import ERROR_RATE, wrong_values
from veritag.bundle import TagCalibration
from veritag.profiles import Floats
from veritag.tags import JUDGED_TAGS

MOST_FALSE_ALARMS = 0.01
LEAST_PRECISION = 0.9
ENOUGH = 300
"""Right tags of new stations from which rare false alarms can be shown at all; fewer
can only speak by the precision."""
LEAST_FLAGGED = 10
"""Wrong values that must be found before a tag counts as shown."""
ONE_SIDED = 1.645
TWO_SIDED = 1.96
RADIUS_QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.995)
ROUNDS = 2
EVEN = 0.5
BEFORE_NOTHING = 0.95
"""Of the distance of the nearest picture of nothing, up to where a kind is known."""
KNOTS = 24
SURE = 0.999

Radii: TypeAlias = dict[str, float]
"""Group of clusters to the distance from a center beyond which nothing is known."""


@dataclass(frozen=True)
class Evidence:
    """Held-out images under right and under wrong tags.

    Attributes
    ----------
    distance
        To the nearest center, of shape (n,).
    group
        Of the nearest cluster, see `ClusterModel.groups`, of shape (n,).
    right, wrong
        Keyword to scores of the right and of a wrong value, of shape (n,); NaN where
        there is no value or no opinion.
    carried
        Keyword to which images carry the tag, of shape (n,).
    """

    distance: Floats
    group: NDArray[np.str_]
    right: dict[str, Floats]
    wrong: dict[str, Floats]
    carried: dict[str, NDArray[np.bool_]]

    def known(self, radii: Radii) -> NDArray[np.bool_]:
        """Tell which images are of a known kind, of shape (n,)."""
        limits = np.array([radii.get(g, 0.0) for g in self.group.tolist()])
        return self.distance <= limits


def gather(
    model: ClusterModel, embedding: Floats, values: Values, seed: int
) -> Evidence:
    """Score held-out embeddings (n, D) under their own and under wrong values."""
    rng = np.random.default_rng(seed)
    wrong = {tag: wrong_values(tag, values[tag], rng) for tag in JUDGED_TAGS}
    distance, nearest = model.nearest(embedding)
    return Evidence(
        distance,
        model.groups()[nearest],
        {tag: model.scores(embedding, tag, values[tag]) for tag in JUDGED_TAGS},
        {tag: model.scores(embedding, tag, wrong[tag]) for tag in JUDGED_TAGS},
        {tag: values[tag] != "" for tag in JUDGED_TAGS},
    )


@dataclass(frozen=True)
class Calibration:
    """From where an image is of an unknown kind, per group, and the tags' thresholds."""

    radii: Radii
    quantiles: Radii
    tags: dict[str, TagCalibration]


def calibrate(evidence: Sequence[Evidence]) -> Calibration:
    """Choose radii and thresholds that find most and keep the promises on all evidence.

    From every common radius, each group's is moved by itself to where most wrong
    values are found; the best end counts.

    Parameters
    ----------
    evidence
        First that of unseen patients, then, if any, that of new stations.
    """
    radius = {q: float(np.quantile(evidence[0].distance, q)) for q in RADIUS_QUANTILES}
    groups = sorted({g for e in evidence for g in e.group.tolist()})

    def found(quantiles: Mapping[str, float]) -> float:
        return _found(evidence, {g: radius[q] for g, q in quantiles.items()})

    # Of equals the wider radii, which know more kinds: they are tried first.
    wide_first = RADIUS_QUANTILES[::-1]
    tried = [_ascend(found, dict.fromkeys(groups, q), wide_first) for q in wide_first]
    chosen = max(tried, key=found)
    radii = {g: radius[q] for g, q in chosen.items()}
    thresholds = {t: choose_threshold(evidence, t, radii) for t in JUDGED_TAGS}
    tags = {t: _tag_calibration(evidence, t, radii, thresholds[t]) for t in JUDGED_TAGS}
    return Calibration(radii, chosen, tags)


def cluster_limits(
    radii: Radii, model: ClusterModel, own: Floats, nothing: Floats
) -> Floats:
    """Return the distance up to which each cluster knows an image, of shape (K,).

    It is its group's radius, but ends before the nearest picture of nothing, unless
    that would leave out more than half of the images that the cluster has learnt from.

    Parameters
    ----------
    own, nothing
        Embeddings of the training images and of such pictures, of shape (N, D), (n, D).
    """
    radius = np.array([radii.get(g, 0.0) for g in model.groups().tolist()])
    limits = radius.copy()
    distance, nearest = model.nearest(nothing)
    np.minimum.at(limits, nearest, distance * BEFORE_NOTHING)
    distance, nearest = model.nearest(own)
    for k in np.unique(nearest):
        half = float(np.median(distance[nearest == k]))
        limits[k] = min(radius[k], max(limits[k], half))
    return limits


def _ascend(
    found: Callable[[Mapping[str, float]], float],
    start: dict[str, float],
    quantiles: Sequence[float],
) -> dict[str, float]:
    """Move one group's quantile after the other to where most is found."""
    chosen = dict(start)
    for group in [*start] * ROUNDS:
        choices = [{**chosen, group: q} for q in (chosen[group], *quantiles)]
        chosen = max(choices, key=found)
    return chosen


def uncalibrated(model: ClusterModel, embedding: Floats) -> Calibration:
    """Return a calibration that never flags, where nobody was held out.

    Parameters
    ----------
    embedding
        Of the training images, of shape (N, D).
    """
    quantile = RADIUS_QUANTILES[-1]
    radius = float(np.quantile(model.nearest(embedding)[0], quantile))
    groups = sorted(set(model.groups().tolist()))
    return Calibration(
        dict.fromkeys(groups, radius),
        dict.fromkeys(groups, quantile),
        {tag: TagCalibration(None) for tag in JUDGED_TAGS},
    )


def _found(evidence: Sequence[Evidence], radii: Radii) -> float:
    """Return the wrong values found, as shares summed over tags and evidence."""
    return sum(
        flagged(e, e.wrong[t], radii, threshold) / max(1, int(e.carried[t].sum()))
        for t in JUDGED_TAGS
        if (threshold := choose_threshold(evidence, t, radii)) is not None
        for e in evidence
    )


def choose_threshold(
    evidence: Sequence[Evidence], tag: str, radii: Radii
) -> float | None:
    """Return the least threshold that keeps the promises on all evidence, else None."""
    right = [_known(e, e.right[tag], radii) for e in evidence]
    wrong = [_known(e, e.wrong[tag], radii) for e in evidence]
    scores = np.unique(np.r_[EVEN, *(r[r >= EVEN] for r in right)])
    # A threshold just above some right value's score is as low as it can be.
    candidates = (scores + 1e-6)[scores + 1e-6 < 1]
    holds = np.ones(len(candidates), dtype=bool)
    for n, (e, r, w) in enumerate(zip(evidence, right, wrong, strict=True)):
        alarms = len(r) - np.searchsorted(np.sort(r), candidates)
        found = len(w) - np.searchsorted(np.sort(w), candidates)
        carried = int(e.carried[tag].sum())
        holds &= _precise(alarms, found)
        if n == 0 or carried >= ENOUGH:
            holds &= _rare(alarms, carried)
    kept = candidates[holds]
    if not kept.size or int((wrong[0] >= kept[0]).sum()) < LEAST_FLAGGED:
        return None
    return float(kept[0])


def _precise(alarms: NDArray[np.intp], found: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell where most flags would be right, if every seventh tag were wrong."""
    true, false = ERROR_RATE * found, (1 - ERROR_RATE) * alarms
    result: NDArray[np.bool_] = true >= LEAST_PRECISION * (true + false)
    return result


def _rare(alarms: NDArray[np.intp], carried: int) -> NDArray[np.bool_]:
    """Tell where false alarms are rare for certain."""
    if carried == 0:
        return np.zeros(len(alarms), dtype=np.bool_)
    share, z = alarms / carried, ONE_SIDED
    half = z * np.sqrt(share * (1 - share) / carried + (z / (2 * carried)) ** 2)
    upper = (share + z * z / (2 * carried) + half) / (1 + z * z / carried)
    return np.asarray(upper <= MOST_FALSE_ALARMS)


def _known(evidence: Evidence, scores: Floats, radii: Radii) -> Floats:
    kept: Floats = scores[evidence.known(radii) & ~np.isnan(scores)]
    return kept


def flagged(
    evidence: Evidence, scores: Floats, radii: Radii, threshold: float | None
) -> int:
    """Return how many scores of images of a known kind reach the threshold."""
    if threshold is None:
        return 0
    return int((_known(evidence, scores, radii) >= threshold).sum())


def wilson(hits: int, n: int, z: float = TWO_SIDED) -> tuple[float, float]:
    """Return the Wilson score interval of a share; (0, 1) of nothing."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _tag_calibration(
    evidence: Sequence[Evidence], tag: str, radii: Radii, threshold: float | None
) -> TagCalibration:
    right = [_known(e, e.right[tag], radii) for e in evidence]
    wrong = [_known(e, e.wrong[tag], radii) for e in evidence]
    if threshold is None:
        return TagCalibration(None)
    right, wrong = [r for r in right if len(r)], [w for w in wrong if len(w)]
    knots, probabilities = _probability_map(right, wrong)
    return TagCalibration(threshold, knots, probabilities)


def _probability_map(
    right: Sequence[Floats], wrong: Sequence[Floats]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return a rising map from score to the probability that the tag is wrong.

    Every kind of evidence counts alike, whatever its number of images.
    """
    scores = np.concatenate([*right, *wrong])
    is_wrong = np.concatenate(
        [np.zeros(sum(map(len, right))), np.ones(sum(map(len, wrong)))]
    )
    weights = np.concatenate(
        [np.full(len(r), (1 - ERROR_RATE) / len(r)) for r in right]
        + [np.full(len(w), ERROR_RATE / len(w)) for w in wrong]
    )
    rising = IsotonicRegression(y_min=1 - SURE, y_max=SURE, out_of_bounds="clip")
    rising.fit(scores, is_wrong, sample_weight=weights)
    # Dense near 1, where the thresholds lie.
    knots = np.unique(np.r_[0.0, 1 - np.geomspace(1.0, 1e-4, KNOTS), 1.0])
    probabilities = np.maximum.accumulate(rising.predict(knots))
    return (
        tuple(round(float(k), 6) for k in knots),
        tuple(round(float(p), 6) for p in probabilities),
    )
