"""Recipes of `veritag train`: names, changed settings, digest."""

import pytest

from model_training.network.training_config import TrainingConfig
from model_training.runs.commands import RecipeName
from model_training.runs.recipes import RECIPES, chosen_recipe


def test_the_command_offers_every_recipe() -> None:
    """The choices of the option are the names of the recipes."""
    assert {recipe.value for recipe in RecipeName} == set(RECIPES)
    assert all(config.recipe == name for name, config in RECIPES.items())


def test_settings_change_a_recipe_and_none_leaves_it() -> None:
    """A changed recipe keeps its name for the lineage."""
    config = chosen_recipe("large", clusters=7, epochs=None)
    assert (config.clusters, config.epochs, config.recipe) == (7, 18, "large")


@pytest.mark.parametrize("change", [{"seed": 2}, {"gamma": 0.5}, {"precision": "bf16"}])
def test_every_setting_is_in_the_digest(change: dict[str, object]) -> None:
    """Equal configurations have equal digests, different ones different digests."""
    assert TrainingConfig().digest() == TrainingConfig().digest()
    assert TrainingConfig().digest() != chosen_recipe("veritag", **change).digest()
