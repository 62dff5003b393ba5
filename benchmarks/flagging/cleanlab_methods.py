"""Label issues by cleanlab, on probabilities, and by its Datalab, on embeddings."""

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.flagging.cnn import classes_of
from benchmarks.flagging.errors import Strings
from benchmarks.flagging.images import ReceivedValues
from benchmarks.flagging.measures import Floats, Mask
from benchmarks.flagging.methods import (
    MethodOutput,
    ProbabilityMethod,
    ReferenceData,
    Variants,
)

SCORES: dict[str, dict[str, Any]] = {
    "self confidence": {"method": "self_confidence"},
    "normalized margin": {"method": "normalized_margin"},
    "weighted entropy": {"method": "confidence_weighted_entropy"},
}


def has_cleanlab() -> bool:
    """Return whether cleanlab and the dependencies of its Datalab are installed."""
    return all(find_spec(name) is not None for name in ("cleanlab", "datasets"))


@dataclass(frozen=True)
class CleanlabMethod:
    """Cleanlab's label quality of out-of-sample probabilities (Northcutt et al. 2021)."""

    source: ProbabilityMethod

    def __call__(self, received: ReceivedValues) -> dict[str, Variants]:
        """Return each of its scores, with the flags of `find_label_issues`."""
        return {tag: self._of_tag(tag, values) for tag, values in received.items()}

    def _of_tag(self, tag: str, values: Strings) -> Variants:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores

        rows = np.flatnonzero(values != "")
        labels, p = with_all_classes(
            self.source.classes[tag], self.source.probability[tag][rows], values[rows]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of every rare class
            issues = find_label_issues(labels, p, n_jobs=1)
        return {
            name: output_of_rows(
                rows, 1 - get_label_quality_scores(labels, p, **options), issues, values
            )
            for name, options in SCORES.items()
        }


@dataclass(frozen=True)
class DatalabMethod:
    """Cleanlab's Datalab over reference and measured images together.

    Attributes
    ----------
    embedding
        Embedding of the measured images, of shape (n, D).
    """

    reference: ReferenceData
    embedding: Floats

    def __call__(self, received: ReceivedValues) -> dict[str, Variants]:
        """Return the label score, which is based on neighbors in the embedding."""
        return {
            tag: {"Datalab": self._of_tag(tag, values)}
            for tag, values in received.items()
        }

    def _of_tag(self, tag: str, values: Strings) -> MethodOutput:
        from cleanlab import Datalab

        rows = np.flatnonzero(values != "")
        references = np.flatnonzero(self.reference.values[tag] != "")
        labels = np.concatenate([self.reference.values[tag][references], values[rows]])
        features = np.concatenate(
            [self.reference.embedding[references], self.embedding[rows]]
        )
        lab = Datalab({"label": labels.tolist()}, label_name="label", verbosity=0)
        with warnings.catch_warnings():
            # It uses deprecated functions of pandas.
            warnings.simplefilter("ignore")
            lab.find_issues(features=features, issue_types={"label": {}})
        issues = lab.get_issues("label").iloc[len(references) :]
        score = 1 - issues["label_score"].to_numpy()
        return output_of_rows(rows, score, issues["is_label_issue"].to_numpy(), values)


def with_all_classes(
    classes: tuple[str, ...], probability: Floats, values: Strings
) -> tuple[NDArray[np.int64], Floats]:
    """Return labels and probabilities over classes that include every value.

    A value without a class gets one of probability 0.
    """
    names = (*classes, *(v for v in classes_of(values) if v not in classes))
    missing = np.zeros((len(values), len(names) - len(classes)))
    place = {name: i for i, name in enumerate(names)}
    labels = np.array([place[v] for v in values.tolist()], dtype=np.int64)
    return labels, np.hstack([probability, missing])


def output_of_rows(
    rows: NDArray[np.intp], score: Floats, flags: Mask, values: Strings
) -> MethodOutput:
    """Return the output for all n values, from the scores and flags of some rows."""
    scores, flagged = np.zeros(len(values)), np.zeros(len(values), dtype=bool)
    scores[rows], flagged[rows] = score, flags
    return MethodOutput(scores, flagged, values != "")
