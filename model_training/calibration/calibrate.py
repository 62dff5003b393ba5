"""Thresholds that held-out images support: precision first, then recall.

Two kinds of held-out evidence: patients that did not train, and, where there are
several stations, all that some of them made. The second shows what a new scanner's
pictures do to the model; a threshold must hold on both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression

from model_training.calibration.evidence import HeldOutEvidence, without_contamination
from model_training.calibration.images import EmbeddedImages
from model_training.calibration.injection import ERROR_RATE
from model_training.calibration.novelty import NOTHING
from model_training.calibration.tag_model import TagModel
from model_training.calibration.wilson import CONFIDENCE
from veritag.bundles.manifest import TagCalibration
from veritag.dicom.tags import JUDGED_TAGS
from veritag.judging.tag_probabilities import JUST_BELOW, Floats, cautious

MOST_FALSE_ALARMS = 0.01
LEAST_PRECISION = 0.9
ENOUGH = 300
"""Right tags of new stations from which rare false alarms can be shown at all; fewer
can only speak by the precision."""
LEAST_FLAGGED = 10
"""Wrong values that must be found before a tag counts as shown."""
KNOWN = 0.99
"""Share of held-out images from known stations that are of a known kind."""
FAMILIAR = (0.99, 0.98, 0.95, 0.9, 0.8, 0.7)
"""Shares of them that may be familiar enough to be flagged."""
EVEN = 0.5
KNOTS = 24
RISING = 2e-4
"""Of probability, spread over all knots, so that flat steps keep the order of scores."""
SURE = 0.999


@dataclass(frozen=True)
class Calibration:
    """From where an image is of an unknown kind, and the tags' thresholds.

    Attributes
    ----------
    limit
        Strangeness up to which a kind is known.
    familiar
        Strangeness up to which tags are flagged; beyond it pictures are ranked by
        their scores all the same, see `veritag.judging.tag_probabilities.cautious`.
    quantile
        Share of held-out images of known stations that are as familiar; 1 where nobody
        was held out.
    """

    limit: float
    familiar: float
    quantile: float
    tags: dict[str, TagCalibration]


def calibrate(evidence: Sequence[HeldOutEvidence]) -> Calibration:
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


def uncalibrated(model: TagModel, images: EmbeddedImages) -> Calibration:
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


def _found(evidence: Sequence[HeldOutEvidence], familiar: float) -> float:
    """Return the wrong values found, as shares summed over tags and evidence."""
    return sum(
        float(alarming(e, e.wrong[t], familiar, threshold).sum())
        / max(1, int(e.carried(t).sum()))
        for t in JUDGED_TAGS
        if (threshold := choose_threshold(evidence, t, familiar)) is not None
        for e in evidence
    )


def choose_threshold(
    evidence: Sequence[HeldOutEvidence], tag: str, familiar: float
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
    """Tell where the upper Wilson bound of the false alarm rate is low enough.

    The Wilson interval inverts the score test: its upper end is at most p0 where the
    observed share lies z standard errors of p0 below p0. This needs no loop over
    candidates.
    """
    rate = MOST_FALSE_ALARMS
    error = norm.ppf(CONFIDENCE) * np.sqrt(carried * rate * (1 - rate))
    return np.asarray((carried > 0) & (alarms <= carried * rate - error))


def _known(evidence: HeldOutEvidence, scores: Floats, limit: float) -> Floats:
    kept: Floats = scores[evidence.known(limit) & ~np.isnan(scores)]
    return kept


def alarming(
    evidence: HeldOutEvidence, scores: Floats, familiar: float, threshold: float | None
) -> NDArray[np.bool_]:
    """Tell which familiar images have a score at the threshold, of shape (n,)."""
    if threshold is None:
        return np.zeros(len(scores), dtype=np.bool_)
    high: NDArray[np.bool_] = np.nan_to_num(scores, nan=-1.0) >= threshold
    return high & evidence.known(familiar)


def _tag_calibration(
    evidence: Sequence[HeldOutEvidence], tag: str, familiar: float, limit: float
) -> TagCalibration:
    threshold = choose_threshold(evidence, tag, familiar)
    if threshold is None:
        return TagCalibration(None)

    def effective(e: HeldOutEvidence, scores: Floats) -> Floats:
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
