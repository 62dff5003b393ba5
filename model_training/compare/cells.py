"""What a comparison runs: one cell for each method, seed and value of what is varied."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

from model_training.compare.methods import peers
from model_training.compare.methods.recipes import METHODS, VARIATIONS
from model_training.network.training_config import TrainingConfig

TABLE, K, GAMMA, CONSTRAINTS, TSNE, POISON, TRIED = (
    "table3", "k", "gamma", "constraints", "tsne", "poison", "variations",
)  # fmt: skip
SWEEPS = (TABLE, TSNE, TRIED, K, GAMMA, CONSTRAINTS, POISON)
"""In the order in which they are run: what matters most comes first."""

FEATURES = ("PCA", "HOG", "LBP", "CAE")
ALGORITHMS = ("k-means", "COP k-means", "PC k-means")
DEEP = ("dec", "idec", "paper", "constrained", "veritag")
PICTURED = ("CAE, k-means", "idec", "paper", "veritag")
"""Rows whose embeddings are drawn by t-SNE."""

K_VALUES = tuple(range(5, 36, 5))
GAMMAS = (0.0, 0.1, 1.0, 10.0, 100.0)
COUNTS = (500, 2_000, 5_000, 20_000)
COARSE_COUNTS = (2_000, 20_000)
"""Where only a share of the patients is labelled."""
LABELLED = (0.1, 0.3, 1.0)
WRONG = (0.0, 0.05, 0.1, 0.2, 0.3)


@dataclass(frozen=True, slots=True)
class CellBudget:
    """How much a comparison may take.

    Attributes
    ----------
    size, sweep_size
        Side of the tiles in pixels, for the table and for the sweeps.
    limit, sweep_limit
        Images of one modality, region and source, likewise; 0 for all.
    epochs, cluster_epochs
        Most passes of any recipe before there are clusters, and with them.
    seeds, sweep_seeds
        How often each cell is run.
    clusters, constraints
        Where they are not what is varied.
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
        Where its figures belong: sweep, method, seed and value of what is varied.
    bench
        `full` or `sweep`: which images.
    features, algorithm
        Of the methods that cluster features that were made before.
    config
        Of the methods that learn their features, and of the features CAE.
    constraints, rules
        How many pairs, drawn by `careful` or by the `paper`'s rules.
    labelled
        Share of the training images whose tags may be used for pairs.
    wrong
        Share of the tags that were made wrong before training.
    """

    sweep: str
    row: str
    seed: int
    x: float | None = None
    bench: str = "full"
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
        """Name among the results."""
        return "/".join(
            str(part)
            for part in (self.sweep, self.row, self.x, self.labelled, self.seed)
            if part is not None
        )

    def digest(self) -> str:
        """Return a fingerprint: a result stands for cells of the same fingerprint."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan(budget: CellBudget, only: Sequence[str] = SWEEPS) -> list[Cell]:
    """Return the cells of the chosen sweeps, first seeds first within each."""
    cells: list[Cell] = []
    for sweep in SWEEPS:
        if sweep not in only or sweep not in _PLANS:
            continue
        seeds = budget.seeds if sweep == TABLE else budget.sweep_seeds
        for seed in range(1, seeds + 1):
            cells += _PLANS[sweep](budget, seed)
    return cells


def fitted(name: str, budget: CellBudget, seed: int, *, sweep: bool) -> TrainingConfig:
    """Return a recipe by name, cut to the budget."""
    config = _recipe(name)
    return replace(
        config,
        size=budget.sweep_size if sweep else budget.size,
        clusters=budget.clusters,
        epochs=min(config.epochs, budget.epochs),
        cluster_epochs=min(config.cluster_epochs, budget.cluster_epochs),
        constraints=min(config.constraints, budget.constraints),
        seed=seed,
    )


def _table(budget: CellBudget, seed: int) -> Iterator[Cell]:
    base = Cell(
        TABLE, "", seed, clusters=budget.clusters, constraints=budget.constraints
    )
    cae = fitted("cae", budget, seed, sweep=False)
    for features, algorithm in product(FEATURES, ALGORITHMS):
        yield replace(
            base,
            row=f"{features}, {algorithm}",
            features=features,
            algorithm=algorithm,
            config=cae if features == "CAE" else None,
        )
    for name in DEEP:
        config = fitted(name, budget, seed, sweep=False)
        yield replace(base, row=name, config=config)
    config = fitted("paper", budget, seed, sweep=False)
    yield replace(base, row="paper, its own pairs", config=config, rules="paper")
    if peers.available():
        for name in peers.NAMES:
            yield replace(base, row=name, features="peer", algorithm=name)


def _swept(sweep: str, budget: CellBudget, seed: int, name: str, row: str = "") -> Cell:
    config = fitted(name, budget, seed, sweep=True)
    return Cell(
        sweep,
        row or name,
        seed,
        bench="sweep",
        config=config,
        clusters=budget.clusters,
        constraints=budget.constraints,
    )


def _on_cae(cell: Cell, algorithm: str, config: TrainingConfig) -> Cell:
    return replace(
        cell,
        row=f"CAE, {algorithm}",
        features="CAE",
        algorithm=algorithm,
        config=config,
    )


def _k(budget: CellBudget, seed: int) -> Iterator[Cell]:
    cae = fitted("cae", budget, seed, sweep=True)
    for name, k in product(("paper", "veritag"), K_VALUES):
        cell = _swept(K, budget, seed, name)
        config = replace(_config(cell), clusters=k)
        cell = replace(cell, x=float(k), clusters=k, config=config)
        yield cell
        if name == "paper":
            yield _on_cae(cell, "k-means", cae)


def _gamma(budget: CellBudget, seed: int) -> Iterator[Cell]:
    for name, gamma in product(("paper", "constrained"), GAMMAS):
        cell = _swept(GAMMA, budget, seed, name)
        yield replace(cell, x=gamma, config=replace(_config(cell), gamma=gamma))


def _constraints(budget: CellBudget, seed: int) -> Iterator[Cell]:
    cae = fitted("cae", budget, seed, sweep=True)
    for share, count in product(LABELLED, COUNTS):
        if share < 1 and count not in COARSE_COUNTS:
            continue
        cell = _swept(CONSTRAINTS, budget, seed, "constrained")
        config = replace(_config(cell), constraints=count)
        cell = replace(
            cell, x=float(count), constraints=count, labelled=share, config=config
        )
        yield cell
        yield _on_cae(cell, "PC k-means", cae)


def _poison(budget: CellBudget, seed: int) -> Iterator[Cell]:
    cae = fitted("cae", budget, seed, sweep=True)
    for wrong in WRONG:
        for name in ("veritag", "constrained"):
            cell = replace(_swept(POISON, budget, seed, name), x=wrong, wrong=wrong)
            yield cell
        yield _on_cae(cell, "PC k-means", cae)


def _tried(budget: CellBudget, seed: int) -> Iterator[Cell]:
    for name in ("veritag", *VARIATIONS):
        cell, wanted = _swept(TRIED, budget, seed, name), _recipe(name)
        # Pairs are among what is tried, so each has those that it asks for.
        rules = "careful" if wanted.careful_pairs else "paper"
        count = wanted.constraints or budget.constraints
        yield replace(cell, constraints=count, rules=rules)


def _recipe(name: str) -> TrainingConfig:
    return VARIATIONS[name] if name in VARIATIONS else METHODS[name]


def _config(cell: Cell) -> TrainingConfig:
    if cell.config is None:
        raise ValueError(f"{cell.key} learns no features")
    return cell.config


_PLANS: Mapping[str, Callable[[CellBudget, int], Iterator[Cell]]] = {
    TABLE: _table,
    TRIED: _tried,
    K: _k,
    GAMMA: _gamma,
    CONSTRAINTS: _constraints,
    POISON: _poison,
}
