"""The training loop, read top to bottom: the encoder first, then clusters with it.

Manojlovic and Stajduhar, Diagnostics 2021, 11(10):1920: an autoencoder is trained,
k-means on its embedding gives the first cluster centers, then both are trained with
alpha * L_clustering + beta * L_reconstruction + gamma * L_pairwise (eq. 10). What the
recipes add to it (the loss on tags) is one more term, with weight 0 in theirs.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_training.checkpoint import Checkpoint
from model_training.clustering import (
    Floats,
    fit_whitening,
    initial_centers,
    target_distribution,
)
from model_training.config import TrainingConfig
from model_training.distributed import Ranks, join_ranks
from model_training.embedding import (
    BATCH,
    as_floats,
    embed,
    settle_norms,
    soft_assignment,
)
from model_training.network import ClusteringNetwork
from model_training.objective import Objective, held_out_loss
from model_training.pairs import pair_source
from model_training.stepping import Diverged, batches, stepper, steps_of
from model_training.training_data import (
    DeviceData,
    TrainingSet,
    on_device,
    vocabulary_of,
)

NORM_TILES = 1024
"""Images from which the norms' statistics are taken after a pass."""
ENCODER, CLUSTERS = "encoder", "clusters"


@dataclass(frozen=True, slots=True)
class EpochFigures:
    """One pass.

    Attributes
    ----------
    part
        `encoder` before there are clusters, then `clusters`.
    terms
        Name of each loss to its weighted mean.
    held_out
        Loss on held-out images without variation; None in the second part.
    changed
        Share of assignments that differ from the pass before; None in the first part.
    empty
        Clusters without an image; None in the first part.
    """

    part: str
    epoch: int
    terms: dict[str, float]
    held_out: float | None = None
    changed: float | None = None
    empty: int | None = None

    def __str__(self) -> str:
        """Return one line for people."""
        told = [f"{name} {value:.4f}" for name, value in self.terms.items()]
        if self.held_out is not None:
            told.append(f"held out {self.held_out:.4f}")
        if self.changed is not None:
            told.append(f"{self.changed:.1%} reassigned")
        if self.empty:
            told.append(f"{self.empty} clusters empty")
        return f"{self.part} {self.epoch}: {', '.join(told)}"


@dataclass
class Trained:
    """A trained network and how it came about."""

    network: ClusteringNetwork
    config: TrainingConfig
    history: list[EpochFigures] = field(default_factory=list)

    @property
    def centers(self) -> Floats:
        """Cluster centers, of shape (K, D)."""
        return as_floats(self.network.cluster_centers)

    def embed(
        self, tiles: NDArray[np.uint8], noise: torch.Generator | None = None
    ) -> Floats:
        """Return embeddings of tiles (N, size, size), of shape (N, D).

        With a generator, of varied tiles.
        """
        return embed(self.network, tiles, self.config.augment, noise)

    def soft_assignment(self, tiles: NDArray[np.uint8]) -> Floats:
        """Return q of tiles (N, size, size), of shape (N, K)."""
        return soft_assignment(self.network, tiles)


@dataclass
class Run:
    """What the two parts share; what changes is what a checkpoint holds."""

    trained: Trained
    training: TrainingSet
    held: DeviceData
    objective: Objective
    rng: np.random.Generator
    ranks: Ranks
    checkpoint: Checkpoint | None
    on_step: Callable[[int], None]
    on_epoch: Callable[[EpochFigures], None]
    state: dict[str, Any] = field(default_factory=dict)

    def note(self, figures: EpochFigures, **state: Any) -> None:
        """Tell of a pass, and save where the run stands after it."""
        self.trained.history.append(figures)
        if not self.ranks.is_main:
            return
        self.on_epoch(figures)
        if self.checkpoint is not None:
            self.checkpoint.save(
                {
                    "part": figures.part,
                    "epoch": figures.epoch,
                    "network": self.trained.network.state_dict(),
                    "history": self.trained.history,
                    "rng": self.rng.bit_generator.state,
                    "noise": self.objective.noise.get_state(),
                    **state,
                }
            )

    def resume(self) -> None:
        """Take up a checkpoint of this run, where there is one."""
        saved = self.checkpoint.load() if self.checkpoint is not None else None
        if saved is None:
            return
        self.state = saved
        self.trained.network.load_state_dict(saved["network"])
        self.trained.history = saved["history"]
        self.rng.bit_generator.state = saved["rng"]
        self.objective.noise.set_state(saved["noise"])

    def taken_up(self, part: str) -> dict[str, Any]:
        """Return the checkpoint's state where it lies in this part, else nothing."""
        return self.state if self.state.get("part") == part else {}


def train(
    training: TrainingSet,
    held_out: TrainingSet,
    config: TrainingConfig,
    *,
    device: str = "cpu",
    start: Trained | None = None,
    old_clusters: NDArray[np.int64] | None = None,
    checkpoint: Checkpoint | None = None,
    on_step: Callable[[int], None] = lambda _: None,
    on_epoch: Callable[[EpochFigures], None] = lambda _: None,
) -> Trained:
    """Train on a training set; the held-out one decides when the first part stops.

    Parameters
    ----------
    start
        A network whose first part is done, to go on from with clusters.
    old_clusters
        The cluster of each training image in the model before, -1 without one, of shape
        (N,): its clusters are where k-means starts.
    checkpoint
        Where the run is kept after each pass, and from where it is taken up.
    on_step
        Called with the number of images of each step.

    Raises
    ------
    Diverged
        If the loss becomes infinite or fewer than two clusters are left.
    """
    run = _begin(training, held_out, config, device, start, checkpoint)
    run.on_step, run.on_epoch = on_step, on_epoch
    run.resume()
    if start is None and run.state.get("part") != CLUSTERS:
        train_encoder(run)
    if run.state.get("part") != CLUSTERS:
        place_centers(run.trained, training.tiles, old_clusters)
        run.ranks.agree(run.trained.network)
    train_clusters(run)
    run.ranks.close()
    run.trained.network.eval()
    return run.trained


def train_encoder(run: Run) -> None:
    """Train without clusters, until held-out images are not told better."""
    network, config, count = run.trained.network, run.trained.config, len(run.training)
    steps = steps_of(config.epochs, count, config.batch)
    stepping = stepper(network, config.learning_rate, steps, run.ranks)
    before = run.taken_up(ENCODER)
    if before:
        stepping.optimizer.load_state_dict(before["optimizer"])
        stepping.schedule.load_state_dict(before["schedule"])
    best, since_best = before.get("best", math.inf), before.get("since_best", 0)
    best_state = before.get("best_state", copy.deepcopy(network.state_dict()))
    for epoch in range(before.get("epoch", 0) + 1, config.epochs + 1):
        if since_best > config.patience:
            break
        network.train()
        stepping.begin_pass()
        for rows in batches(count, config.batch, run.rng):
            terms, _ = run.objective.of_images(run.ranks.share(rows))
            stepping.step(terms, len(rows) / count)
            run.on_step(len(rows))
        settle_norms(network, run.training.tiles[:: max(1, count // NORM_TILES)])
        run.ranks.agree(network)
        error = held_out_loss(network, run.held, config, BATCH)
        since_best += 1
        if error < best:
            best, since_best = error, 0
            best_state = copy.deepcopy(network.state_dict())
        run.note(
            EpochFigures(ENCODER, epoch, stepping.totals, held_out=error),
            optimizer=stepping.optimizer.state_dict(),
            schedule=stepping.schedule.state_dict(),
            best=best, since_best=since_best, best_state=best_state,
        )  # fmt: skip
    network.load_state_dict(best_state)


def train_clusters(run: Run) -> None:
    """Train centers and encoder together, until hardly an assignment changes."""
    network, config, count = run.trained.network, run.trained.config, len(run.training)
    steps = steps_of(config.cluster_epochs, count, config.batch)
    stepping = stepper(network, config.cluster_learning_rate, steps, run.ranks)
    before = run.taken_up(CLUSTERS)
    if before:
        stepping.optimizer.load_state_dict(before["optimizer"])
        stepping.schedule.load_state_dict(before["schedule"])
    q = soft_assignment(network, run.training.tiles)
    target = before.get("target", target_distribution(q))
    pair_rng = np.random.default_rng((config.seed, run.ranks.rank))
    for epoch in range(before.get("epoch", 0) + 1, config.cluster_epochs + 1):
        network.train()
        network.freeze_norms()  # the centers were placed under these statistics
        gamma = config.gamma * min(1.0, epoch / max(1, config.gamma_ramp))
        on_device = torch.from_numpy(target).float().to(run.held.device)
        stepping.begin_pass()
        for rows in batches(count, config.batch, run.rng):
            own = run.ranks.share(rows)
            terms = run.objective.of_clusters(own, on_device, gamma, pair_rng)
            stepping.step(terms, len(rows) / count)
            run.on_step(len(rows))
        run.ranks.agree(network)
        last, q = q.argmax(1), soft_assignment(network, run.training.tiles)
        changed = float((q.argmax(1) != last).mean())
        empty = config.clusters - len(np.unique(q.argmax(1)))
        if config.clusters - empty < min(2, config.clusters):
            raise Diverged(
                "the clusters collapsed: every image lies in one; fewer clusters, a "
                "lower gamma or a lower learning rate may help"
            )
        if epoch % config.update_interval == 0:
            target = target_distribution(q)  # eq. 12, over the whole set
        run.note(
            EpochFigures(
                CLUSTERS, epoch, stepping.totals, changed=changed, empty=empty
            ),
            optimizer=stepping.optimizer.state_dict(),
            schedule=stepping.schedule.state_dict(),
            target=target,
        )
        if changed < config.tol:
            break


def place_centers(
    trained: Trained,
    tiles: NDArray[np.uint8],
    old_clusters: NDArray[np.int64] | None = None,
) -> None:
    """Whiten the embedding where the recipe asks for it, and start the centers."""
    network, config = trained.network, trained.config
    z = embed(network, tiles)
    if config.whiten:
        whitening = fit_whitening(z)
        network.whiten(
            torch.from_numpy(whitening.mean), torch.from_numpy(whitening.matrix)
        )
        z = whitening.apply(z)
    centers = initial_centers(z, config.clusters, config.seed, old_clusters)
    with torch.no_grad():
        network.cluster_centers.copy_(torch.from_numpy(centers))


def _begin(
    training: TrainingSet,
    held_out: TrainingSet,
    config: TrainingConfig,
    device: str,
    start: Trained | None,
    checkpoint: Checkpoint | None,
) -> Run:
    torch.manual_seed(config.seed)
    ranks = join_ranks(device)
    vocabulary = vocabulary_of(training)
    data = on_device(training, vocabulary, config.balance, device)
    # Too few patients to hold any back: then the images themselves have to do.
    held = on_device(held_out or training, vocabulary, config.balance, device)
    if start is None:
        network = ClusteringNetwork(config, vocabulary.sizes() if config.tags else {})
    else:
        network = copy.deepcopy(start.network)
        network.cluster_centers = torch.nn.Parameter(
            torch.zeros(config.clusters, config.embedding)
        )
        network.degrees = config.degrees
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ranks.agree(network)
    noise = torch.Generator(device).manual_seed(config.seed + 7919 * ranks.rank)
    pairs = None
    if training.constraints is not None and config.gamma:
        pairs = pair_source(
            training.constraints, len(training), closure=config.careful_pairs
        )
    return Run(
        Trained(network, config, list(start.history) if start else []),
        training,
        held,
        Objective(network, data, config, pairs, noise),
        np.random.default_rng(config.seed),
        ranks,
        checkpoint,
        on_step=lambda _: None,
        on_epoch=lambda _: None,
    )
