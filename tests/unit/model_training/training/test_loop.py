"""The training loop on a few dozen pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score

from model_training.constraints.pair_source import pair_source
from model_training.training.loop import EpochFigures, Trained, place_centers, train
from model_training.training.loop_state import begin_run
from model_training.training.objective import Objective
from model_training.training.stepping import Diverged, batches, make_stepper
from model_training.training.training_data import TrainingSet, on_device, vocabulary_of
from tests.unit.model_training.small_training import (
    config,
    constrained_tiles,
    kinds,
    phantom_tiles,
)


def assert_equal(one: Trained, other: Trained) -> None:
    """Fail unless two networks are equal bit by bit."""
    states = one.network.state_dict(), other.network.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=0, atol=0)


def nmi(trained: Trained) -> float:
    """Return the NMI of clusters and kinds of the pictures."""
    clusters = trained.soft_assignment(phantom_tiles().tiles).argmax(1)
    return float(normalized_mutual_info_score(kinds(), clusters))


@pytest.mark.parametrize("recipe", ["veritag", "paper", "constrained", "idec", "dec"])
def test_the_same_seed_gives_the_same_network(recipe: str) -> None:
    """Every recipe gives the same network twice, with finite losses."""
    one, other = (
        train(constrained_tiles(), phantom_tiles(), config(recipe)) for _ in range(2)
    )
    assert_equal(one, other)
    assert [e.part for e in one.history][3:5] == ["encoder", "clusters"]
    assert all(np.isfinite(list(e.terms.values())).all() for e in one.history)


def test_another_seed_gives_another_network() -> None:
    """Weights, order and centers depend on the seed."""
    one, other = (
        train(phantom_tiles(), phantom_tiles(), config("cae", epochs=1, seed=s))
        for s in (1, 2)
    )
    assert (one.centers != other.centers).any()


def test_the_terms_are_those_of_the_recipe() -> None:
    """The paper's recipe has the three terms of eq. 15; its encoder only reconstructs."""
    trained = train(constrained_tiles(), phantom_tiles(), config("paper"))
    terms = {e.part: set(e.terms) for e in trained.history}
    assert terms == {
        "encoder": {"reconstruction"},
        "clusters": {"reconstruction", "clustering", "pairwise"},
    }
    assert "changed" not in str(trained.history[0])
    assert "reassigned" in str(trained.history[-1])


def test_right_constraints_do_no_harm_on_kinds_that_are_apart() -> None:
    """The paper's recipe with pairs has at least the NMI of IDEC."""
    settings = {"epochs": 30, "cluster_epochs": 10, "tol": 0.0}
    without = train(phantom_tiles(), phantom_tiles(), config("idec", **settings))
    with_pairs = train(
        constrained_tiles(),
        phantom_tiles(),
        config("paper", pairs=16, gamma=1.0, **settings),
    )
    assert nmi(with_pairs) >= nmi(without)
    assert nmi(with_pairs) > 0.8


def test_the_passes_end_when_hardly_an_image_moves() -> None:
    """With a tolerance above 1 there is one pass, with 0 there are all."""
    for tol, passes in ((1.1, 1), (0.0, 3)):
        settings = config("idec", cluster_epochs=3, tol=tol)
        history = train(phantom_tiles(), phantom_tiles(), settings).history
        assert sum(e.part == "clusters" for e in history) == passes


def test_the_encoder_stops_when_held_out_images_are_not_told_better() -> None:
    """With a learning rate of 1e-12 the loss does not fall, and patience ends the training."""
    settings = config(
        "cae", epochs=20, learning_rate=1e-12, patience=2, cluster_epochs=0
    )
    history = train(phantom_tiles(), phantom_tiles(), settings).history
    assert len(history) < 10


@pytest.mark.parametrize("recipe", ["cae", "veritag"])
def test_an_absurd_learning_rate_is_told(recipe: str) -> None:
    """Losses that are not finite end the run with advice."""
    settings = config(recipe, learning_rate=1e30, epochs=5, batch_norm=False)
    with pytest.raises(Diverged, match="lower learning rate"):
        train(phantom_tiles(), phantom_tiles(), settings)


def test_weights_that_are_no_numbers_are_told() -> None:
    """A start network with NaN weights is refused."""
    start = train(phantom_tiles(), phantom_tiles(), config("cae", epochs=1))
    with torch.no_grad():
        start.network.encoder.dense.weight.fill_(float("nan"))
    with pytest.raises((Diverged, ValueError), match=r"diverged|NaN"):
        train(phantom_tiles(), phantom_tiles(), config("idec"), start=start)


def test_collapsed_clusters_are_told() -> None:
    """Equal pictures fill one cluster, which ends the run."""
    same = replace(phantom_tiles(), tiles=np.full_like(phantom_tiles().tiles, 7))
    with (
        pytest.warns(Warning, match="distinct clusters"),
        pytest.raises(Diverged, match="collapsed"),
    ):
        train(same, same, config("idec", epochs=1))


def test_a_shuffled_batch_gets_its_own_rows_of_the_target() -> None:
    """Rows of the target distribution are chosen by the indices of the batch."""
    settings = config("idec", beta=0.0, alpha=1.0)
    run = begin_run(phantom_tiles(), phantom_tiles(), settings, "cpu", None, None)
    run.trained.network.eval()
    place_centers(run.trained, phantom_tiles().tiles)
    q = run.trained.soft_assignment(phantom_tiles().tiles)
    p = np.random.default_rng(5).dirichlet(np.full(4, 0.5), size=len(q))
    rows = np.array([40, 3, 17, 25])
    terms = run.objective.cluster_terms(
        rows, torch.from_numpy(p).float(), 0.0, np.random.default_rng(1)
    )
    by_row = (p * np.log(p / q)).sum(1)
    assert terms["clustering"].item() == pytest.approx(by_row[rows].mean(), rel=1e-3)
    assert by_row[:4].mean() != pytest.approx(by_row[rows].mean(), rel=1e-2)


def test_a_batch_shows_every_image_once() -> None:
    """All rows come once, except a last single one."""
    parts = list(batches(33, 16, np.random.default_rng(1)))
    assert [len(p) for p in parts] == [16, 16]
    parts = list(batches(34, 16, np.random.default_rng(1)))
    assert sorted(np.concatenate(parts).tolist()) == list(range(34))


def test_clusters_begin_where_those_of_the_model_before_were() -> None:
    """With old clusters k-means starts from their means, and keeps their order."""
    settings = config("cae")
    old: NDArray[np.int64] = kinds()[::-1].copy()
    trained = train(phantom_tiles(), phantom_tiles(), settings, old_clusters=old)
    means = np.stack(
        [trained.embed(phantom_tiles().tiles[old == k]).mean(0) for k in range(4)]
    )
    apart = ((means[:, None] - trained.centers[None]) ** 2).sum(2)
    np.testing.assert_array_equal(apart.argmin(1), np.arange(4))


def test_a_start_keeps_its_encoder_and_its_history() -> None:
    """Training of clusters starts from a trained encoder, and does not change the original."""
    start = train(phantom_tiles(), phantom_tiles(), config("cae"))
    before = {k: v.clone() for k, v in start.network.state_dict().items()}
    after = train(
        phantom_tiles(), phantom_tiles(), config("idec", clusters=6), start=start
    )
    assert after.centers.shape == (6, 10)
    assert [e.part for e in after.history] == ["encoder"] * 4 + ["clusters"] * 2
    for name, value in start.network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("recipe", "term"), [("veritag", "tags"), ("cae", "reconstruction")]
)
def test_half_the_bytes_give_nearly_the_same_losses(recipe: str, term: str) -> None:
    """bfloat16 gives nearly the losses of float32, with weights in float32."""
    history: dict[str, list[EpochFigures]] = {}
    for precision in ("fp32", "bf16"):
        settings = config(recipe, precision=precision, augment=0.0, epochs=2)
        trained = train(constrained_tiles(), phantom_tiles(), settings)
        history[precision] = trained.history
        assert trained.network.encoder.dense.weight.dtype == torch.float32
    ours, theirs = (history[p][0].terms[term] for p in ("fp32", "bf16"))
    assert ours == pytest.approx(theirs, rel=0.05)
    assert ours != theirs


def test_the_step_goes_down_the_plain_sum_of_the_losses() -> None:
    """The steps give the same weights as a loop written by hand."""
    settings = config("paper", batch=8, learning_rate=1e-3)
    run = begin_run(constrained_tiles(), phantom_tiles(), settings, "cpu", None, None)
    plain = begin_run(constrained_tiles(), phantom_tiles(), settings, "cpu", None, None)
    optimizer = torch.optim.Adam(plain.trained.network.parameters(), lr=1e-3)
    ours = make_stepper(run.trained.network, 1e-3, 10**9, run.ranks)
    for start in range(0, 40, 8):
        rows = np.arange(start, start + 8)
        terms, _ = run.objective.image_terms(rows)
        ours.step(terms, 0.2)
        tiles = torch.from_numpy(phantom_tiles().tiles[rows]).float().unsqueeze(1) / 255
        optimizer.zero_grad()
        network = plain.trained.network
        assert network.decoder is not None
        loss = (network.decoder(network.encoder(tiles)) - tiles).square().mean()
        loss.backward()
        optimizer.step()
        assert terms["reconstruction"].item() == pytest.approx(loss.item(), rel=1e-5)
    pairs = zip(
        run.trained.network.parameters(),
        plain.trained.network.parameters(),
        strict=True,
    )
    for mine, yours in pairs:
        torch.testing.assert_close(mine, yours, rtol=1e-3, atol=1e-5)


def test_a_recipe_without_augmentation_shows_images_as_they_are() -> None:
    """The paper's recipe has no augmentation."""
    settings = config("paper")
    data = on_device(phantom_tiles(), vocabulary_of(phantom_tiles()), 0.0, "cpu")
    run = begin_run(phantom_tiles(), phantom_tiles(), settings, "cpu", None, None)
    noise = torch.Generator().manual_seed(1)
    source = pair_source(constrained_tiles().constraints, 48, closure=False)  # type: ignore[arg-type]
    objective = Objective(run.trained.network.eval(), data, settings, source, noise)
    before = noise.get_state()
    objective.image_terms(np.arange(8))
    assert torch.equal(noise.get_state(), before)


def test_a_tag_of_rare_values_is_not_told_apart() -> None:
    """A value of fewer than four images has no output in its head."""
    values = {"Modality": np.array(["CT"] * 5 + ["MR"] * 4 + ["XA"] * 3)}
    training = TrainingSet(np.zeros((12, 32, 32), np.uint8), values, np.ones(12))
    vocabulary = vocabulary_of(training)
    assert vocabulary.values == {"Modality": ("CT", "MR")}
    expected = [0] * 5 + [1] * 4 + [-1] * 3
    assert vocabulary.indices("Modality", values["Modality"]).tolist() == expected
