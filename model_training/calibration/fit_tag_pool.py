"""Fitting what `model_training.calibration.tag_pool` weighs: references, heads, and the weights."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from model_training.calibration.cluster_model import ClusterModel, Values
from model_training.calibration.injection import wrong_values
from model_training.calibration.tag_pool import (
    NOT_LEARNT,
    SOURCES,
    PictureReader,
    References,
    TagSources,
)
from model_training.network.clustering import squared_distances
from model_training.training.trained import Trained
from veritag.judging.tag_probabilities import Floats
from veritag.terms.concepts import fit

MOST_REFERENCES = 4096
MOST_WEIGHT = 3.0
EVEN_WEIGHT = 0.5
"""Of each source where nobody was held out to learn the weights on."""
TOWARDS_EVEN = 0.01
"""How strongly weights are drawn to be even, so that few images do not settle them."""
LEAST_HELD_OUT = 20
OPPONENTS, SHIFT = 5, 7
"""Wrong values that each right one is compared with, and how far apart they lie."""
LEAST = 1e-4

Texts = NDArray[np.str_]


def choose_references(
    embedding: Floats, kinds: Texts, seed: int, most: int = MOST_REFERENCES
) -> References:
    """Choose training images to compare with: of every kind as evenly as there are.

    Parameters
    ----------
    embedding
        Of the training part, of shape (N, D).
    kinds
        Of shape (N,).
    """
    rng = np.random.default_rng(seed)
    turn = np.zeros(len(kinds), dtype=np.int64)
    for kind in np.unique(kinds):
        own = np.flatnonzero(kinds == kind)
        turn[rng.permutation(own)] = np.arange(len(own))
    rows = np.sort(np.argsort(turn, kind="stable")[:most])
    return References(embedding[rows], _usual_distance(embedding[rows], rng), rows)


def _usual_distance(embedding: Floats, rng: np.random.Generator) -> float:
    """Return the median distance from one of some embeddings to its nearest neighbor."""
    some = rng.permutation(len(embedding))[:500]
    squared = squared_distances(embedding[some], embedding)
    squared[np.arange(len(some)), some] = np.inf
    nearest = squared.min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    return float(np.sqrt(max(float(np.median(nearest)), 0.0))) if nearest.size else 1.0


def tag_sources(
    trained: Trained, model: ClusterModel, references: References, values: Values
) -> dict[str, TagSources]:
    """Return what is known of each tag that the training part carries.

    Parameters
    ----------
    values
        The tags of the training part, keyword to normalized values of shape (N,).
    """
    return {
        tag: _sources_of(trained, model, references, values[tag], tag)
        for tag in values
        if (values[tag] != "").any()
    }


def _sources_of(
    trained: Trained,
    model: ClusterModel,
    references: References,
    column: Texts,
    tag: str,
) -> TagSources:
    names, counts = np.unique(column[column != ""], return_counts=True)
    concepts = tuple(names.tolist())
    place = {value: i for i, value in enumerate(concepts)}
    profiles = model.profiles[tag]
    table = np.zeros((len(model.centers), len(concepts)))
    table[:, [place[v] for v in profiles.values]] = profiles.table
    weight, bias = _head(trained, tag, concepts)
    carried = [place.get(v, -1) for v in column[references.rows].tolist()]
    return TagSources(
        concepts,
        counts / counts.sum(),
        table,
        weight,
        bias,
        np.array(carried, dtype=np.int64),
        np.full(len(SOURCES), EVEN_WEIGHT),
    )


def _head(
    trained: Trained, tag: str, concepts: tuple[str, ...]
) -> tuple[Floats | None, Floats | None]:
    """Return the head's layer in the order of the concepts, None without one."""
    told = trained.vocabulary.get(tag)
    layer = trained.head(tag)
    if told is None or layer is None:
        return None, None
    weight = np.zeros((len(concepts), layer[0].shape[1]))
    bias = np.full(len(concepts), NOT_LEARNT)
    at = [concepts.index(value) for value in told]
    weight[at], bias[at] = layer
    return weight, bias


def fits(tag: str, concepts: tuple[str, ...], observed: Texts) -> Floats:
    """Return how well each concept stands for each observed value, of shape (n, V)."""
    names, rows = np.unique(observed, return_inverse=True)
    table = [[fit(tag, c, str(name)) for c in concepts] for name in names.tolist()]
    return np.array(table, dtype=np.float64).reshape(-1, len(concepts))[rows]


def fit_weights(logs: Floats, right: Floats, wrong: Floats) -> Floats:
    """Return the weights of the sources that rank wrong values above right ones, (3,).

    Minimizes the logistic loss of pairs of a right and a wrong value (Burges et al.
    2005, eq. 3): what counts is the order in which tags are shown to people, and the
    probability of what is right alone would make hard votes look worse than they are.

    Parameters
    ----------
    logs
        Log probabilities by the sources, of shape (n, 3, V).
    right, wrong
        How well each concept stands for the right value and for a wrong one, (n, V).
    """
    start = np.full(logs.shape[1], EVEN_WEIGHT)
    if len(logs) < LEAST_HELD_OUT:
        return start
    turns = [np.roll(np.arange(len(logs)), 1 + n * SHIFT) for n in range(OPPONENTS)]

    def loss(weights: Floats) -> float:
        p = pooled(weights, logs)
        low, high = _odds((p * right).sum(axis=1)), _odds((p * wrong).sum(axis=1))
        lost = [np.logaddexp(0.0, low - high[turn]).mean() for turn in turns]
        return float(np.mean(lost) + TOWARDS_EVEN * ((weights - start) ** 2).sum())

    bounds = [(0.0, MOST_WEIGHT)] * len(start)
    found = minimize(loss, start, bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x, dtype=np.float64)


def pooled(weights: Floats, logs: Floats) -> Floats:
    """Return the pooled probabilities of log probabilities (n, 3, V), (n, V)."""
    result: Floats = softmax(np.einsum("s,nsv->nv", weights, logs), axis=1)
    return result


def _odds(mass: Floats) -> Floats:
    """Return the log odds that nothing fits, of shape (n,)."""
    odds: Floats = np.log((1 - mass + LEAST) / (mass + LEAST))
    return odds


def with_weights(
    reader: PictureReader,
    sources: Mapping[str, TagSources],
    embedding: Floats,
    values: Values,
) -> dict[str, TagSources]:
    """Return the sources with weights learnt on held-out images.

    Parameters
    ----------
    embedding, values
        Of the held-out images, of shape (n, D), and keyword to shape (n,).
    """
    logs = reader.source_logs(embedding)
    weighed = {}
    for tag, one in sources.items():
        column = values[tag]
        known = np.isin(column, one.concepts)
        right = column[known]
        wrong = wrong_values(tag, right, np.random.default_rng(len(right)))
        weights = fit_weights(
            logs[tag][known],
            fits(tag, one.concepts, right),
            fits(tag, one.concepts, wrong),
        )
        weighed[tag] = replace(one, weights=weights)
    return weighed
