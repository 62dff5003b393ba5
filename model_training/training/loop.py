"""The training loop, read top to bottom: the encoder first, then clusters with it.

Manojlovic and Stajduhar, Diagnostics 2021, 11(10):1920: an autoencoder is trained,
k-means on its embedding gives the first cluster centers, then both are trained with
alpha * L_clustering + beta * L_reconstruction + gamma * L_pairwise (eq. 10). What the
recipes add to it (the loss on tags) is one more term, with weight 0 in theirs.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from model_training.network.clustering import (
    fit_whitening,
    initial_centers,
    target_distribution,
)
from model_training.network.training_config import TrainingConfig
from model_training.training.checkpoint import Checkpoint
from model_training.training.embedding import (
    batch_size,
    embed,
    settle_norms,
    soft_assignment,
)
from model_training.training.loop_state import LoopState, begin_run
from model_training.training.objective import held_out_loss
from model_training.training.stepping import (
    Diverged,
    Stepper,
    batches,
    stepper,
    steps_of,
)
from model_training.training.trained import CLUSTERS, ENCODER, EpochFigures, Trained
from model_training.training.training_data import TrainingSet

__all__ = ["EpochFigures", "Trained", "place_centers", "train"]

NORM_TILES = 1024
"""Images from which the norms' statistics are taken after a pass."""


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
    run = begin_run(training, held_out, config, device, start, checkpoint)
    run.on_step, run.on_epoch = on_step, on_epoch
    run.resume()
    if run.state.get("part") != CLUSTERS:
        if start is None:
            train_encoder(run)
        if run.ranks.is_main:
            place_centers(run.trained, training.tiles, old_clusters)
        run.ranks.agree(run.trained.network)
    train_clusters(run)
    run.ranks.close()
    # A copy is free of what compiling has left on the layers.
    return replace(run.trained, network=copy.deepcopy(run.trained.network).eval())


def train_encoder(run: LoopState) -> None:
    """Train without clusters, until held-out images are not told better."""
    network, config, count = run.trained.network, run.config, len(run.training)
    run.set_objective(encoder_config(config))
    steps = steps_of(config.epochs, count, config.batch)
    stepping = stepper(network, config.learning_rate, steps, run.ranks)
    before = run.taken_up(ENCODER)
    stepping.take_up(before)
    best, since_best = before.get("best", math.inf), before.get("since_best", 0)
    best_state = before.get("best_state", copy.deepcopy(network.state_dict()))
    for epoch in range(before.get("epoch", 0) + 1, config.epochs + 1):
        if since_best > config.patience:
            break
        network.train()
        _train_pass(run, stepping, ENCODER, epoch)
        settle_norms(network, run.training.tiles[:: max(1, count // NORM_TILES)])
        run.ranks.agree(network)
        error = run.ranks.firsts(
            held_out_loss(
                network,
                run.held,
                run.objective.config,
                batch_size(torch.device(run.device)),
            )
        )
        since_best += 1
        if error < best or math.isnan(error):  # nothing to hold it to: the last is best
            best, since_best = error, 0
            best_state = copy.deepcopy(network.state_dict())
        run.note(
            EpochFigures(ENCODER, epoch, stepping.totals(), held_out=error),
            best=best, since_best=since_best, best_state=best_state,
            **stepping.state(),
        )  # fmt: skip
    network.load_state_dict(best_state)


def train_clusters(run: LoopState) -> None:
    """Train centers and encoder together, until hardly an assignment changes."""
    network, config, count = run.trained.network, run.config, len(run.training)
    run.set_objective(config)
    steps = steps_of(config.cluster_epochs, count, config.batch)
    stepping = stepper(network, config.cluster_learning_rate, steps, run.ranks)
    before = run.taken_up(CLUSTERS)
    stepping.take_up(before)
    if before.get("settled") or not config.cluster_epochs:
        return
    q = assign(run)
    target = before["target"].numpy() if before else target_distribution(q)
    for epoch in range(before.get("epoch", 0) + 1, config.cluster_epochs + 1):
        network.train()
        network.freeze_norms()  # the centers were placed under these statistics
        _train_pass(run, stepping, CLUSTERS, epoch, target)
        run.ranks.agree(network)
        last, q = q.argmax(1), assign(run)
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
                CLUSTERS, epoch, stepping.totals(), changed=changed, empty=empty
            ),
            target=torch.from_numpy(target), settled=changed < config.tol,
            **stepping.state(),
        )  # fmt: skip
        if changed < config.tol:
            break


def _train_pass(
    run: LoopState,
    stepping: Stepper,
    part: str,
    epoch: int,
    target: NDArray[np.float64] | None = None,
) -> None:
    """Show every training image once; with a target distribution, cluster them too."""
    config, count = run.config, len(run.training)
    order, pair_rng = run.draw_anew(part, epoch)
    gamma = config.gamma * min(1.0, epoch / max(1, config.gamma_ramp))
    goal = None if target is None else torch.from_numpy(target).float().to(run.device)
    stepping.begin_pass()
    for rows in batches(count, config.batch, order):
        own = run.ranks.share(rows)
        if goal is None:
            terms = run.objective.of_encoder(own, pair_rng)
        else:
            terms = run.objective.of_clusters(own, goal, gamma, pair_rng)
        stepping.step(terms, len(rows) / count)
        run.on_step(len(rows))


def encoder_config(config: TrainingConfig) -> TrainingConfig:
    """Return what the first part trains with: some loss that needs no clusters.

    DEC has no reconstruction while it clusters, but is pretrained by it.
    """
    if config.beta or config.tags or config.contrast:
        return config
    return replace(config, beta=1.0)


def assign(run: LoopState) -> NDArray[np.float64]:
    """Return q (eq. 11) of all training images; each process calculates its part."""
    own = run.ranks.part(run.training.tiles)
    return run.ranks.gather(soft_assignment(run.trained.network, own))


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
