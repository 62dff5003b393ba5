"""What a sealed bundle says of images, each judged as a series of its own.

The same graph, thresholds and arithmetic as in the worker; a test compares the two.
N images, K clusters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.bundles.export import Seen, run_onnx
from model_training.calibration.injection import wrong_values
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot
from veritag.bundles.bundle import BundleManifest, ModelBundle, TagCalibration
from veritag.dicom.tags import JUDGED_TAGS
from veritag.errors import BundleRejected, StopError
from veritag.judging.manifest_tables import ManifestTables, tables_of
from veritag.judging.tag_probabilities import (
    Floats,
    calibrated,
    cautious,
    contradiction_scores,
    posterior,
    sharpened,
)

Mask = NDArray[np.bool_]
Texts = NDArray[np.str_]


@dataclass(frozen=True)
class TagQuestion:
    """Values of one tag, some right and some not, empty where nothing is asked.

    Attributes
    ----------
    right, wrong
        The true values and, for each, one that contradicts it; of shape (N,).
    received
        As the images came: what a reviewer has corrected since stands here uncorrected.
    reviewed
        Where a reviewer has settled the value, of shape (N,).
    """

    right: Texts
    wrong: Texts
    received: Texts
    reviewed: Mask


@dataclass(frozen=True)
class TagPrediction:
    """What a bundle says of one kind of values of one tag, of shape (N,).

    Attributes
    ----------
    probability
        Of being wrong; NaN where the bundle has no opinion.
    """

    flagged: Mask
    probability: Floats


@dataclass(frozen=True)
class TagPredictions:
    """What a bundle says of one tag."""

    right: TagPrediction
    wrong: TagPrediction
    received: TagPrediction


@dataclass(frozen=True)
class Predictions:
    """What a bundle says of every image.

    Attributes
    ----------
    embedding
        Of shape (N, D).
    cluster
        Index of the nearest center, of shape (N,).
    known
        Whether the image is of a kind that the bundle knows, of shape (N,).
    """

    embedding: Floats
    q: Floats
    cluster: NDArray[np.intp]
    known: Mask
    tags: Mapping[str, TagPredictions]


def questions(samples: tuple[Sample, ...], seed: int) -> dict[str, TagQuestion]:
    """Return what is asked of every bundle: each value as it is, and one wrong one.

    They depend on samples and seed alone, so that two bundles answer the same.
    """
    return {
        tag: _question(samples, tag, np.random.default_rng([seed, number]))
        for number, tag in enumerate(JUDGED_TAGS)
    }


def _question(
    samples: tuple[Sample, ...], tag: str, rng: np.random.Generator
) -> TagQuestion:
    right = _texts(sample.tags.get(tag, "") for sample in samples)
    received = _texts(s.received.get(tag, s.tags.get(tag, "")) for s in samples)
    reviewed = np.array([tag in sample.received for sample in samples], dtype=bool)
    return TagQuestion(right, wrong_values(tag, right, rng), received, reviewed)


def _texts(values: object) -> Texts:
    return np.array(list(values), dtype=np.str_)  # type: ignore[call-overload]


def predictions_of(
    bundle: ModelBundle, snapshot: Snapshot, asked: Mapping[str, TagQuestion]
) -> Predictions:
    """Run the bundle's graph over the snapshot and answer every question.

    Raises
    ------
    StopError
        If the snapshot's tiles are not made as the bundle asks.
    BundleRejected
        If the graph computes what is no number.
    """
    manifest = bundle.manifest
    if snapshot.preprocessing != manifest.preprocessing:
        raise StopError(
            f"{bundle.bundle_id} reads tiles of {manifest.preprocessing}, "
            f"these are of {snapshot.preprocessing}"
        )
    seen = run_onnx(bundle.model_path, snapshot.tiles)
    if not all(np.isfinite(part).all() for part in seen.parts()):
        raise BundleRejected(f"{bundle.path}: the model computes what is no number")
    nearest = seen.distance.argmin(axis=1)
    known = _known(manifest, seen)
    modality = asked["Modality"].received if "Modality" in asked else None
    judging = _Judging(tables_of(manifest), seen, known, modality)
    answers = {tag: judging.answers(tag, question) for tag, question in asked.items()}
    return Predictions(seen.embedding, seen.soft_assignment, nearest, known, answers)


def _known(manifest: BundleManifest, seen: Seen) -> Mask:
    if seen.novelty is not None:
        told: Mask = seen.novelty <= 1
        return told
    nearest = seen.distance.argmin(axis=1)
    limits = np.asarray(manifest.novelty_limits)[nearest]
    near: Mask = seen.distance.min(axis=1) <= np.maximum(limits, 1e-12)
    return near


@dataclass(frozen=True)
class _Judging:
    """What answers are made of; `modality` is as received, None where not asked."""

    tables: ManifestTables
    seen: Seen
    known: Mask
    modality: Texts | None

    def answers(self, tag: str, question: TagQuestion) -> TagPredictions:
        """Return what the bundle says of each kind of values of one tag."""
        asked = question.right, question.wrong, question.received
        right, wrong, received = (self._answer(tag, values) for values in asked)
        return TagPredictions(right, wrong, received)

    def _answer(self, tag: str, values: Texts) -> TagPrediction:
        calibration = self.tables.manifest.calibration.get(tag, TagCalibration(None))
        if calibration.threshold is None:
            nothing = np.zeros(len(values), dtype=bool)
            return TagPrediction(nothing, np.full(len(values), np.nan))
        scores = np.where(self.known, self._scores(tag, values), np.nan)
        if self.seen.novelty is not None:
            strange = self.seen.novelty > self.tables.manifest.familiar
            scores = cautious(scores, calibration.threshold, strange)
        flagged = np.nan_to_num(scores, nan=-1.0) >= calibration.threshold
        return TagPrediction(flagged, calibrated(calibration, scores))

    def _scores(self, tag: str, observed: Texts) -> Floats:
        """Return how each image contradicts its value, NaN without an opinion."""
        values, probabilities = self._probabilities(tag)
        if not values:
            return np.full(len(observed), np.nan)
        cells = zip(observed.tolist(), self._modalities(observed), strict=True)
        asked = [
            value if value and self._may_speak(tag, value, modality) else None
            for value, modality in cells
        ]
        return contradiction_scores(probabilities, values, asked, self.tables.fit(tag))

    def _modalities(self, observed: Texts) -> list[str | None]:
        if self.modality is None:
            return [None] * len(observed)
        return [value or None for value in self.modality.tolist()]

    def _may_speak(self, tag: str, value: str, modality: str | None) -> bool:
        return self.tables.met(tag, value) and self.tables.speaks(tag, value, modality)

    def _probabilities(self, tag: str) -> tuple[tuple[str, ...], Floats]:
        """Return values and their probabilities, of shape (N, V)."""
        if tag in self.tables.columns and self.seen.tag_probability is not None:
            column = self.tables.columns[tag]
            return self.tables.values(tag), self.seen.tag_probability[:, column]
        if tag not in self.tables.profiles:
            return (), np.empty((0, 0))
        values, table, knows = self.tables.profiles[tag]
        sharpness = self.tables.manifest.sharpness
        weights = sharpened(self.seen.soft_assignment, sharpness)
        return values, posterior(weights, table, knows)
