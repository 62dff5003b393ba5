"""Run of one cell: from training images to the clusters of unseen ones."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.compare.cell import Cell
from model_training.compare.cell_inputs import CellInputs
from model_training.compare.methods import clustpy_methods
from model_training.compare.methods.constrained_kmeans import cop_kmeans, pc_kmeans
from model_training.compare.metrics import figures_of, intervals
from model_training.constraints.sample_constraints import Constraints, purity
from model_training.network.clustering import initial_centers, squared_distances
from veritag.errors import StopError

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class CellOutcome:
    """Result of a method on the unseen images.

    Attributes
    ----------
    embedding
        The features that were clustered, of shape (N, D).
    labels
        The cluster of each image, of shape (N,).
    centers
        Of shape (K, D); None where the method has none.
    notes
        Further results, such as the number of broken constraints.
    """

    embedding: Floats
    labels: Labels
    centers: Floats | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def nearest(
    embedding: Floats, centers: Floats, notes: Mapping[str, Any]
) -> CellOutcome:
    """Return the outcome with each image in the cluster of the nearest center."""
    labels = squared_distances(embedding, centers).argmin(axis=1)
    return CellOutcome(embedding, labels, centers, notes)


def run_cell(
    cell: Cell, inputs: CellInputs
) -> tuple[dict[str, Any], CellOutcome | None]:
    """Return the result of a cell as it is stored, and its outcome, None if it failed."""
    begun = time.perf_counter()
    try:
        outcome = _outcome(cell, inputs)
    # A method that fails is a result, too: the others are still run.
    except StopError as error:
        return {"digest": cell.digest(), "failed": str(error)}, None
    seconds = time.perf_counter() - begun
    unseen, labels = inputs.images.unseen, outcome.labels
    return {
        "digest": cell.digest(),
        "seconds": round(seconds, 1),
        "parts": {
            name: figures_of(labels, outcome.embedding, unseen, mask)
            for name, mask in inputs.images.reported_masks().items()
        },
        "intervals": intervals(labels, unseen),
        "notes": dict(outcome.notes),
    }, outcome


def _outcome(cell: Cell, inputs: CellInputs) -> CellOutcome:
    if cell.features == "ClustPy":
        return _clustpy(cell, inputs)
    if cell.features:
        return _on_features(cell, inputs)
    if cell.config is None:
        raise ValueError(f"{cell.key} has neither features nor a configuration")
    trained = inputs.trained(cell, cell.config)
    notes: dict[str, Any] = {"passes": len(trained.history)}
    if cell.config.gamma and cell.constraints:
        notes |= _pair_figures(inputs.constraints(cell), inputs)
    return nearest(trained.embed(inputs.images.unseen.tiles), trained.centers, notes)


def _on_features(cell: Cell, inputs: CellInputs) -> CellOutcome:
    if cell.features == "CAE" and cell.config is not None:
        training, unseen = inputs.embedded(cell, cell.config)
    else:
        training, unseen = inputs.features(cell.features, cell.seed)
    if cell.algorithm == "k-means":
        centers = initial_centers(training, cell.clusters, cell.seed)
        return nearest(unseen, centers, {})
    constraints = inputs.constraints(cell)
    algorithm = cop_kmeans if cell.algorithm == "COP k-means" else pc_kmeans
    result = algorithm(
        training,
        constraints.must_link,
        constraints.cannot_link,
        cell.clusters,
        seed=cell.seed,
    )
    notes = {"violated": result.violated, "relaxed": result.relaxed}
    return nearest(unseen, result.centers, notes | _pair_figures(constraints, inputs))


def _pair_figures(constraints: Constraints, inputs: CellInputs) -> dict[str, Any]:
    training = inputs.images.training
    kinds = np.char.add(np.char.add(training.modality, " "), training.region)
    right = purity(constraints, kinds)
    return {
        "must_link": len(constraints.must_link),
        "cannot_link": len(constraints.cannot_link),
        "must_link_purity": round(float(right.must_link), 3),
        "cannot_link_purity": round(float(right.cannot_link), 3),
    }


def _clustpy(cell: Cell, inputs: CellInputs) -> CellOutcome:
    embedding, labels = clustpy_methods.run_clustpy(
        cell.algorithm,
        inputs.images.training.tiles,
        inputs.images.unseen.tiles,
        cell.clusters,
        cell.seed,
    )
    return CellOutcome(embedding, labels)
