"""Figures of a bundle on images that it was not trained on.

Each known tag is judged twice, as it is and with one wrong value, so that no figure
depends on a draw of wrong tags. Precision and calibration are given for the rate of
errors that the calibration assumes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

from model_training.calibration.detectability import precision_of
from model_training.evaluation.measures import (
    adjusted_rand,
    brier,
    calibration_error,
    contingency,
    homogeneity,
    nmi,
    share,
)
from model_training.evaluation.predictions import Predictions, predictions_of
from model_training.evaluation.questions import Questions, questions_about
from model_training.snapshots.snapshot import Snapshot
from model_training.tag_model.error_injection import ERROR_RATE
from veritag.bundles.bundle import ModelBundle
from veritag.judging.tag_probabilities import Floats
from veritag.judging.tag_scores import Mask

SILHOUETTE_IMAGES = 1000

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    """All figures of one bundle on one set of images.

    Attributes
    ----------
    figures, by_tag
        Figures over all tags, and keyword to those of one tag; None where undefined.
    clusters
        Public id, name and number of images of each cluster.
    """

    bundle_id: str
    images: int
    patients: int
    figures: Figures
    by_tag: Mapping[str, Figures]
    clusters: tuple[tuple[int, str, int], ...]
    predictions: Predictions
    questions: Questions

    def as_json(self) -> dict[str, Any]:
        """Return the report, without the predictions for single images."""
        return {
            "bundle_id": self.bundle_id,
            "images": self.images,
            "patients": self.patients,
            "figures": rounded(self.figures),
            "by_tag": {tag: rounded(f) for tag, f in self.by_tag.items()},
            "clusters": [
                {"cluster": i, "name": name, "images": n}
                for i, name, n in self.clusters
            ],
        }


def rounded(figures: Figures) -> Figures:
    """Return figures with four digits."""
    return {k: None if v is None else round(v, 4) for k, v in figures.items()}


def evaluate_bundle(
    bundle: ModelBundle, snapshot: Snapshot, *, seed: int = 1
) -> Evaluation:
    """Evaluate a bundle by its graph and its thresholds.

    Raises
    ------
    StopError
        If the snapshot's tiles are not made as the bundle requires.
    BundleRejected
        If the graph computes NaN or infinity.
    """
    questions = questions_about(snapshot, seed)
    predictions = predictions_of(bundle, snapshot, questions.tags)
    figures = figures_of(predictions, questions)
    figures["silhouette"] = _silhouette(predictions, seed)
    sizes = np.bincount(
        predictions.cluster, minlength=predictions.soft_assignment.shape[1]
    ).tolist()
    return Evaluation(
        bundle.bundle_id,
        len(snapshot),
        int(questions.patient.max(initial=-1)) + 1,
        figures,
        {tag: _tag_figures(predictions, questions, tag) for tag in _carried(questions)},
        tuple(
            (c.cluster_id, c.name, n)
            for c, n in zip(bundle.manifest.clusters, sizes, strict=True)
        ),
        predictions,
        questions,
    )


def _carried(questions: Questions) -> list[str]:
    return [tag for tag, q in questions.tags.items() if (q.right != "").any()]


def figures_of(
    predictions: Predictions,
    questions: Questions,
    weights: Floats | None = None,
    among: Mapping[str, Mask] | None = None,
    tags: frozenset[str] | None = None,
) -> Figures:
    """Return the figures over all tags, None for a figure of no images.

    Parameters
    ----------
    weights
        How often each image counts, of shape (N,); once each by default.
    among
        Keyword to the images whose probabilities are evaluated, for the comparison of
        two bundles; by default those that this bundle judges.
    tags
        The tags whose flags are counted; by default those that this bundle judges.
    """
    w = np.ones(len(questions.patient)) if weights is None else weights
    figures = _cluster_figures(predictions, questions.modality, w, "modality")
    figures |= _cluster_figures(predictions, questions.region, w, "region")
    figures["unknown"] = share(~predictions.known, w)
    counted = judged_tags(predictions) if tags is None else tags
    figures |= _finding_figures(predictions, questions, w, counted)
    figures |= _probability_figures(predictions, questions, w, among)
    figures["review_agreement"] = _agreement(predictions, questions, w)
    return figures


def _cluster_figures(
    predictions: Predictions, classes: NDArray[np.intp], w: Floats, name: str
) -> Figures:
    known = classes >= 0
    table = contingency(predictions.cluster[known], classes[known], w[known])
    return {
        f"nmi_{name}": nmi(table),
        f"homogeneity_{name}": homogeneity(table),
        f"ari_{name}": adjusted_rand(table),
    }


def _finding_figures(
    predictions: Predictions, questions: Questions, w: Floats, tags: frozenset[str]
) -> Figures:
    right = wrong = alarms = found = 0.0
    for tag in sorted(tags):
        question, scores = questions.tags[tag], predictions.tags[tag]
        right += float(w[question.right != ""].sum())
        wrong += float(w[question.wrong != ""].sum())
        alarms += float(w[scores.right.flagged].sum())
        found += float(w[scores.wrong.flagged].sum())
    recall = found / wrong if wrong else None
    false_alarms = alarms / right if right else None
    return {
        "recall": recall,
        "false_alarm_rate": false_alarms,
        "precision": _precision(recall, false_alarms),
    }


def _precision(recall: float | None, false_alarms: float | None) -> float | None:
    """Return the share of right flags; None without flags or without known tags."""
    if recall is None or false_alarms is None:
        return None
    return precision_of(recall, false_alarms)


def _probability_figures(
    predictions: Predictions,
    questions: Questions,
    w: Floats,
    among: Mapping[str, Mask] | None,
) -> Figures:
    parts: list[tuple[Floats, Mask, Floats]] = []
    for tag in questions.tags:
        chosen = judged(predictions, tag) if among is None else among[tag]
        scores = predictions.tags[tag]
        for values, is_wrong in ((scores.right, False), (scores.wrong, True)):
            # Each image has one right and one wrong value: weighed by their usual rates.
            rate = ERROR_RATE if is_wrong else 1 - ERROR_RATE
            truth = np.full(int(chosen.sum()), is_wrong)
            parts.append((values.probability[chosen], truth, w[chosen] * rate))
    p, truth, weights = (np.concatenate(one) for one in zip(*parts, strict=True))
    return {
        "brier": brier(p, truth, weights),
        "calibration_error": calibration_error(p, truth, weights),
    }


def judged(predictions: Predictions, tag: str) -> Mask:
    """Return which images have a score for the right and for the wrong value, (N,)."""
    scores = predictions.tags[tag]
    with_opinion: Mask = ~np.isnan(scores.right.probability + scores.wrong.probability)
    return with_opinion


def judged_tags(predictions: Predictions) -> frozenset[str]:
    """Return the tags that the bundle judges on any image."""
    return frozenset(tag for tag in predictions.tags if judged(predictions, tag).any())


def _agreement(
    predictions: Predictions, questions: Questions, w: Floats
) -> float | None:
    """Return the share of reviewed values that are flagged if and only if wrong."""
    agreed = total = 0.0
    for tag, question in questions.tags.items():
        reviewed, was_wrong = question.reviewed, question.received != question.right
        same = predictions.tags[tag].received.flagged == was_wrong
        total += float(w[reviewed].sum())
        agreed += float(w[reviewed & same].sum())
    return agreed / total if total else None


def _tag_figures(predictions: Predictions, questions: Questions, tag: str) -> Figures:
    w = np.ones(len(questions.patient))
    carried = questions.tags[tag].right != ""
    figures = _finding_figures(predictions, questions, w, frozenset({tag}))
    figures["images"] = float(carried.sum())
    figures["judged"] = share(judged(predictions, tag)[carried], w[carried])
    return figures


def _silhouette(predictions: Predictions, seed: int) -> float | None:
    """Return the mean silhouette of a sample, in the space that was clustered."""
    n = len(predictions.cluster)
    # A sample, because the silhouette needs the distances of all pairs.
    rows = np.random.default_rng(seed).permutation(n)[:SILHOUETTE_IMAGES]
    labels = predictions.cluster[rows]
    if not 1 < len(np.unique(labels)) < len(labels):
        return None
    return float(silhouette_score(predictions.embedding[rows], labels))
