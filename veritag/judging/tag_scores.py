"""Scores of received tag values: who is judged, how strongly, and what is flagged.

The judging of series and the evaluation of bundles share these functions: a series is
one row, a set of images is many. n is the number of rows, V that of a tag's concepts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from veritag.bundles.manifest import BundleManifest, TagCalibration
from veritag.judging.manifest_tables import ManifestTables
from veritag.judging.tag_probabilities import (
    Floats,
    calibrated,
    cautious,
    contradiction_scores,
)

Mask = NDArray[np.bool_]


def is_known_kind(novelty: Floats) -> Mask:
    """Return which pictures are of a kind that the bundle knows; NaN is unknown."""
    known: Mask = novelty <= 1
    return known


def is_unfamiliar(manifest: BundleManifest, novelty: Floats) -> Mask:
    """Return which pictures of a known kind are too unusual to be flagged."""
    unfamiliar: Mask = novelty > manifest.familiar
    return unfamiliar


@dataclass(frozen=True)
class TagScores:
    """Scores of n received values of one tag.

    Attributes
    ----------
    score
        Probability, before calibration, that the value is wrong; NaN without an
        opinion; of shape (n,).
    """

    calibration: TagCalibration
    score: Floats

    @cached_property
    def probability(self) -> Floats:
        """The calibrated probability that the value is wrong, of shape (n,)."""
        return calibrated(self.calibration, self.score)

    @cached_property
    def flagged(self) -> Mask:
        """Whether the score reaches the threshold, of shape (n,)."""
        threshold = self.calibration.threshold
        if threshold is None:
            return np.zeros(self.score.shape, dtype=bool)
        flagged: Mask = self.score >= threshold  # never true of NaN
        return flagged


def tag_scores(
    tables: ManifestTables,
    tag: str,
    probabilities: Floats,
    received: Sequence[str | None],
    modalities: Sequence[str | None],
    *,
    unfamiliar: Mask,
    supported: Mask | None = None,
) -> TagScores:
    """Return the scores of received values, NaN where the bundle has no opinion.

    It has none on a value of which it has learnt nothing, or that it has not been shown
    to judge on pictures of the received Modality.

    Parameters
    ----------
    probabilities
        Of the tag's concepts given the picture, of shape (n, V).
    received
        Values as concepts, None or empty for none, of length n.
    modalities
        The received Modality of each row as a concept, of length n.
    unfamiliar
        Rows that are ranked and never flagged, of shape (n,).
    supported
        Rows of which a fair share of the pictures is sure of the received value: never
        flagged either, of shape (n,).
    """
    calibration = tables.manifest.calibration.get(tag, TagCalibration(None))
    if calibration.threshold is None or tag not in tables.columns:
        return TagScores(calibration, np.full(len(received), np.nan))
    judged = [
        value if value and tables.may_judge(tag, value, modality or None) else None
        for value, modality in zip(received, modalities, strict=True)
    ]
    scores = contradiction_scores(
        probabilities, tables.values(tag), judged, tables.fit(tag)
    )
    if supported is not None:
        unfamiliar = unfamiliar | (supported & (scores >= calibration.threshold))
    return TagScores(calibration, cautious(scores, calibration.threshold, unfamiliar))
