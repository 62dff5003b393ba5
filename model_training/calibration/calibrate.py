"""Choice of thresholds on held-out images: precision first, then recall.

Held-out images are of two kinds: those of patients that did not train, and, where there
are several stations, all images of some stations. The second shows how the model does on
a new scanner; a threshold must hold on both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from model_training.calibration.held_out_scores import (
    HeldOutScores,
    without_contamination,
)
from model_training.calibration.probability_map import fit_probability_map
from model_training.calibration.wilson import CONFIDENCE
from model_training.tag_model.embedded_images import EmbeddedImages
from model_training.tag_model.error_injection import ERROR_RATE
from model_training.tag_model.novelty import BLANK_NOVELTY
from model_training.tag_model.tag_model import TagModel
from veritag.bundles.manifest import TagCalibration
from veritag.dicom.tags import JUDGED_TAGS
from veritag.judging.tag_probabilities import Floats, cautious

MOST_FALSE_ALARMS = 0.01
"""Promise: largest share of right tags that are flagged."""
LEAST_PRECISION = 0.9
"""Promise: least share of flags that are right, at `ERROR_RATE`."""
ENOUGH = 300
"""Right tags of new stations needed to bound their false alarm rate: with fewer, even no
false alarm leaves the bound above 1 %, and only precision is required of them."""
LEAST_FOUND = 10
"""Wrong values above the threshold below which a tag is not flagged at all."""
KNOWN_SHARE = 0.99
"""Share of held-out images from known stations that count as a known kind."""
FLAGGING_SHARES = (0.99, 0.98, 0.95, 0.9, 0.8, 0.7)
"""Shares of them whose tags may be flagged; the best is chosen."""
LEAST_THRESHOLD = 0.5
"""A value that is more probably right than wrong is never flagged."""


@dataclass(frozen=True)
class Calibration:
    """Limits of raw novelty, and thresholds and probabilities of the tags.

    Attributes
    ----------
    known_limit
        Raw novelty above which an image is of an unknown kind.
    flagging_limit
        Raw novelty above which no tag is flagged; scores are then kept below the
        threshold, see `veritag.judging.tag_probabilities.cautious`.
    flagging_share
        Share of held-out images of known stations below `flagging_limit`; 1 without
        held-out images.
    tags
        Keyword to threshold and map from score to probability.
    """

    known_limit: float
    flagging_limit: float
    flagging_share: float
    tags: dict[str, TagCalibration]


def calibrate(scores: Sequence[HeldOutScores]) -> Calibration:
    """Choose novelty limits and thresholds that find most errors within the promises.

    Parameters
    ----------
    scores
        First those of unseen patients, then, if any, those of new stations.
    """
    scores = without_contamination(scores)
    usual = scores[0].raw_novelty[scores[0].of_known_station]
    usual = usual if usual.size else scores[0].raw_novelty
    # Blank images stay unknown even where some were held out.
    usual = np.minimum(usual, BLANK_NOVELTY - 1)
    limits = {q: float(np.quantile(usual, q)) for q in {KNOWN_SHARE, *FLAGGING_SHARES}}
    # max returns the first of equals, which is the widest.
    share = max(FLAGGING_SHARES, key=lambda q: _found(scores, limits[q]))
    known = limits[KNOWN_SHARE]
    flagging = min(known, limits[share])
    tags = {tag: _tag_calibration(scores, tag, flagging, known) for tag in JUDGED_TAGS}
    return Calibration(known, flagging, share, tags)


def uncalibrated(model: TagModel, images: EmbeddedImages) -> Calibration:
    """Return a calibration that never flags, for training without held-out images.

    Parameters
    ----------
    images
        The training part; all of it counts as known.
    """
    probabilities = model.probabilities(images.embedding)
    novelty = model.raw_novelty(images, probabilities)
    limit = float(np.minimum(novelty, BLANK_NOVELTY - 1).max())
    tags = {tag: TagCalibration(None) for tag in JUDGED_TAGS}
    return Calibration(limit, limit, 1.0, tags)


def _found(scores: Sequence[HeldOutScores], limit: float) -> float:
    """Return the shares of wrong values found, summed over tags and kinds of scores."""
    return sum(
        float(is_flagged(part, part.wrong[tag], limit, threshold).sum())
        / max(1, int(part.carries(tag).sum()))
        for tag in JUDGED_TAGS
        if (threshold := choose_threshold(scores, tag, limit)) is not None
        for part in scores
    )


def choose_threshold(
    scores: Sequence[HeldOutScores], tag: str, limit: float
) -> float | None:
    """Return the least threshold that keeps the promises on all scores, else None.

    Parameters
    ----------
    limit
        Raw novelty up to which images count.
    """
    right = [_within(part, part.right[tag], limit) for part in scores]
    wrong = [_within(part, part.wrong[tag], limit) for part in scores]
    # Counts of false alarms change only at right scores: no other threshold is better
    # than the one just above some right score.
    distinct = np.unique(
        np.r_[LEAST_THRESHOLD, *(r[r >= LEAST_THRESHOLD] for r in right)]
    )
    # A score equal to the threshold is flagged: just above excludes that right score.
    candidates = (distinct + 1e-6)[distinct + 1e-6 < 1]
    holds = np.ones(len(candidates), dtype=bool)
    for n, (part, r, w) in enumerate(zip(scores, right, wrong, strict=True)):
        alarms = len(r) - np.searchsorted(np.sort(r), candidates)
        found = len(w) - np.searchsorted(np.sort(w), candidates)
        carried = int(part.carries(tag).sum())
        holds &= _precise(alarms, found)
        # Few images of new stations cannot show that false alarms are rare.
        if n == 0 or carried >= ENOUGH:
            holds &= _rare(alarms, carried)
    kept = candidates[holds]
    if not kept.size or int((wrong[0] >= kept[0]).sum()) < LEAST_FOUND:
        return None
    return float(kept[0])


def _precise(alarms: NDArray[np.intp], found: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell where at least 90 % of flags are right if 5 % of the tags are wrong.

    Each image has one right and one injected value: the counts are weighed by how
    often either occurs among received tags.
    """
    true, false = ERROR_RATE * found, (1 - ERROR_RATE) * alarms
    result: NDArray[np.bool_] = true >= LEAST_PRECISION * (true + false)
    return result


def _rare(alarms: NDArray[np.intp], carried: int) -> NDArray[np.bool_]:
    """Tell where the upper one-sided Wilson bound of the false alarm rate is at most 1 %.

    The observed rate alone would pass by chance on few images. The Wilson interval
    inverts the score test: its upper end is at most p0 where the observed count lies z
    standard errors of p0 below n p0. This needs no loop over candidates.
    """
    rate = MOST_FALSE_ALARMS
    error = norm.ppf(CONFIDENCE) * np.sqrt(carried * rate * (1 - rate))
    return np.asarray((carried > 0) & (alarms <= carried * rate - error))


def _within(part: HeldOutScores, scores: Floats, limit: float) -> Floats:
    """Return the scores of images up to a limit of raw novelty, without NaN."""
    kept: Floats = scores[part.within(limit) & ~np.isnan(scores)]
    return kept


def is_flagged(
    part: HeldOutScores, scores: Floats, limit: float, threshold: float | None
) -> NDArray[np.bool_]:
    """Tell which images within the novelty limit reach the threshold, of shape (n,)."""
    if threshold is None:
        return np.zeros(len(scores), dtype=np.bool_)
    # NaN, no opinion, is below every threshold.
    flagged: NDArray[np.bool_] = (scores >= threshold) & part.within(limit)
    return flagged


def _tag_calibration(
    scores: Sequence[HeldOutScores], tag: str, flagging_limit: float, known_limit: float
) -> TagCalibration:
    threshold = choose_threshold(scores, tag, flagging_limit)
    if threshold is None:
        return TagCalibration(None)

    def as_judged(part: HeldOutScores, values: Floats) -> Floats:
        # Inference lowers the scores of novel images; probabilities must be those of
        # the lowered scores.
        novel = part.raw_novelty > flagging_limit
        return _within(part, cautious(values, threshold, novel), known_limit)

    right = np.concatenate([as_judged(part, part.right[tag]) for part in scores])
    wrong = np.concatenate([as_judged(part, part.wrong[tag]) for part in scores])
    knots, probabilities = fit_probability_map(right, wrong, threshold)
    return TagCalibration(threshold, knots, probabilities)
