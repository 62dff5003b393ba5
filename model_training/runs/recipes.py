"""Named settings of `veritag train`: the paper's, its ancestors', and our own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model_training.network.training_config import TrainingConfig

PAPER = TrainingConfig(
    recipe="paper",
    batch_norm=False,
    epochs=100,
    cluster_epochs=100,
    batch=50,
    learning_rate=1e-3,
    cluster_learning_rate=1e-3,
    alpha=0.1,
    beta=1.0,
    gamma=10.0,
    tags=0.0,
    balance=0.0,
    gamma_ramp=0,
    careful_pairs=False,
    pairs=2,
    augment=0.0,
    views=0,
)
"""Manojlovic and Stajduhar, Diagnostics 2021, 11(10):1920, as printed."""

IDEC = replace(PAPER, recipe="idec", gamma=0.0, constraints=0)
"""Guo et al. 2017: the paper's objective without pairs."""

DEC = replace(PAPER, recipe="dec", alpha=1.0, beta=0.0, gamma=0.0, constraints=0)
"""Xie et al. 2016: only the clusters pull; the autoencoder is trained before."""

CAE = replace(IDEC, recipe="cae", cluster_epochs=0)
"""The autoencoder alone, with k-means on its embedding."""

CONSTRAINED = replace(
    PAPER,
    recipe="constrained",
    batch_norm=True,
    epochs=12,
    cluster_epochs=8,
    batch=64,
    learning_rate=2e-3,
    cluster_learning_rate=3e-4,
    beta=0.0,
    gamma=1.0,
    contrast=0.3,
    pretrain_pairs=2.0,
    gamma_ramp=2,
    careful_pairs=True,
    pairs=64,
    augment=1.0,
    views=2,
)
"""Constraints alone, without a loss on tags: pure, balanced, closed pairs from the start.

Instead of reconstruction, images are told from one another by their variations.
"""

OURS = TrainingConfig()
"""The loss on tags, then clusters with tags, targets and careful pairs together."""

CONTRASTIVE = replace(OURS, recipe="contrastive", contrast=0.3, pretrain_pairs=1.0)
"""Ours, with images told from one another and pairs from the start: three times as slow."""

LARGE = replace(
    OURS,
    recipe="large",
    filters=(32, 64, 96, 128, 128),
    residual=True,
    epochs=18,
    restyle=0.5,
)
"""Ours with a larger encoder, for images of many sources: four times as slow."""

RECIPES: Mapping[str, TrainingConfig] = {
    "veritag": OURS,
    "contrastive": CONTRASTIVE,
    "large": LARGE,
    "paper": PAPER,
    "constrained": CONSTRAINED,
    "idec": IDEC,
    "dec": DEC,
    "cae": CAE,
}

VARIATIONS: Mapping[str, TrainingConfig] = {
    "without passes with clusters": replace(OURS, cluster_epochs=0),
    "without pairs": replace(OURS, gamma=0.0, pretrain_pairs=0.0, constraints=0),
    "without batch norm": replace(OURS, batch_norm=False),
    "with reconstruction": replace(OURS, beta=1.0),
    "with contrast": replace(OURS, contrast=0.3),
    "with contrast, and pairs from the start": CONTRASTIVE,
    "all values of a tag weigh alike by image": replace(OURS, balance=0.0),
    "all values of a tag weigh alike in sum": replace(OURS, balance=1.0),
    "tiles varied twice as far": replace(OURS, augment=2.0),
    "tiles not varied": replace(OURS, augment=0.0),
    "shown as other devices would": replace(OURS, restyle=1.0),
    "twice the filters": replace(OURS, filters=(32, 64, 96, 128, 128)),
    "20 degrees of freedom": replace(OURS, degrees=20.0),
    "gamma 10": replace(OURS, gamma=10.0),
    "pairs as in the paper": replace(OURS, careful_pairs=False),
}
"""What was tried beside our own recipe, each one change away from it."""


def chosen_recipe(name: str, **settings: Any) -> TrainingConfig:
    """Return a recipe with some settings changed; None leaves the recipe's own."""
    changed = {key: value for key, value in settings.items() if value is not None}
    return replace(RECIPES[name], **changed)
