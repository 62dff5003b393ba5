"""A cell of a comparison: one run of one method, with one seed and one setting."""

import hashlib
import json
from dataclasses import asdict, dataclass

from model_training.network.training_config import TrainingConfig

TABLE, K, GAMMA, CONSTRAINTS, TSNE, POISON, RECIPE_CHANGES = (
    "table3", "k", "gamma", "constraints", "tsne", "poison", "variations",
)  # fmt: skip
SWEEPS = (TABLE, TSNE, RECIPE_CHANGES, K, GAMMA, CONSTRAINTS, POISON)
"""In the order in which they are run, the most important first."""


PICTURED = ("CAE, k-means", "idec", "paper", "veritag")
"""Rows whose embeddings are drawn by t-SNE."""


@dataclass(frozen=True, slots=True)
class CellBudget:
    """Sizes of a comparison.

    Attributes
    ----------
    size, sweep_size
        Side of the tiles in pixels, for the table and for the sweeps.
    limit, sweep_limit
        Most images of one modality, region and source, likewise; 0 for all.
    epochs, cluster_epochs
        Most passes of any recipe before there are clusters, and with them.
    seeds, sweep_seeds
        Runs of each cell, each with a seed of its own.
    clusters, constraints
        Their numbers, except in the sweep that varies them.
    """

    size: int = 64
    sweep_size: int = 32
    limit: int = 150
    sweep_limit: int = 30
    epochs: int = 12
    cluster_epochs: int = 8
    seeds: int = 3
    sweep_seeds: int = 1
    clusters: int = 25
    constraints: int = 2_000


QUICK = CellBudget(
    size=32,
    limit=15,
    sweep_limit=15,
    epochs=4,
    cluster_epochs=2,
    seeds=1,
    sweep_seeds=1,
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of one method.

    Attributes
    ----------
    sweep, row, seed, x
        Place of its figures: sweep, method, seed and value of the varied setting.
    image_set
        `full` or `sweep`.
    features, algorithm
        Of methods that cluster ready features.
    config
        Of methods that learn their features, and of the features CAE.
    constraints, rules
        Number of pairs, drawn by the `careful` or by the `paper`'s rules.
    labelled
        Share of the training patients whose tags may be used for pairs.
    wrong
        Share of the tags that are made wrong before training.
    """

    sweep: str
    row: str
    seed: int
    x: float | None = None
    image_set: str = "full"
    features: str = ""
    algorithm: str = ""
    config: TrainingConfig | None = None
    clusters: int = 25
    constraints: int = 0
    rules: str = "careful"
    labelled: float = 1.0
    wrong: float = 0.0

    @property
    def key(self) -> str:
        """Name of the cell among the results."""
        return "/".join(
            str(part)
            for part in (self.sweep, self.row, self.x, self.labelled, self.seed)
            if part is not None
        )

    def digest(self) -> str:
        """Return a fingerprint of all fields; a result is of cells with the same one."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
