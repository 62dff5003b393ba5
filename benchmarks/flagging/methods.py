"""Alternative methods that score how likely received values are wrong.

A method scores the received values of the measured images tag by tag. It can have
several variants, such as with and without knowledge of which values overlap; the report
shows the best one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.flagging.cnn import Classes, classes_of
from benchmarks.flagging.errors import Strings
from benchmarks.flagging.images import ReceivedValues
from benchmarks.flagging.measures import Floats, Mask
from veritag.terms.concepts import fit

THRESHOLD = 0.5
NEIGHBORS = 20
TREES = 200
MIN_IMAGES = 10
"""Fewest images of a value with an isolation forest of its own."""


@dataclass(frozen=True)
class MethodOutput:
    """Output of a method for n received values; see `ScoredValues`."""

    score: Floats
    flagged: Mask
    judged: Mask


Variants = dict[str, MethodOutput]
Method = Callable[[ReceivedValues], dict[str, Variants]]
"""From received values to tag, name of the variant, and its output."""


@dataclass(frozen=True)
class ReferenceData:
    """Images that the alternatives learn from, with noisy values.

    Attributes
    ----------
    embedding
        Embedding by the bundle's encoder, of shape (m, D).
    values
        Tag to values of shape (m,), empty where absent.
    """

    embedding: Floats
    values: ReceivedValues


def output_of_scores(
    score: Floats, received: Strings, threshold: float = THRESHOLD
) -> MethodOutput:
    """Return the output of a score that judges all values: flagged from the threshold."""
    present = received != ""
    score = np.where(present, score, 0.0)
    return MethodOutput(score, present & (score >= threshold), present)


@dataclass(frozen=True)
class ProbabilityMethod:
    """Score 1 - p of the received value, from the probabilities of a classifier.

    Attributes
    ----------
    probability
        Tag to probabilities of its classes for each measured image, (n, classes).
    """

    classes: Classes
    probability: Mapping[str, Floats]

    def __call__(self, received: ReceivedValues) -> dict[str, Variants]:
        """Return 1 - p(received), with and without the fit of overlapping values."""
        return {
            tag: {
                "1 - p": self._output(tag, values, is_equal),
                "1 - p, with fit": self._output(tag, values, fit),
            }
            for tag, values in received.items()
        }

    def _output(
        self, tag: str, values: Strings, agreement: Callable[[str, str, str], float]
    ) -> MethodOutput:
        names, place = np.unique(values, return_inverse=True)
        table = np.array(
            [[agreement(tag, c, name) for name in names] for c in self.classes[tag]]
        )
        agreeing = (self.probability[tag] @ table)[np.arange(len(values)), place]
        return output_of_scores(np.clip(1 - agreeing, 0, 1), values)


def is_equal(_: str, a: str, b: str) -> float:
    """Return 1 for equal values, else 0."""
    return float(a == b)


def nearest_neighbors(
    reference: ReferenceData, embedding: Floats, *, by_distance: bool = True
) -> ProbabilityMethod:
    """Return the vote of the nearest reference images for embeddings (n, D)."""
    from sklearn.neighbors import KNeighborsClassifier

    classes, probability = {}, {}
    for tag, values in reference.values.items():
        present = values != ""
        model = KNeighborsClassifier(
            min(NEIGHBORS, int(present.sum())),
            weights="distance" if by_distance else "uniform",
        )
        model.fit(reference.embedding[present], values[present])
        classes[tag] = tuple(str(c) for c in model.classes_)
        probability[tag] = model.predict_proba(embedding)
    return ProbabilityMethod(classes, probability)


def logistic_regression(
    reference: ReferenceData, embedding: Floats
) -> ProbabilityMethod:
    """Return the probabilities of a logistic regression on embeddings (n, D)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes, probability = {}, {}
    for tag, values in reference.values.items():
        present = values != ""
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        model.fit(reference.embedding[present], values[present])
        classes[tag] = tuple(str(c) for c in model.classes_)
        probability[tag] = model.predict_proba(embedding)
    return ProbabilityMethod(classes, probability)


def combine_methods(*methods: Method) -> Method:
    """Return a method with the variants of several methods."""

    def combined(received: ReceivedValues) -> dict[str, Variants]:
        outputs: dict[str, Variants] = {tag: {} for tag in received}
        for method in methods:
            for tag, variants in method(received).items():
                outputs[tag] |= variants
        return outputs

    return combined


@dataclass(frozen=True)
class IsolationMethod:
    """Anomaly score of an image among the reference images with the received value.

    One isolation forest for each value (Liu et al. 2008); rare values share one.
    """

    reference: ReferenceData
    embedding: Floats
    _results: dict[tuple[str, str], tuple[Floats, Mask]] = field(default_factory=dict)

    def __call__(self, received: ReceivedValues) -> dict[str, Variants]:
        """Return the anomaly score under the received value."""
        return {
            tag: {"isolation": self._of_tag(tag, values)}
            for tag, values in received.items()
        }

    def _of_tag(self, tag: str, values: Strings) -> MethodOutput:
        score, flagged = np.zeros(len(values)), np.zeros(len(values), dtype=bool)
        for value in classes_of(values):
            rows = values == value
            scores, outliers = self._forest(tag, value)
            score[rows], flagged[rows] = scores[rows], outliers[rows]
        return MethodOutput(score, flagged, values != "")

    def _forest(self, tag: str, value: str) -> tuple[Floats, Mask]:
        from sklearn.ensemble import IsolationForest

        rows = self.reference.values[tag] == value
        if rows.sum() < MIN_IMAGES:
            value, rows = "", np.ones(len(rows), dtype=bool)
        if (tag, value) not in self._results:
            forest = IsolationForest(n_estimators=TREES, random_state=0)
            forest.fit(self.reference.embedding[rows])
            score = -forest.score_samples(self.embedding)
            self._results[tag, value] = score, forest.predict(self.embedding) == -1
        return self._results[tag, value]
