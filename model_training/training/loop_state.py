"""State of a run of the training loop, which a checkpoint saves and resumes."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from model_training.constraints.pair_source import pair_source
from model_training.network.network import ClusteringNetwork
from model_training.network.training_config import TrainingConfig
from model_training.process.torch_runtime import tune
from model_training.training.checkpoint import Checkpoint
from model_training.training.distributed import Ranks, join_ranks
from model_training.training.objective import Objective
from model_training.training.trained import CLUSTERS, ENCODER, EpochFigures, Trained
from model_training.training.training_data import (
    DeviceData,
    TrainingSet,
    on_device,
    vocabulary_of,
)


@dataclass
class LoopState:
    """Network, data, objective and callbacks of a run.

    Attributes
    ----------
    held_out
        Images whose loss decides when the encoder stops; the training images where no
        patient is held out.
    checkpoint
        Where each pass is saved; None: nowhere.
    state
        Content of the checkpoint that the run resumes from; empty for a new run.
    """

    trained: Trained
    training: TrainingSet
    held_out: DeviceData
    objective: Objective
    ranks: Ranks
    device: str
    checkpoint: Checkpoint | None = None
    on_step: Callable[[int], None] = lambda _: None
    on_epoch: Callable[[EpochFigures], None] = lambda _: None
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> TrainingConfig:
        """The configuration of the run."""
        return self.trained.config

    def set_objective(self, config: TrainingConfig) -> None:
        """Take the weights of the losses from a configuration."""
        self.objective = replace(self.objective, config=config)

    def generators(
        self, part: str, epoch: int
    ) -> tuple[np.random.Generator, np.random.Generator]:
        """Return the generators of a pass, for the order of images and for pairs.

        Seeded for each pass, so that a resumed run draws like an uninterrupted one. All
        processes share the order, but not pairs and augmentation.
        """
        names = ENCODER, CLUSTERS
        key = self.config.seed, names.index(part), epoch
        pair_rng = np.random.default_rng((*key, 1 + self.ranks.rank))
        self.objective.generator.manual_seed(int(pair_rng.integers(1 << 62)))
        return np.random.default_rng((*key, 0)), pair_rng

    def end_pass(self, figures: EpochFigures, **state: Any) -> None:
        """Add the figures of a pass, save a checkpoint and report the pass."""
        self.trained.history.append(figures)
        if not self.ranks.is_main:
            return
        if self.checkpoint is not None:
            self.checkpoint.save(
                {
                    "part": figures.part,
                    "epoch": figures.epoch,
                    "network": self.trained.network.state_dict(),
                    "history": [asdict(f) for f in self.trained.history],
                    **state,
                }
            )
        self.on_epoch(figures)

    def resume(self) -> None:
        """Load the checkpoint of this run, if there is one."""
        checkpoint = self.checkpoint if self.ranks.is_main else None
        state = checkpoint.load() if checkpoint is not None else None
        saved = self.ranks.from_main(state)
        if saved is None:
            return
        self.state = saved
        self.trained.network.load_state_dict(saved["network"])
        self.trained.history = [EpochFigures(**f) for f in saved["history"]]

    def state_of(self, part: str) -> dict[str, Any]:
        """Return the checkpoint's state if it is of this part, else an empty one."""
        return self.state if self.state.get("part") == part else {}


def begin_run(
    training: TrainingSet,
    held_out: TrainingSet,
    config: TrainingConfig,
    device: str,
    start: Trained | None,
    checkpoint: Checkpoint | None,
) -> LoopState:
    """Return a new run with network and data on the device."""
    torch.manual_seed(config.seed)
    tune(device)
    ranks = join_ranks(device)
    vocabulary = vocabulary_of(training)
    data = on_device(training, vocabulary, config.balance, device)
    # Without held-out patients the training images decide when to stop.
    held_out_data = on_device(held_out or training, vocabulary, config.balance, device)
    network = _network(config, vocabulary.sizes(), start)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ranks.copy_from_main(network)
    if config.compile:
        network.compile_layers()
    pairs = None
    if training.constraints and (config.gamma or config.pretrain_pairs):
        pairs = pair_source(
            training.constraints, len(training), closure=config.careful_pairs
        )
    return LoopState(
        Trained(
            network,
            config,
            list(start.history) if start else [],
            vocabulary.values,
        ),
        training,
        held_out_data,
        Objective(network, data, config, pairs, torch.Generator(device)),
        ranks,
        device,
        checkpoint,
    )


def _network(
    config: TrainingConfig, sizes: dict[str, int], start: Trained | None
) -> ClusteringNetwork:
    """Return a new network, or a copy of the start with zero centers."""
    if start is None:
        return ClusteringNetwork(config, sizes if config.tags else {})
    # A copy, because a comparison starts several trainings from one network.
    network = copy.deepcopy(start.network)
    network.cluster_centers = nn.Parameter(
        torch.zeros(config.clusters, config.embedding)
    )
    network.degrees, network.precision = config.degrees, config.precision
    return network
