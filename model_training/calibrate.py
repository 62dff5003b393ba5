"""Thresholds that held-out images support: precision first, then recall.

Two kinds of held-out evidence: patients that did not train, and, where there are
several stations, all that some of them made. The second shows what a new scanner's
pictures do to the model; a threshold must hold on both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from model_training.cluster_model import Values
from model_training.familiarity import NOTHING
from model_training.images import Images
from model_training.injection import ERROR_RATE, wrong_values
from model_training.numeric import scores_of, slipped
from model_training.tag_model import TagModel
from veritag.bundle import TagCalibration
from veritag.profiles import JUST_BELOW, Floats, cautious
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
KNOWN = 0.99
"""Share of held-out images from known stations that are of a known kind."""
FAMILIAR = (0.99, 0.98, 0.95, 0.9, 0.8, 0.7)
"""Shares of them that may be familiar enough to be flagged."""
EVEN = 0.5
NUMBER = "number"
"""Stands for any value of a numeric tag, which has no concepts."""
FOUND = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of injected values above the thresholds at which received ones are counted."""
MOST_CONTAMINATED = 0.4
KNOTS = 24
RISING = 2e-4
"""Of probability, spread over all knots, so that flat steps keep the order of scores."""
SURE = 0.999


@dataclass(frozen=True)
class Evidence:
    """Held-out images under right and under wrong tags.

    Attributes
    ----------
    novelty
        Strangeness of the kind, see `model_training.familiarity`, of shape (n,).
    usual
        Images of stations that train, of shape (n,).
    received, injected
        Keyword to the right values and to a wrong one for each, of shape (n,), empty
        where there is none.
    right, wrong
        Keyword to the scores of these values, of shape (n,); NaN where there is no
        value or no opinion.
    """

    novelty: Floats
    usual: NDArray[np.bool_]
    received: Values
    injected: Values
    right: dict[str, Floats]
    wrong: dict[str, Floats]

    def carried(self, tag: str) -> NDArray[np.bool_]:
        """Tell which images carry the tag, of shape (n,)."""
        mask: NDArray[np.bool_] = self.received[tag] != ""
        return mask

    def known(self, limit: float) -> NDArray[np.bool_]:
        """Tell which images are of a known kind, of shape (n,)."""
        mask: NDArray[np.bool_] = self.novelty <= limit
        return mask


def gather(
    model: TagModel, images: Images, usual: NDArray[np.bool_], seed: int
) -> Evidence:
    """Score held-out images under their own and under wrong values."""
    rng = np.random.default_rng(seed)
    values = dict(images.values)
    wrong = {tag: wrong_values(tag, values[tag], rng) for tag in JUDGED_TAGS}
    read = model.read(images.embedding)
    by_picture = Evidence(
        model.novelty(images.embedding, images.statistics, read),
        usual,
        values,
        wrong,
        {tag: model.scores(read, tag, values[tag]) for tag in JUDGED_TAGS},
        {tag: model.scores(read, tag, wrong[tag]) for tag in JUDGED_TAGS},
    )
    return _with_numbers(by_picture, model, images, rng)


def _with_numbers(
    evidence: Evidence, model: TagModel, images: Images, rng: np.random.Generator
) -> Evidence:
    """Return the evidence with numeric tags, right and under a mistaken unit."""
    weights = model.clusters.weights(images.embedding)
    for tag, ends in model.ranges.items():
        values = images.numbers[tag]
        carried = np.where(np.isfinite(values), NUMBER, "")
        evidence.received[tag] = evidence.injected[tag] = carried
        evidence.right[tag] = scores_of(weights, values, ends)
        evidence.wrong[tag] = scores_of(weights, slipped(values, rng), ends)
    return evidence


@dataclass(frozen=True)
class Calibration:
    """From where an image is of an unknown kind, and the tags' thresholds.

    Attributes
    ----------
    limit
        Strangeness up to which a kind is known.
    familiar
        Strangeness up to which tags are flagged; beyond it pictures are ranked by
        their scores all the same, see `veritag.profiles.cautious`.
    quantile
        Share of held-out images of known stations that are as familiar; 1 where nobody
        was held out.
    """

    limit: float
    familiar: float
    quantile: float
    tags: dict[str, TagCalibration]


def contamination(right: Floats, wrong: Floats) -> float:
    """Return the share of received values that are wrong themselves, 0 to 1.

    Of received values a share c is wrong, and these score like injected ones: however
    high the threshold t, the share of received values above it is at least c times that
    of injected ones, so that c is at most the least of these ratios (Blanchard, Lee and
    Scott 2010, section 4).

    Parameters
    ----------
    right, wrong
        Scores of received and of injected values, NaN for none.
    """
    received, injected = right[~np.isnan(right)], wrong[~np.isnan(wrong)]
    if not (received.size and injected.size):
        return 0.0
    thresholds = np.quantile(injected, 1 - np.array(FOUND))
    above = np.array([(received >= t).mean() for t in thresholds])
    found = np.array([(injected >= t).mean() for t in thresholds])
    return float(min((above / found).min(), MOST_CONTAMINATED))


def without_contamination(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the evidence without the received values that are probably wrong.

    As many as the patients of known stations tell, those with the highest scores: an
    archive's tags are wrong here and there, and what rightly contradicts them is no
    false alarm. Too low an estimate costs recall, no precision.
    """
    shares = {
        tag: contamination(evidence[0].right[tag], evidence[0].wrong[tag])
        for tag in evidence[0].right
    }
    return [
        replace(
            e,
            right={tag: _trimmed(e.right[tag], share) for tag, share in shares.items()},
        )
        for e in evidence
    ]


def _trimmed(scores: Floats, share: float) -> Floats:
    """Return scores (n,) of which the highest are NaN, as many as the share says."""
    count = int(share * (~np.isnan(scores)).sum())
    kept = scores.copy()
    kept[np.argsort(-np.nan_to_num(scores, nan=-1.0))[:count]] = np.nan
    return kept


def calibrate(evidence: Sequence[Evidence]) -> Calibration:
    """Choose how familiar flagged images must be, and thresholds, to find most.

    Parameters
    ----------
    evidence
        First that of unseen patients, then, if any, that of new stations; the promises
        are kept on all of it.
    """
    evidence = without_contamination(evidence)
    usual = evidence[0].novelty[evidence[0].usual]
    usual = usual if usual.size else evidence[0].novelty
    # Pictures of nothing are never known, however many were held out.
    known = np.minimum(usual, NOTHING - 1)
    reach = {q: float(np.quantile(known, q)) for q in {KNOWN, *FAMILIAR}}
    # Of equals the wider one: it is tried first.
    quantile = max(FAMILIAR, key=lambda q: _found(evidence, reach[q]))
    limit, familiar = reach[KNOWN], min(reach[KNOWN], reach[quantile])
    tags = {
        tag: _tag_calibration(evidence, tag, familiar, limit) for tag in JUDGED_TAGS
    }
    return Calibration(limit, familiar, quantile, tags)


def uncalibrated(model: TagModel, images: Images) -> Calibration:
    """Return a calibration that never flags, where nobody was held out.

    Parameters
    ----------
    images
        Of the training part, all of which are known.
    """
    read = model.read(images.embedding)
    novelty = model.novelty(images.embedding, images.statistics, read)
    limit = float(np.minimum(novelty, NOTHING - 1).max())
    tags = {tag: TagCalibration(None) for tag in JUDGED_TAGS}
    return Calibration(limit, limit, 1.0, tags)


def _found(evidence: Sequence[Evidence], familiar: float) -> float:
    """Return the wrong values found, as shares summed over tags and evidence."""
    return sum(
        float(alarming(e, e.wrong[t], familiar, threshold).sum())
        / max(1, int(e.carried(t).sum()))
        for t in JUDGED_TAGS
        if (threshold := choose_threshold(evidence, t, familiar)) is not None
        for e in evidence
    )


def choose_threshold(
    evidence: Sequence[Evidence], tag: str, familiar: float
) -> float | None:
    """Return the least threshold that keeps the promises on all evidence, else None."""
    right = [_known(e, e.right[tag], familiar) for e in evidence]
    wrong = [_known(e, e.wrong[tag], familiar) for e in evidence]
    scores = np.unique(np.r_[EVEN, *(r[r >= EVEN] for r in right)])
    # A threshold just above some right value's score is as low as it can be.
    candidates = (scores + 1e-6)[scores + 1e-6 < 1]
    holds = np.ones(len(candidates), dtype=bool)
    for n, (e, r, w) in enumerate(zip(evidence, right, wrong, strict=True)):
        alarms = len(r) - np.searchsorted(np.sort(r), candidates)
        found = len(w) - np.searchsorted(np.sort(w), candidates)
        carried = int(e.carried(tag).sum())
        holds &= _precise(alarms, found)
        if n == 0 or carried >= ENOUGH:
            holds &= _rare(alarms, carried)
    kept = candidates[holds]
    if not kept.size or int((wrong[0] >= kept[0]).sum()) < LEAST_FLAGGED:
        return None
    return float(kept[0])


def _precise(alarms: NDArray[np.intp], found: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell where most flags would be right at the usual rate of errors."""
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


def _known(evidence: Evidence, scores: Floats, limit: float) -> Floats:
    kept: Floats = scores[evidence.known(limit) & ~np.isnan(scores)]
    return kept


def alarming(
    evidence: Evidence, scores: Floats, familiar: float, threshold: float | None
) -> NDArray[np.bool_]:
    """Tell which familiar images have a score at the threshold, of shape (n,)."""
    if threshold is None:
        return np.zeros(len(scores), dtype=np.bool_)
    high: NDArray[np.bool_] = np.nan_to_num(scores, nan=-1.0) >= threshold
    return high & evidence.known(familiar)


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
    evidence: Sequence[Evidence], tag: str, familiar: float, limit: float
) -> TagCalibration:
    threshold = choose_threshold(evidence, tag, familiar)
    if threshold is None:
        return TagCalibration(None)

    def effective(e: Evidence, scores: Floats) -> Floats:
        return _known(e, cautious(scores, threshold, e.novelty > familiar), limit)

    right = np.concatenate([effective(e, e.right[tag]) for e in evidence])
    wrong = np.concatenate([effective(e, e.wrong[tag]) for e in evidence])
    knots, probabilities = _probability_map(right, wrong, threshold)
    return TagCalibration(threshold, knots, probabilities)


def _probability_map(
    right: Floats, wrong: Floats, threshold: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return a rising map from score to the probability that the tag is wrong.

    It rises everywhere, be it by little, so that it keeps the order of the scores.
    """
    scores = np.r_[right, wrong]
    is_wrong = np.r_[np.zeros(len(right)), np.ones(len(wrong))]
    weights = np.r_[
        np.full(len(right), (1 - ERROR_RATE) / max(1, len(right))),
        np.full(len(wrong), ERROR_RATE / max(1, len(wrong))),
    ]
    rising = IsotonicRegression(y_min=1 - SURE, y_max=SURE, out_of_bounds="clip")
    rising.fit(scores, is_wrong, sample_weight=weights)
    # Where it steps, at the threshold, where what is strange ends, and near 1.
    near_one = 1 - np.geomspace(1.0, 1e-7, KNOTS)
    step = [threshold * JUST_BELOW, threshold]
    knots = np.unique(np.r_[0.0, near_one, step, rising.X_thresholds_, 1.0].round(9))
    probabilities = np.maximum.accumulate(rising.predict(knots))
    slope = np.linspace(0.0, RISING, len(knots))
    return (
        tuple(knots.tolist()),
        tuple(np.round(probabilities * (1 - RISING) + slope, 9).tolist()),
    )
