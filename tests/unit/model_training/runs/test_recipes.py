"""Recipes: their names, and that the paper's has the paper's numbers."""

import pytest

from model_training.network.encoder import EMBEDDING, FILTERS
from model_training.network.training_config import TrainingConfig
from model_training.runs.commands import RecipeName
from model_training.runs.recipes import RECIPES, chosen_recipe


def test_the_command_offers_every_recipe() -> None:
    """Names of the option and of the settings are the same, and each names itself."""
    assert {recipe.value for recipe in RecipeName} == set(RECIPES)
    assert all(config.recipe == name for name, config in RECIPES.items())


def test_the_paper_s_numbers() -> None:
    """Weights 0.1, 1 and 10, Adam at 0.001 with batches of 50, 100 passes, no tricks."""
    paper = RECIPES["paper"]
    assert (paper.alpha, paper.beta, paper.gamma) == (0.1, 1.0, 10.0)
    assert (paper.learning_rate, paper.batch, paper.epochs) == (1e-3, 50, 100)
    assert (paper.clusters, paper.margin, paper.degrees) == (25, 1.0, 1.0)
    assert (paper.filters, paper.embedding) == (FILTERS, EMBEDDING)
    assert paper.tags == paper.augment == 0
    assert [paper.batch_norm, paper.whiten, paper.careful_pairs] == [False] * 3


def test_its_ancestors_lack_what_it_added() -> None:
    """IDEC has no pairs, DEC no reconstruction while clustering, CAE no clustering."""
    assert RECIPES["idec"].gamma == RECIPES["idec"].constraints == 0
    assert RECIPES["dec"].beta == RECIPES["dec"].gamma == 0
    assert RECIPES["cae"].cluster_epochs == 0


def test_settings_change_a_recipe_and_none_leaves_it() -> None:
    """The name stays, so that the lineage tells where it came from."""
    config = chosen_recipe("idec", clusters=7, epochs=None)
    assert (config.clusters, config.epochs, config.recipe) == (7, 100, "idec")


@pytest.mark.parametrize("change", [{"seed": 2}, {"gamma": 0.5}, {"precision": "bf16"}])
def test_every_setting_is_in_the_digest(change: dict[str, object]) -> None:
    """Equal configurations have equal fingerprints, others have not."""
    assert TrainingConfig().digest() == TrainingConfig().digest()
    assert TrainingConfig().digest() != chosen_recipe("veritag", **change).digest()
