"""What others would flag: each alternative's scores of received values.

A method takes the received values of the measured images and says, tag by tag, how
likely each is wrong. It may say so in several ways, such as with and without knowledge
of which values overlap; the report shows its best one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.flagging.cnn import Classes, classes_of
from benchmarks.flagging.errors import Strings
from benchmarks.flagging.images import Received
from benchmarks.flagging.measures import Floats, Mask
from veritag.terms.concepts import fit

EVEN = 0.5
NEIGHBORS = 20
TREES = 200
LEAST_OF_A_VALUE = 10
"""Images of a value under which it gets no isolation forest of its own."""


@dataclass(frozen=True)
class Said:
    """What a method says of n received values: see `Scored`."""

    score: Floats
    flagged: Mask
    opinion: Mask


Ways = dict[str, Said]
Method = Callable[[Received], dict[str, Ways]]
"""From received values to tag, way of saying, and what is said."""


@dataclass(frozen=True)
class ReferenceData:
    """Images that alternatives may learn from, with noisy values.

    Attributes
    ----------
    embedding
        By our encoder, of shape (m, D).
    values
        Tag to values, empty where missing, of shape (m,).
    """

    embedding: Floats
    values: Received


def from_score(score: Floats, received: Strings, threshold: float = EVEN) -> Said:
    """Return what a plain score says: flagged from the threshold on, silent of nothing."""
    said = received != ""
    score = np.where(said, score, 0.0)
    return Said(score, said & (score >= threshold), said)


@dataclass(frozen=True)
class ByProbability:
    """The received value's lack of probability, by whatever gives probabilities.

    Attributes
    ----------
    probability
        Tag to probabilities of its classes for each measured image, (n, classes).
    """

    classes: Classes
    probability: Mapping[str, Floats]

    def __call__(self, received: Received) -> dict[str, Ways]:
        """Return 1 - p(received), plain and with overlapping values counted by fit."""
        return {
            tag: {
                "1 - p": self._said(tag, values, exactly),
                "1 - p, with fit": self._said(tag, values, fit),
            }
            for tag, values in received.items()
        }

    def _said(
        self, tag: str, values: Strings, alike: Callable[[str, str, str], float]
    ) -> Said:
        names, place = np.unique(values, return_inverse=True)
        table = np.array(
            [[alike(tag, known, name) for name in names] for known in self.classes[tag]]
        )
        fitting = (self.probability[tag] @ table)[np.arange(len(values)), place]
        return from_score(np.clip(1 - fitting, 0, 1), values)


def exactly(_: str, a: str, b: str) -> float:
    """Return 1 for the same value, else 0."""
    return float(a == b)


def neighbors_vote(
    reference: ReferenceData, embedding: Floats, *, by_distance: bool = True
) -> ByProbability:
    """Return the vote of the nearest reference images on embeddings (n, D)."""
    from sklearn.neighbors import KNeighborsClassifier

    classes, probability = {}, {}
    for tag, values in reference.values.items():
        carried = values != ""
        voters = KNeighborsClassifier(
            min(NEIGHBORS, int(carried.sum())),
            weights="distance" if by_distance else "uniform",
        )
        voters.fit(reference.embedding[carried], values[carried])
        classes[tag] = tuple(str(c) for c in voters.classes_)
        probability[tag] = voters.predict_proba(embedding)
    return ByProbability(classes, probability)


def logistic(reference: ReferenceData, embedding: Floats) -> ByProbability:
    """Return a logistic regression's probabilities on embeddings (n, D)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes, probability = {}, {}
    for tag, values in reference.values.items():
        carried = values != ""
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        model.fit(reference.embedding[carried], values[carried])
        classes[tag] = tuple(str(c) for c in model.classes_)
        probability[tag] = model.predict_proba(embedding)
    return ByProbability(classes, probability)


def together(*methods: Method) -> Method:
    """Return a method with the ways of several."""

    def say(received: Received) -> dict[str, Ways]:
        said: dict[str, Ways] = {tag: {} for tag in received}
        for method in methods:
            for tag, ways in method(received).items():
                said[tag] |= ways
        return said

    return say


@dataclass(frozen=True)
class ByIsolation:
    """How isolated an image is among those that carry the received value.

    One isolation forest for each value (Liu et al. 2008); rare values share one.
    """

    reference: ReferenceData
    embedding: Floats
    _made: dict[tuple[str, str], tuple[Floats, Mask]] = field(default_factory=dict)

    def __call__(self, received: Received) -> dict[str, Ways]:
        """Return the anomaly score under the received value."""
        return {
            tag: {"isolation": self._of_tag(tag, values)}
            for tag, values in received.items()
        }

    def _of_tag(self, tag: str, values: Strings) -> Said:
        score, flagged = np.zeros(len(values)), np.zeros(len(values), dtype=bool)
        for value in classes_of(values):
            rows = values == value
            scores, strange = self._forest(tag, value)
            score[rows], flagged[rows] = scores[rows], strange[rows]
        return Said(score, flagged, values != "")

    def _forest(self, tag: str, value: str) -> tuple[Floats, Mask]:
        from sklearn.ensemble import IsolationForest

        own = self.reference.values[tag] == value
        if own.sum() < LEAST_OF_A_VALUE:
            value, own = "", np.ones(len(own), dtype=bool)
        if (tag, value) not in self._made:
            forest = IsolationForest(n_estimators=TREES, random_state=0)
            forest.fit(self.reference.embedding[own])
            score = -forest.score_samples(self.embedding)
            self._made[tag, value] = score, forest.predict(self.embedding) == -1
        return self._made[tag, value]
