"""Named settings of `veritag train`, each for a bundle that a site can use."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model_training.network.training_config import TrainingConfig

VERITAG = TrainingConfig()
"""The loss on tags first; then clusters, with tags, targets and careful pairs."""

CONTRASTIVE = replace(VERITAG, recipe="contrastive", contrast=0.3, pretrain_pairs=1.0)
"""With the contrastive loss and pairs from the start: three times as slow."""

LARGE = replace(
    VERITAG,
    recipe="large",
    filters=(32, 64, 96, 128, 128),
    residual=True,
    epochs=18,
    restyle=0.5,
)
"""With a larger encoder, for images of many sources: four times as slow."""

RECIPES: Mapping[str, TrainingConfig] = {
    "veritag": VERITAG,
    "large": LARGE,
    "contrastive": CONTRASTIVE,
}


def chosen_recipe(name: str, **settings: Any) -> TrainingConfig:
    """Return a recipe with changed settings; None keeps the recipe's value."""
    changes = {key: value for key, value in settings.items() if value is not None}
    return replace(RECIPES[name], **changes)
