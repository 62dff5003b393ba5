"""Held-out images under right and under wrong tags: what thresholds rest on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.cluster_model import Values
from model_training.calibration.images import EmbeddedImages
from model_training.calibration.injection import wrong_values
from model_training.calibration.numeric_tags import scores_of, slipped
from model_training.calibration.tag_model import TagModel
from veritag.dicom.tags import JUDGED_TAGS
from veritag.judging.tag_probabilities import Floats

FOUND = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of injected values above the thresholds at which received ones are counted."""
MOST_CONTAMINATED = 0.4
NUMBER = "number"
"""Stands for any value of a numeric tag, which has no concepts."""


@dataclass(frozen=True)
class HeldOutEvidence:
    """Held-out images under right and under wrong tags.

    Attributes
    ----------
    novelty
        Strangeness of the kind, see `model_training.calibration.novelty`, of shape (n,).
    usual
        EmbeddedImages of stations that train, of shape (n,).
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
    model: TagModel, images: EmbeddedImages, usual: NDArray[np.bool_], seed: int
) -> HeldOutEvidence:
    """Score held-out images under their own and under wrong values."""
    rng = np.random.default_rng(seed)
    values = dict(images.values)
    wrong = {tag: wrong_values(tag, values[tag], rng) for tag in JUDGED_TAGS}
    read = model.read(images.embedding)
    by_picture = HeldOutEvidence(
        model.novelty(images.embedding, images.statistics, read),
        usual,
        values,
        wrong,
        {tag: model.scores(read, tag, values[tag]) for tag in JUDGED_TAGS},
        {tag: model.scores(read, tag, wrong[tag]) for tag in JUDGED_TAGS},
    )
    return _with_numbers(by_picture, model, images, rng)


def _with_numbers(
    evidence: HeldOutEvidence,
    model: TagModel,
    images: EmbeddedImages,
    rng: np.random.Generator,
) -> HeldOutEvidence:
    """Return the evidence with numeric tags, right and under a mistaken unit."""
    weights = model.clusters.weights(images.embedding)
    for tag, ends in model.ranges.items():
        values = images.numbers[tag]
        carried = np.where(np.isfinite(values), NUMBER, "")
        evidence.received[tag] = evidence.injected[tag] = carried
        evidence.right[tag] = scores_of(weights, values, ends)
        evidence.wrong[tag] = scores_of(weights, slipped(values, rng), ends)
    return evidence


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


def without_contamination(evidence: Sequence[HeldOutEvidence]) -> list[HeldOutEvidence]:
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
