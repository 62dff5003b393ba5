"""Recipes of the compared methods: the paper's numbers, and those of its ancestors."""

from model_training.compare.methods.recipes import METHODS
from model_training.network.encoder import EMBEDDING, FILTERS


def test_each_method_names_itself() -> None:
    """The recipe of each method is its name."""
    assert all(config.recipe == name for name, config in METHODS.items())


def test_the_paper_s_numbers() -> None:
    """Weights 0.1, 1 and 10, Adam at 0.001, batches of 50, 100 passes, no additions."""
    paper = METHODS["paper"]
    assert (paper.alpha, paper.beta, paper.gamma) == (0.1, 1.0, 10.0)
    assert (paper.learning_rate, paper.batch, paper.epochs) == (1e-3, 50, 100)
    assert (paper.clusters, paper.margin, paper.degrees) == (25, 1.0, 1.0)
    assert (paper.filters, paper.embedding) == (FILTERS, EMBEDDING)
    assert paper.tags == paper.augment == 0
    assert [paper.batch_norm, paper.whiten, paper.careful_pairs] == [False] * 3


def test_its_ancestors_lack_what_it_added() -> None:
    """IDEC has no pairs, DEC no reconstruction while clustering, CAE no clustering."""
    assert METHODS["idec"].gamma == METHODS["idec"].constraints == 0
    assert METHODS["dec"].beta == METHODS["dec"].gamma == 0
    assert METHODS["cae"].cluster_epochs == 0
