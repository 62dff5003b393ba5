"""What a sealed bundle says of images, each judged as a series of its own.

The same graph, thresholds and arithmetic as in the worker; a test compares the two.
N images, K clusters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.export import run_onnx
from model_training.injection import wrong_values
from model_training.snapshot import Sample, Snapshot
from veritag.bundle import BundleManifest, ModelBundle, TagCalibration
from veritag.concepts import compatible
from veritag.errors import BundleRejected, StopError
from veritag.opinions import ever_seen
from veritag.profiles import Floats, posterior, profile_table, sharpened
from veritag.tags import JUDGED_TAGS

Mask = NDArray[np.bool_]
Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Question:
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
class Answer:
    """What a bundle says of one kind of values of one tag, of shape (N,).

    Attributes
    ----------
    probability
        Of being wrong; NaN where the bundle has no opinion.
    """

    flagged: Mask
    probability: Floats


@dataclass(frozen=True)
class Answers:
    """What a bundle says of one tag."""

    right: Answer
    wrong: Answer
    received: Answer


@dataclass(frozen=True)
class Outcome:
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
    tags: Mapping[str, Answers]


def questions(samples: tuple[Sample, ...], seed: int) -> dict[str, Question]:
    """Return what is asked of every bundle: each value as it is, and one wrong one.

    They depend on samples and seed alone, so that two bundles answer the same.
    """
    return {
        tag: _question(samples, tag, np.random.default_rng([seed, number]))
        for number, tag in enumerate(JUDGED_TAGS)
    }


def _question(
    samples: tuple[Sample, ...], tag: str, rng: np.random.Generator
) -> Question:
    right = _texts(sample.tags.get(tag, "") for sample in samples)
    received = _texts(s.received.get(tag, s.tags.get(tag, "")) for s in samples)
    reviewed = np.array([tag in sample.received for sample in samples], dtype=bool)
    return Question(right, wrong_values(tag, right, rng), received, reviewed)


def _texts(values: object) -> Texts:
    return np.array(list(values), dtype=np.str_)  # type: ignore[call-overload]


def outcome_of(
    bundle: ModelBundle, snapshot: Snapshot, asked: Mapping[str, Question]
) -> Outcome:
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
    embedding, q, distance = run_onnx(bundle.model_path, snapshot.tiles)
    if not all(np.isfinite(part).all() for part in (embedding, q, distance)):
        raise BundleRejected(f"{bundle.path}: the model computes what is no number")
    nearest = distance.argmin(axis=1)
    limits = np.asarray(manifest.novelty_limits)[nearest]
    known = distance.min(axis=1) <= np.maximum(limits, 1e-12)
    weights = sharpened(q, manifest.sharpness)
    answers = {
        tag: _answers(manifest, weights, known, tag, question)
        for tag, question in asked.items()
    }
    return Outcome(embedding, q, nearest, known, answers)


def _answers(
    manifest: BundleManifest,
    weights: Floats,
    known: Mask,
    tag: str,
    question: Question,
) -> Answers:
    calibration = manifest.calibration.get(tag, TagCalibration(None))

    def ask(values: Texts) -> Answer:
        if calibration.threshold is None:
            nothing = np.zeros(len(values), dtype=bool)
            return Answer(nothing, np.full(len(values), np.nan))
        scores = np.where(known, _scores(manifest, weights, tag, values), np.nan)
        flagged = np.nan_to_num(scores, nan=-1.0) >= calibration.threshold
        return Answer(flagged, _probability(calibration, scores))

    return Answers(ask(question.right), ask(question.wrong), ask(question.received))


def _scores(
    manifest: BundleManifest, weights: Floats, tag: str, observed: Texts
) -> Floats:
    """Return how strongly each image contradicts its value, NaN without an opinion."""
    scores = np.full(len(observed), np.nan)
    values, table, knows = profile_table(manifest.clusters, tag)
    if not values:
        return scores
    mass = posterior(weights, table, knows)
    for value in np.unique(observed[observed != ""]).tolist():
        if ever_seen(manifest, tag, value):
            fits = np.array([compatible(tag, v, value) for v in values])
            rows = observed == value
            scores[rows] = 1 - mass[rows][:, fits].sum(axis=1)
    clipped: Floats = np.clip(scores, 0, 1)
    return clipped


def _probability(calibration: TagCalibration, scores: Floats) -> Floats:
    if not calibration.score_knots:
        return scores
    told = np.interp(scores, calibration.score_knots, calibration.probability_knots)
    probability: Floats = np.where(np.isnan(scores), np.nan, np.clip(told, 0, 1))
    return probability
