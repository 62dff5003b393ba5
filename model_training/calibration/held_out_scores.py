"""Scores of held-out images under their own and under wrong tag values.

Thresholds and probabilities are chosen on these scores alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_training.tag_model.cluster_model import Values
from model_training.tag_model.embedded_images import EmbeddedImages
from model_training.tag_model.error_injection import wrong_values
from model_training.tag_model.fit_numeric_ranges import with_unit_errors
from model_training.tag_model.tag_model import TagModel
from veritag.dicom.tags import JUDGED_TAGS
from veritag.judging.numeric_ranges import range_scores
from veritag.judging.tag_probabilities import Floats

INJECTED_SHARES = (0.4, 0.5, 0.6, 0.7, 0.8)
"""Shares of the injected values above the thresholds at which received ones are counted."""
MOST_CONTAMINATED = 0.4
"""Largest estimate: kinds that the model confuses look like wrong tags, too."""
NUMBER = "number"
"""Stands for any value of a numeric tag, which has no concepts."""


@dataclass(frozen=True)
class HeldOutScores:
    """Scores of n held-out images under received and under injected values.

    Attributes
    ----------
    raw_novelty
        See `model_training.tag_model.novelty`, of shape (n,).
    of_known_station
        Whether a training image is of the same station, of shape (n,).
    received, injected
        Keyword to the received values and to a wrong one for each, of shape (n,), empty
        where there is none.
    right, wrong
        Keyword to the scores of the received and of the injected values, of shape (n,);
        NaN where there is no value or no opinion.
    """

    raw_novelty: Floats
    of_known_station: NDArray[np.bool_]
    received: Values
    injected: Values
    right: dict[str, Floats]
    wrong: dict[str, Floats]

    def carries(self, tag: str) -> NDArray[np.bool_]:
        """Tell which images carry the tag, of shape (n,)."""
        mask: NDArray[np.bool_] = self.received[tag] != ""
        return mask

    def within(self, limit: float) -> NDArray[np.bool_]:
        """Tell which images have at most this raw novelty, of shape (n,)."""
        mask: NDArray[np.bool_] = self.raw_novelty <= limit
        return mask


def score_held_out(
    model: TagModel,
    images: EmbeddedImages,
    of_known_station: NDArray[np.bool_],
    seed: int,
) -> HeldOutScores:
    """Score held-out images under their own and under injected values."""
    rng = np.random.default_rng(seed)
    values = dict(images.values)
    wrong = {tag: wrong_values(tag, values[tag], rng) for tag in JUDGED_TAGS}
    probabilities = model.probabilities(images.embedding)
    scores = HeldOutScores(
        model.raw_novelty(images, probabilities),
        of_known_station,
        values,
        wrong,
        {tag: model.scores(probabilities, tag, values[tag]) for tag in JUDGED_TAGS},
        {tag: model.scores(probabilities, tag, wrong[tag]) for tag in JUDGED_TAGS},
    )
    return _with_numeric_tags(scores, model, images, rng)


def _with_numeric_tags(
    scores: HeldOutScores,
    model: TagModel,
    images: EmbeddedImages,
    rng: np.random.Generator,
) -> HeldOutScores:
    """Return the scores with those of numeric tags, wrong ones by an error of unit."""
    weights = model.clusters.weights(images.embedding)
    for tag, ends in model.ranges.items():
        values = images.numbers[tag]
        carried = np.where(np.isfinite(values), NUMBER, "")
        scores.received[tag] = scores.injected[tag] = carried
        scores.right[tag] = range_scores(values, weights, *ends)
        wrong = with_unit_errors(values, rng)
        scores.wrong[tag] = range_scores(wrong, weights, *ends)
    return scores


def contamination(right: Floats, wrong: Floats) -> float:
    """Return about the share of received values that are wrong, 0 to 1.

    A share c of the received values is wrong, and scores like the injected ones. Above
    any threshold t the share of received values is therefore at least c times that of
    injected ones, and at most the least of these ratios (Blanchard, Lee and Scott
    2010, section 4).

    Parameters
    ----------
    right, wrong
        Scores of received and of injected values, NaN for none.
    """
    received, injected = right[~np.isnan(right)], wrong[~np.isnan(wrong)]
    if not (received.size and injected.size):
        return 0.0
    # Few thresholds, all with many injected values above: in the far tail the ratio of
    # two small counts is noise, and the least of them would be too low.
    thresholds = np.quantile(injected, 1 - np.array(INJECTED_SHARES))
    received_above = np.array([(received >= t).mean() for t in thresholds])
    injected_above = np.array([(injected >= t).mean() for t in thresholds])
    return float(min((received_above / injected_above).min(), MOST_CONTAMINATED))


def without_contamination(scores: Sequence[HeldOutScores]) -> list[HeldOutScores]:
    """Return the scores without those of received values that are probably wrong.

    An archive holds some wrong tags, and a flag on one is no false alarm. As many of
    the highest scores become NaN as the images of unseen patients show; too low an
    estimate costs recall, not precision.
    """
    shares = {
        tag: contamination(scores[0].right[tag], scores[0].wrong[tag])
        for tag in scores[0].right
    }
    return [
        replace(
            part,
            right={
                tag: _trimmed(part.right[tag], share) for tag, share in shares.items()
            },
        )
        for part in scores
    ]


def _trimmed(scores: Floats, share: float) -> Floats:
    """Return scores (n,) with this share of them, the highest, replaced by NaN."""
    count = int(share * (~np.isnan(scores)).sum())
    trimmed = scores.copy()
    trimmed[np.argsort(-np.nan_to_num(scores, nan=-1.0))[:count]] = np.nan
    return trimmed
