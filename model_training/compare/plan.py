"""The plan of a comparison: the cells of the table and of each sweep."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from model_training.compare.cell import (
    CONSTRAINTS,
    GAMMA,
    POISON,
    RECIPE_CHANGES,
    SWEEPS,
    TABLE,
    Cell,
    CellBudget,
    K,
)
from model_training.compare.methods import clustpy_methods
from model_training.compare.methods.recipes import METHODS, VARIATIONS
from model_training.network.training_config import TrainingConfig

FEATURES = ("PCA", "HOG", "LBP", "CAE")
ALGORITHMS = ("k-means", "COP k-means", "PC k-means")
DEEP = ("dec", "idec", "paper", "constrained", "veritag")

K_VALUES = tuple(range(5, 36, 5))
GAMMAS = (0.0, 0.1, 1.0, 10.0, 100.0)
COUNTS = (500, 2_000, 5_000, 20_000)
COARSE_COUNTS = (2_000, 20_000)
"""Numbers of constraints where only a share of the patients is labelled."""
LABELLED = (0.1, 0.3, 1.0)
WRONG = (0.0, 0.05, 0.1, 0.2, 0.3)


def plan(budget: CellBudget, only: Sequence[str] = SWEEPS) -> list[Cell]:
    """Return the cells of the chosen sweeps, in each of them the first seed first."""
    cells: list[Cell] = []
    for sweep in SWEEPS:
        if sweep not in only or sweep not in _PLANS:
            continue
        seeds = budget.seeds if sweep == TABLE else budget.sweep_seeds
        # A comparison that is stopped early then has every row at least once.
        for seed in range(1, seeds + 1):
            cells += _PLANS[sweep](budget, seed)
    return cells


def budgeted(
    name: str, budget: CellBudget, seed: int, *, sweep: bool
) -> TrainingConfig:
    """Return a recipe by name, limited to the budget."""
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
    cae = budgeted("cae", budget, seed, sweep=False)
    for features, algorithm in product(FEATURES, ALGORITHMS):
        yield replace(
            base,
            row=f"{features}, {algorithm}",
            features=features,
            algorithm=algorithm,
            config=cae if features == "CAE" else None,
        )
    for name in DEEP:
        config = budgeted(name, budget, seed, sweep=False)
        yield replace(base, row=name, config=config)
    config = budgeted("paper", budget, seed, sweep=False)
    yield replace(base, row="paper, its own pairs", config=config, rules="paper")
    if clustpy_methods.available():
        for name in clustpy_methods.NAMES:
            yield replace(base, row=name, features="ClustPy", algorithm=name)


def _swept(sweep: str, budget: CellBudget, seed: int, name: str, row: str = "") -> Cell:
    config = budgeted(name, budget, seed, sweep=True)
    return Cell(
        sweep,
        row or name,
        seed,
        image_set="sweep",
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
    cae = budgeted("cae", budget, seed, sweep=True)
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
    cae = budgeted("cae", budget, seed, sweep=True)
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
    cae = budgeted("cae", budget, seed, sweep=True)
    for wrong in WRONG:
        for name in ("veritag", "constrained"):
            cell = replace(_swept(POISON, budget, seed, name), x=wrong, wrong=wrong)
            yield cell
        yield _on_cae(cell, "PC k-means", cae)


def _recipe_changes(budget: CellBudget, seed: int) -> Iterator[Cell]:
    for name in ("veritag", *VARIATIONS):
        cell, config = _swept(RECIPE_CHANGES, budget, seed, name), _recipe(name)
        # Pairs are among the variations: each keeps the rules and number of its own.
        rules = "careful" if config.careful_pairs else "paper"
        count = config.constraints or budget.constraints
        yield replace(cell, constraints=count, rules=rules)


def _recipe(name: str) -> TrainingConfig:
    return VARIATIONS[name] if name in VARIATIONS else METHODS[name]


def _config(cell: Cell) -> TrainingConfig:
    if cell.config is None:
        raise ValueError(f"{cell.key} learns no features")
    return cell.config


_PLANS: Mapping[str, Callable[[CellBudget, int], Iterator[Cell]]] = {
    TABLE: _table,
    RECIPE_CHANGES: _recipe_changes,
    K: _k,
    GAMMA: _gamma,
    CONSTRAINTS: _constraints,
    POISON: _poison,
}
