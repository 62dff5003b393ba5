"""Settings of the methods that a comparison trains: the paper's, earlier ones, changes of ours."""

from collections.abc import Mapping
from dataclasses import replace

from model_training.network.training_config import TrainingConfig
from model_training.runs.recipes import CONTRASTIVE, VERITAG

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
"""Xie et al. 2016: the clustering loss alone, after the autoencoder is trained."""

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

A contrastive loss replaces the reconstruction.
"""

METHODS: Mapping[str, TrainingConfig] = {
    "veritag": VERITAG,
    "paper": PAPER,
    "constrained": CONSTRAINED,
    "idec": IDEC,
    "dec": DEC,
    "cae": CAE,
}

VARIATIONS: Mapping[str, TrainingConfig] = {
    "without passes with clusters": replace(VERITAG, cluster_epochs=0),
    "without pairs": replace(VERITAG, gamma=0.0, pretrain_pairs=0.0, constraints=0),
    "without batch norm": replace(VERITAG, batch_norm=False),
    "with reconstruction": replace(VERITAG, beta=1.0),
    "with contrast": replace(VERITAG, contrast=0.3),
    "with contrast, and pairs from the start": CONTRASTIVE,
    "all values of a tag weigh alike by image": replace(VERITAG, balance=0.0),
    "all values of a tag weigh alike in sum": replace(VERITAG, balance=1.0),
    "tiles varied twice as far": replace(VERITAG, augment=2.0),
    "tiles not varied": replace(VERITAG, augment=0.0),
    "shown as other devices would": replace(VERITAG, restyle=1.0),
    "twice the filters": replace(VERITAG, filters=(32, 64, 96, 128, 128)),
    "20 degrees of freedom": replace(VERITAG, degrees=20.0),
    "gamma 10": replace(VERITAG, gamma=10.0),
    "pairs as in the paper": replace(VERITAG, careful_pairs=False),
}
"""Variations of the default recipe, each by one change."""
