"""One cell run: from training images to the clusters of unseen ones."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.compare.bench import Bench
from model_training.compare.cells import Cell
from model_training.compare.methods import peers
from model_training.compare.methods.constrained_kmeans import cop_kmeans, pc_kmeans
from model_training.compare.metrics import figures_of, intervals
from model_training.constraints.sample_constraints import Constraints, purity
from model_training.network.clustering import initial_centers, squared_distances
from veritag.errors import StopError

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class CellOutcome:
    """What a method made of the unseen images.

    Attributes
    ----------
    embedding
        As it was clustered, of shape (N, D).
    labels
        The cluster of each image, of shape (N,).
    centers
        Of shape (K, D), where the method has such.
    notes
        What else is to be told, such as constraints that were not kept.
    """

    embedding: Floats
    labels: Labels
    centers: Floats | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def nearest(
    embedding: Floats, centers: Floats, notes: Mapping[str, Any]
) -> CellOutcome:
    """Put each image into the cluster of the nearest center."""
    labels = squared_distances(embedding, centers).argmin(axis=1)
    return CellOutcome(embedding, labels, centers, notes)


def run_cell(cell: Cell, bench: Bench) -> tuple[dict[str, Any], CellOutcome | None]:
    """Return what is stored of a cell, and its outcome; none if it failed."""
    begun = time.perf_counter()
    try:
        outcome = _outcome(cell, bench)
    except StopError as error:
        return {"digest": cell.digest(), "failed": str(error)}, None
    seconds = time.perf_counter() - begun
    unseen, labels = bench.parts.unseen, outcome.labels
    return {
        "digest": cell.digest(),
        "seconds": round(seconds, 1),
        "parts": {
            name: figures_of(labels, outcome.embedding, unseen, mask)
            for name, mask in bench.parts.reports().items()
        },
        "intervals": intervals(labels, unseen),
        "notes": dict(outcome.notes),
    }, outcome


def _outcome(cell: Cell, bench: Bench) -> CellOutcome:
    if cell.features == "peer":
        return _peer(cell, bench)
    if cell.features:
        return _on_features(cell, bench)
    if cell.config is None:
        raise ValueError(f"{cell.key} has neither features nor a configuration")
    trained = bench.trained(cell, cell.config)
    notes: dict[str, Any] = {"passes": len(trained.history)}
    if cell.config.gamma and cell.constraints:
        notes |= _pairs_told(bench.constraints(cell), bench)
    return nearest(trained.embed(bench.parts.unseen.tiles), trained.centers, notes)


def _on_features(cell: Cell, bench: Bench) -> CellOutcome:
    if cell.features == "CAE" and cell.config is not None:
        training, unseen = bench.embedded(cell, cell.config)
    else:
        training, unseen = bench.features(cell.features, cell.seed)
    if cell.algorithm == "k-means":
        centers = initial_centers(training, cell.clusters, cell.seed)
        return nearest(unseen, centers, {})
    constraints = bench.constraints(cell)
    algorithm = cop_kmeans if cell.algorithm == "COP k-means" else pc_kmeans
    result = algorithm(
        training,
        constraints.must_link,
        constraints.cannot_link,
        cell.clusters,
        seed=cell.seed,
    )
    notes = {"violated": result.violated, "relaxed": result.relaxed}
    return nearest(unseen, result.centers, notes | _pairs_told(constraints, bench))


def _pairs_told(constraints: Constraints, bench: Bench) -> dict[str, Any]:
    training = bench.parts.training
    kinds = np.char.add(np.char.add(training.modality, " "), training.region)
    right = purity(constraints, kinds)
    return {
        "must_link": len(constraints.must_link),
        "cannot_link": len(constraints.cannot_link),
        "must_link_purity": round(float(right.must_link), 3),
        "cannot_link_purity": round(float(right.cannot_link), 3),
    }


def _peer(cell: Cell, bench: Bench) -> CellOutcome:
    embedding, labels = peers.run(
        cell.algorithm,
        bench.parts.training.tiles,
        bench.parts.unseen.tiles,
        cell.clusters,
        cell.seed,
    )
    return CellOutcome(embedding, labels)
