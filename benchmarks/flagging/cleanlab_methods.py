"""Label issues by cleanlab itself: on probabilities, and by Datalab on embeddings."""

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.flagging.cnn import classes_of
from benchmarks.flagging.errors import Strings
from benchmarks.flagging.images import Received
from benchmarks.flagging.measures import Floats, Mask
from benchmarks.flagging.methods import ByProbability, ReferenceData, Said, Ways

SCORES: dict[str, dict[str, Any]] = {
    "self confidence": {"method": "self_confidence"},
    "normalized margin": {"method": "normalized_margin"},
    "weighted entropy": {"method": "confidence_weighted_entropy"},
}


def has_cleanlab() -> bool:
    """Tell whether cleanlab and what its Datalab needs are installed."""
    return all(find_spec(name) is not None for name in ("cleanlab", "datasets"))


@dataclass(frozen=True)
class ByCleanlab:
    """Cleanlab's label quality of out-of-sample probabilities (Northcutt et al. 2021)."""

    source: ByProbability

    def __call__(self, received: Received) -> dict[str, Ways]:
        """Return each of its scores, flagged where `find_label_issues` says so."""
        return {tag: self._of_tag(tag, values) for tag, values in received.items()}

    def _of_tag(self, tag: str, values: Strings) -> Ways:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores

        rows = np.flatnonzero(values != "")
        labels, p = in_classes(
            self.source.classes[tag], self.source.probability[tag][rows], values[rows]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells of every rare class
            issues = find_label_issues(labels, p, n_jobs=1)
        return {
            name: spread(
                rows, 1 - get_label_quality_scores(labels, p, **options), issues, values
            )
            for name, options in SCORES.items()
        }


@dataclass(frozen=True)
class ByDatalab:
    """Cleanlab's Datalab over reference and measured images together.

    Attributes
    ----------
    embedding
        Of the measured images, of shape (n, D).
    """

    reference: ReferenceData
    embedding: Floats

    def __call__(self, received: Received) -> dict[str, Ways]:
        """Return the label score that its neighbors in the embedding give."""
        return {
            tag: {"Datalab": self._of_tag(tag, values)}
            for tag, values in received.items()
        }

    def _of_tag(self, tag: str, values: Strings) -> Said:
        from cleanlab import Datalab

        rows = np.flatnonzero(values != "")
        known = np.flatnonzero(self.reference.values[tag] != "")
        labels = np.concatenate([self.reference.values[tag][known], values[rows]])
        features = np.concatenate(
            [self.reference.embedding[known], self.embedding[rows]]
        )
        lab = Datalab({"label": labels.tolist()}, label_name="label", verbosity=0)
        with warnings.catch_warnings():
            # It calls pandas in ways that newer versions warn of.
            warnings.simplefilter("ignore")
            lab.find_issues(features=features, issue_types={"label": {}})
        found = lab.get_issues("label").iloc[len(known) :]
        score = 1 - found["label_score"].to_numpy()
        return spread(rows, score, found["is_label_issue"].to_numpy(), values)


def in_classes(
    classes: tuple[str, ...], probability: Floats, values: Strings
) -> tuple[NDArray[np.int64], Floats]:
    """Return labels and probabilities over classes that hold every value.

    Values that nothing was learnt of get a class without probability.
    """
    names = (*classes, *(v for v in classes_of(values) if v not in classes))
    missing = np.zeros((len(values), len(names) - len(classes)))
    place = {name: i for i, name in enumerate(names)}
    labels = np.array([place[v] for v in values.tolist()], dtype=np.int64)
    return labels, np.hstack([probability, missing])


def spread(rows: NDArray[np.intp], score: Floats, flags: Mask, values: Strings) -> Said:
    """Return what is said of some rows as what is said of all n values."""
    whole, flagged = np.zeros(len(values)), np.zeros(len(values), dtype=bool)
    whole[rows], flagged[rows] = score, flags
    return Said(whole, flagged, values != "")
