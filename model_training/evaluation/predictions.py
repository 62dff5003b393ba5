"""Predictions of a sealed bundle for images, each judged as a series of its own.

The graph, the thresholds and the judging functions are those of the worker. N images,
K clusters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.bundles.export import run_onnx
from model_training.evaluation.questions import TagQuestion, Texts
from model_training.snapshots.snapshot import Snapshot
from veritag.bundles.bundle import ModelBundle
from veritag.bundles.graph import GraphOutputs
from veritag.errors import BundleRejected, StopError
from veritag.judging.manifest_tables import ManifestTables, tables_of
from veritag.judging.tag_probabilities import Floats
from veritag.judging.tag_scores import (
    Mask,
    TagScores,
    is_known_kind,
    is_unfamiliar,
    tag_scores,
)


@dataclass(frozen=True)
class TagPredictions:
    """Scores of the right, the wrong and the received values of one tag, N each.

    NaN where the bundle has no opinion.
    """

    right: TagScores
    wrong: TagScores
    received: TagScores


@dataclass(frozen=True)
class Predictions:
    """Predictions for every image.

    Attributes
    ----------
    embedding, soft_assignment
        Of shape (N, D) and (N, K).
    cluster
        Index of the nearest center, of shape (N,).
    known
        Whether the image is of a kind that the bundle knows, of shape (N,).
    tags
        Keyword to the scores of its values.
    """

    embedding: Floats
    soft_assignment: Floats
    cluster: NDArray[np.intp]
    known: Mask
    tags: Mapping[str, TagPredictions]


def predictions_of(
    bundle: ModelBundle, snapshot: Snapshot, questions: Mapping[str, TagQuestion]
) -> Predictions:
    """Run the bundle's graph over the snapshot and score the values of every question.

    Raises
    ------
    StopError
        If the snapshot's tiles are not made as the bundle requires.
    BundleRejected
        If the graph computes NaN or infinity.
    """
    manifest = bundle.manifest
    if snapshot.preprocessing != manifest.preprocessing:
        raise StopError(
            f"{bundle.bundle_id} reads tiles of {manifest.preprocessing}, "
            f"these are of {snapshot.preprocessing}"
        )
    outputs = run_onnx(bundle.model_path, snapshot.tiles)
    if not all(np.isfinite(array).all() for array in outputs):
        raise BundleRejected(f"{bundle.path}: the model computes NaN or infinity")
    modality = questions["Modality"].received if "Modality" in questions else None
    scorer = _Scorer(
        tables_of(manifest),
        outputs,
        [""] * len(snapshot) if modality is None else modality.tolist(),
    )
    return Predictions(
        outputs.embedding,
        outputs.soft_assignment,
        outputs.distance.argmin(axis=1),
        is_known_kind(outputs.novelty),
        {tag: scorer.predictions(tag, one) for tag, one in questions.items()},
    )


@dataclass(frozen=True)
class _Scorer:
    """Scores of values from the outputs of the graph; `modalities` are as received."""

    tables: ManifestTables
    outputs: GraphOutputs[NDArray[Any]]
    modalities: Sequence[str]

    def predictions(self, tag: str, question: TagQuestion) -> TagPredictions:
        """Return the scores of each kind of values of one tag."""
        return TagPredictions(
            right=self._scores(tag, question.right),
            wrong=self._scores(tag, question.wrong),
            received=self._scores(tag, question.received),
        )

    def _scores(self, tag: str, values: Texts) -> TagScores:
        novelty = self.outputs.novelty
        scores = tag_scores(
            self.tables,
            tag,
            self.outputs.tag_probability[:, self.tables.columns.get(tag, slice(0))],
            values.tolist(),
            self.modalities,
            unfamiliar=is_unfamiliar(self.tables.manifest, novelty),
        )
        # Images of an unknown kind are not judged, as in the worker.
        known = np.where(is_known_kind(novelty), scores.score, np.nan)
        return TagScores(scores.calibration, known)
