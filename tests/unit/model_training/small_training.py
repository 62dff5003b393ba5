"""Small tiles of four kinds and small networks, for trainings of seconds."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from model_training.compare.methods.recipes import METHODS
from model_training.constraints.sample_constraints import Constraints
from model_training.network.training_config import TrainingConfig
from model_training.training.training_data import TrainingSet
from veritag.phantoms.series import phantom_series
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import make_tile

KINDS = {
    "CT-HEAD": ("CT", "HEAD"),
    "CR-HAND": ("CR", "HAND"),
    "MG-BREAST": ("MG", "BREAST"),
    "US-ABDOMEN": ("US", "ABDOMEN"),
}
PATIENTS, SLICES, SIZE = 6, 2, 32
FILTERS = (4, 8, 8)


@cache
def phantom_tiles() -> TrainingSet:
    """Return 48 tiles of four kinds with modality and region, 12 of each in a row."""
    pre = Preprocessing(size=SIZE)
    tiles = [
        make_tile(ds, pre)
        for kind in KINDS
        for patient in range(PATIENTS)
        for ds in phantom_series(
            kind, patient=patient, instances=SLICES, seed=11, size=SIZE
        )
    ]
    names = np.repeat(np.array(list(KINDS.values())), PATIENTS * SLICES, axis=0)
    values = {"Modality": names[:, 0], "BodyPartExamined": names[:, 1]}
    return TrainingSet(np.stack(tiles), values, np.ones(len(tiles)))


def kinds() -> np.ndarray:
    """Return the number of each tile's kind, of shape (48,)."""
    return np.repeat(np.arange(len(KINDS)), PATIENTS * SLICES)


def constrained_tiles(n: int = 200, seed: int = 1) -> TrainingSet:
    """Return the tiles with n right must-links and n right cannot-links."""
    rng = np.random.default_rng(seed)
    pairs = np.sort(rng.integers(len(kinds()), size=(40 * n, 2)), axis=1)
    pairs = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)
    alike = kinds()[pairs[:, 0]] == kinds()[pairs[:, 1]]
    must, cannot = (rng.permutation(pairs[mask])[:n] for mask in (alike, ~alike))
    return replace(phantom_tiles(), constraints=Constraints(must, cannot))


def config(recipe: str = "veritag", **settings: Any) -> TrainingConfig:
    """Return a recipe, reduced to the size of these tiles."""
    small: dict[str, Any] = {
        "size": SIZE, "filters": FILTERS, "embedding": 10, "clusters": 4, "batch": 16,
        "epochs": 4, "learning_rate": 5e-3,
        "cluster_epochs": min(2, METHODS[recipe].cluster_epochs),
    }  # fmt: skip
    return replace(METHODS[recipe], **{**small, **settings})
