"""The training loop: first the encoder alone, then encoder and clusters.

Manojlovic and Stajduhar, Diagnostics 2021, 11(10):1920: an autoencoder is trained,
k-means on its embedding gives the first cluster centers, then both are trained with
alpha * L_clustering + beta * L_reconstruction + gamma * L_pairwise (eq. 15). The loss on
tags of our recipes is a further term, whose weight is 0 in theirs.
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
    make_stepper,
    step_count,
)
from model_training.training.trained import CLUSTERS, ENCODER, EpochFigures, Trained
from model_training.training.training_data import TrainingSet

__all__ = ["EpochFigures", "Trained", "place_centers", "train"]

NORM_TILES = 1024
"""Images from which the statistics of the norms are taken after a pass."""


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
    """Train on a training set; the held-out one decides when the encoder stops.

    Parameters
    ----------
    start
        A network with a trained encoder, which is then trained with clusters only.
    old_clusters
        The cluster of each training image in the previous model, -1 without one, of
        shape (N,): k-means starts from the means of these clusters.
    checkpoint
        Saved after each pass, and resumed from.
    on_step
        Called with the number of images of each step.

    Raises
    ------
    Diverged
        If a loss is not finite any more, or fewer than two clusters are left.
    """
    run = begin_run(training, held_out, config, device, start, checkpoint)
    run.on_step, run.on_epoch = on_step, on_epoch
    run.resume()
    if run.state.get("part") != CLUSTERS:
        if start is None:
            train_encoder(run)
        if run.ranks.is_main:
            place_centers(run.trained, training.tiles, old_clusters)
        run.ranks.copy_from_main(run.trained.network)
    train_clusters(run)
    run.ranks.close()
    # A copy is without what torch.compile has attached to the layers.
    return replace(run.trained, network=copy.deepcopy(run.trained.network).eval())


def train_encoder(run: LoopState) -> None:
    """Train without clusters, until the held-out loss does not fall for `patience` passes."""
    network, config, count = run.trained.network, run.config, len(run.training)
    run.set_objective(encoder_config(config))
    steps = step_count(config.epochs, count, config.batch)
    stepping = make_stepper(network, config.learning_rate, steps, run.ranks)
    saved = run.state_of(ENCODER)
    stepping.load_state(saved)
    best, since_best = saved.get("best", math.inf), saved.get("since_best", 0)
    # A copy, because training changes the tensors in place.
    best_state = saved.get("best_state", copy.deepcopy(network.state_dict()))
    for epoch in range(saved.get("epoch", 0) + 1, config.epochs + 1):
        if since_best > config.patience:
            break
        network.train()
        _train_pass(run, stepping, ENCODER, epoch)
        # Before the held-out loss, which is measured with these statistics.
        settle_norms(network, run.training.tiles[:: max(1, count // NORM_TILES)])
        run.ranks.copy_from_main(network)
        # One value for all processes, so that they stop at the same pass.
        error = run.ranks.from_main(
            held_out_loss(
                network,
                run.held_out,
                run.objective.config,
                batch_size(torch.device(run.device)),
            )
        )
        since_best += 1
        if error < best or math.isnan(error):  # no held-out loss: keep the last pass
            best, since_best = error, 0
            best_state = copy.deepcopy(network.state_dict())
        run.end_pass(
            EpochFigures(ENCODER, epoch, stepping.totals(), held_out=error),
            best=best, since_best=since_best, best_state=best_state,
            **stepping.state(),
        )  # fmt: skip
    network.load_state_dict(best_state)


def train_clusters(run: LoopState) -> None:
    """Train centers and encoder together, until few assignments change."""
    network, config, count = run.trained.network, run.config, len(run.training)
    run.set_objective(config)
    steps = step_count(config.cluster_epochs, count, config.batch)
    stepping = make_stepper(network, config.cluster_learning_rate, steps, run.ranks)
    saved = run.state_of(CLUSTERS)
    stepping.load_state(saved)
    # A run that ended its last pass and was interrupted before the bundle.
    if saved.get("settled") or not config.cluster_epochs:
        return
    q = assign(run)
    target = saved["target"].numpy() if saved else target_distribution(q)
    for epoch in range(saved.get("epoch", 0) + 1, config.cluster_epochs + 1):
        network.train()
        network.freeze_norms()  # centers are valid under these statistics only
        _train_pass(run, stepping, CLUSTERS, epoch, target)
        run.ranks.copy_from_main(network)
        last, q = q.argmax(1), assign(run)
        changed = float((q.argmax(1) != last).mean())
        empty = config.clusters - len(np.unique(q.argmax(1)))
        if config.clusters - empty < min(2, config.clusters):
            raise Diverged(
                "the clusters collapsed: all images are in one; fewer clusters, a "
                "lower gamma or a lower learning rate may help"
            )
        if epoch % config.update_interval == 0:
            target = target_distribution(q)  # eq. 12, over the whole set
        run.end_pass(
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
    """Train on every image once; with a target distribution also on clusters."""
    config, count = run.config, len(run.training)
    order, pair_rng = run.generators(part, epoch)
    # The first centers are rough: pairs at full weight would pull clusters together.
    gamma = config.gamma * min(1.0, epoch / max(1, config.gamma_ramp))
    p = None if target is None else torch.from_numpy(target).float().to(run.device)
    stepping.begin_pass()
    for rows in batches(count, config.batch, order):
        part_of_batch = run.ranks.batch_part(rows)
        if p is None:
            terms = run.objective.encoder_terms(part_of_batch, pair_rng)
        else:
            terms = run.objective.cluster_terms(part_of_batch, p, gamma, pair_rng)
        stepping.step(terms, len(rows) / count)
        run.on_step(len(rows))


def encoder_config(config: TrainingConfig) -> TrainingConfig:
    """Return the configuration of the encoder's training, with some loss for it.

    DEC has no reconstruction loss with clusters, but is pretrained by it (Xie et al. 2016).
    """
    if config.beta or config.tags or config.contrast:
        return config
    return replace(config, beta=1.0)


def assign(run: LoopState) -> NDArray[np.float64]:
    """Return q (eq. 11) of all training images; each process computes a block of rows."""
    block = run.ranks.row_block(run.training.tiles)
    return run.ranks.gather(soft_assignment(run.trained.network, block))


def place_centers(
    trained: Trained,
    tiles: NDArray[np.uint8],
    old_clusters: NDArray[np.int64] | None = None,
) -> None:
    """Set the whitening, if the recipe has one, and the cluster centers by k-means."""
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
