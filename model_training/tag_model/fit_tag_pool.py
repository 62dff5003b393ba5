"""Fitting of the tag pool: its neighbor images, its sources and their weights."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from model_training.network.clustering import squared_distances
from model_training.tag_model.cluster_model import ClusterModel, Values
from model_training.tag_model.error_injection import wrong_values
from model_training.tag_model.tag_pool import (
    NOT_LEARNT,
    SOURCES,
    NeighborImages,
    TagSources,
)
from model_training.tag_model.tag_predictor import TagPredictor
from model_training.training.trained import Trained
from veritag.judging.tag_probabilities import Floats
from veritag.terms.concepts import fit

MOST_NEIGHBORS = 4096
MOST_WEIGHT = 3.0
"""Upper bound of each weight in the fit."""
EVEN_WEIGHT = 0.5
"""Weight of each source where too few images are held out to fit the weights."""
TOWARDS_EVEN = 0.01
"""Penalty on squared distance from even weights, so that few images do not decide."""
SAMPLE = 500
"""Embeddings from which the usual distance is measured."""
LEAST_HELD_OUT = 20
"""Held-out images under which the weights stay even."""
OPPONENTS, SHIFT = 5, 7
"""Wrong values that each right one is compared with, and the step between their rows."""
LEAST_MASS = 1e-4
"""Added to both probabilities of the odds, which limits the odds to about 10,000."""

Texts = NDArray[np.str_]


def choose_neighbors(
    embedding: Floats, kinds: Texts, seed: int, most: int = MOST_NEIGHBORS
) -> NeighborImages:
    """Choose training images to compare with, as evenly over the kinds as possible.

    Parameters
    ----------
    embedding
        Of the training part, of shape (N, D).
    kinds
        Of shape (N,).
    """
    rng = np.random.default_rng(seed)
    # The first of every kind, then the second of every kind, until there are enough.
    turn = np.zeros(len(kinds), dtype=np.int64)
    for kind in np.unique(kinds):
        own = np.flatnonzero(kinds == kind)
        turn[rng.permutation(own)] = np.arange(len(own))
    rows = np.sort(np.argsort(turn, kind="stable")[:most])
    return NeighborImages(embedding[rows], _usual_distance(embedding[rows], rng), rows)


def _usual_distance(embedding: Floats, rng: np.random.Generator) -> float:
    """Return the median distance of a sample of embeddings to the nearest other one."""
    sample = rng.permutation(len(embedding))[:SAMPLE]
    squared = squared_distances(embedding[sample], embedding)
    squared[np.arange(len(sample)), sample] = np.inf
    nearest = squared.min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    return float(np.sqrt(max(float(np.median(nearest)), 0.0))) if nearest.size else 1.0


def tag_sources(
    trained: Trained, model: ClusterModel, neighbors: NeighborImages, values: Values
) -> dict[str, TagSources]:
    """Return the sources of each tag that the training part carries.

    Parameters
    ----------
    values
        The tags of the training part, keyword to normalized values of shape (N,).
    """
    return {
        tag: _sources_of(trained, model, neighbors, values[tag], tag)
        for tag in values
        if (values[tag] != "").any()
    }


def _sources_of(
    trained: Trained,
    model: ClusterModel,
    neighbors: NeighborImages,
    column: Texts,
    tag: str,
) -> TagSources:
    names, counts = np.unique(column[column != ""], return_counts=True)
    concepts = tuple(names.tolist())
    index = {value: i for i, value in enumerate(concepts)}
    profiles = model.profiles[tag]
    table = np.zeros((len(model.centers), len(concepts)))
    table[:, [index[v] for v in profiles.values]] = profiles.table
    weight, bias = _head(trained, tag, concepts)
    carried = [index.get(v, -1) for v in column[neighbors.rows].tolist()]
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
    values = trained.vocabulary.get(tag)
    layer = trained.head(tag)
    if values is None or layer is None:
        return None, None
    weight = np.zeros((len(concepts), layer[0].shape[1]))
    bias = np.full(len(concepts), NOT_LEARNT)
    rows = [concepts.index(value) for value in values]
    weight[rows], bias[rows] = layer
    return weight, bias


def fits(tag: str, concepts: tuple[str, ...], observed: Texts) -> Floats:
    """Return how well each concept stands for each observed value, of shape (n, V)."""
    names, rows = np.unique(observed, return_inverse=True)
    table = [[fit(tag, c, str(name)) for c in concepts] for name in names.tolist()]
    return np.array(table, dtype=np.float64).reshape(-1, len(concepts))[rows]


def fit_weights(logs: Floats, right: Floats, wrong: Floats) -> Floats:
    """Return the weights of the sources that rank wrong values above right ones, (3,).

    Minimizes the logistic loss of pairs of a right and a wrong value (Burges et al.
    2005, eq. 3), because people see tags in the order of their scores. The log loss of
    right values alone would weigh down the votes of neighbors, which are often 0 or 1.

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
    # Opponents are wrong values of other images: what counts is the order over images.
    turns = [np.roll(np.arange(len(logs)), 1 + n * SHIFT) for n in range(OPPONENTS)]

    def loss(weights: Floats) -> float:
        p = pooled(weights, logs)
        low, high = _odds((p * right).sum(axis=1)), _odds((p * wrong).sum(axis=1))
        losses = [np.logaddexp(0.0, low - high[turn]).mean() for turn in turns]
        return float(np.mean(losses) + TOWARDS_EVEN * ((weights - start) ** 2).sum())

    bounds = [(0.0, MOST_WEIGHT)] * len(start)
    result = minimize(loss, start, bounds=bounds, method="L-BFGS-B")
    return np.asarray(result.x, dtype=np.float64)


def pooled(weights: Floats, logs: Floats) -> Floats:
    """Return the pooled probabilities of log probabilities (n, 3, V), (n, V).

    The same as `TagPool.forward` computes, for arrays.
    """
    result: Floats = softmax(np.einsum("s,nsv->nv", weights, logs), axis=1)
    return result


def _odds(mass: Floats) -> Floats:
    """Return the log odds that a value is wrong, of shape (n,), from the mass that fits it."""
    odds: Floats = np.log((1 - mass + LEAST_MASS) / (mass + LEAST_MASS))
    return odds


def with_weights(
    predictor: TagPredictor,
    sources: Mapping[str, TagSources],
    embedding: Floats,
    values: Values,
) -> dict[str, TagSources]:
    """Return the sources with weights fitted on held-out images.

    Parameters
    ----------
    embedding, values
        Of the held-out images, of shape (n, D), and keyword to shape (n,).
    """
    logs = predictor.source_logs(embedding)
    weighted = {}
    for tag, one in sources.items():
        column = values[tag]
        # The pool cannot fit a value that no training image has.
        known = np.isin(column, one.concepts)
        right = column[known]
        wrong = wrong_values(tag, right, np.random.default_rng(len(right)))
        weights = fit_weights(
            logs[tag][known],
            fits(tag, one.concepts, right),
            fits(tag, one.concepts, wrong),
        )
        weighted[tag] = replace(one, weights=weights)
    return weighted
