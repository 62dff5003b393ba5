"""Inputs of cells: images, features, constraints and trained networks, each made once."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.compare.cell import Cell
from model_training.compare.images.label_noise import with_wrong_tags
from model_training.compare.images.labelled_images import LabelledImages, uniform_of
from model_training.compare.images.patient_split import PatientSplit
from model_training.compare.methods.hand_made_features import EXTRACTORS
from model_training.constraints.sample_constraints import (
    PAPER_CONSTRAINTS,
    ConstraintConfig,
    Constraints,
    sample_constraints,
)
from model_training.network.training_config import TrainingConfig
from model_training.snapshots.samples import Sample
from model_training.training.loop import Trained, train
from model_training.training.training_data import HEAD_TAGS, TrainingSet

Floats = NDArray[np.float64]
SECOND_PART = {
    "recipe", "clusters", "cluster_epochs", "cluster_learning_rate", "whiten", "alpha",
    "gamma", "gamma_ramp", "margin", "degrees", "constraints", "careful_pairs", "pairs",
    "update_interval", "tol", "views",
}  # fmt: skip
"""Settings that have no effect before there are clusters."""
PAIRED = {"careful_pairs", "pairs"}
"""Of these, the ones with an effect before, where pairs train the encoder."""
RULES = {"careful": ConstraintConfig(), "paper": PAPER_CONSTRAINTS}


@dataclass
class CellInputs:
    """Images of a comparison, and what was computed from them so far.

    Attributes
    ----------
    on_epoch
        Called with a short text for each pass.
    """

    images: PatientSplit
    device: str = "cpu"
    on_epoch: Callable[[str], None] = lambda _: None
    _cache: dict[Any, Any] = field(default_factory=dict)

    def features(self, name: str, seed: int) -> tuple[Floats, Floats]:
        """Return hand-made features of the training and of the unseen images."""

        def make() -> tuple[Floats, Floats]:
            training = self.images.training.tiles
            extract = EXTRACTORS[name](training, seed)
            return extract(training), extract(self.images.unseen.tiles)

        result: tuple[Floats, Floats] = self._once(("features", name, seed), make)
        return result

    def constraints(self, cell: Cell) -> Constraints:
        """Return the pairs of a cell, which all methods of a seed share."""
        key = (
            "pairs", cell.seed, cell.constraints, cell.rules, cell.labelled, cell.wrong,
        )  # fmt: skip
        result: Constraints = self._once(key, lambda: self._constraints(cell))
        return result

    def trained(self, cell: Cell, config: TrainingConfig) -> Trained:
        """Train with a configuration; cells share the encoder trained before clusters."""
        training, held_out = self._training_set(cell, config), self._held_out()
        start = self._start(cell, config)
        unchanged = not config.cluster_epochs and not config.whiten
        if unchanged and config.clusters == start.config.clusters:
            return start
        return train(
            training,
            held_out,
            config,
            device=self.device,
            start=start,
            on_epoch=lambda e: self.on_epoch(f"clusters {e.epoch}"),
        )

    def embedded(self, cell: Cell, config: TrainingConfig) -> tuple[Floats, Floats]:
        """Return embeddings of the training and of the unseen images."""

        def make() -> tuple[Floats, Floats]:
            trained = self.trained(cell, config)
            parts = self.images.training, self.images.unseen
            return trained.embed(parts[0].tiles), trained.embed(parts[1].tiles)

        result: tuple[Floats, Floats] = self._once(("embedded", config), make)
        return result

    def _start(self, cell: Cell, config: TrainingConfig) -> Trained:
        """Return the network trained without clusters."""
        # Recipes without any loss before the clusters start from the autoencoder (Xie et
        # al. 2016).
        if not any((config.beta, config.tags, config.contrast, config.pretrain_pairs)):
            config = replace(config, beta=1.0)
        shared = SECOND_PART - PAIRED if config.pretrain_pairs else SECOND_PART
        settings = {k: v for k, v in asdict(config).items() if k not in shared}
        tags = (cell.wrong,) if config.tags or config.pretrain_pairs else ()
        pairs = (
            (cell.constraints, cell.rules, cell.labelled)
            if config.pretrain_pairs
            else ()
        )
        first = replace(config, cluster_epochs=0, whiten=False)

        def make() -> Trained:
            return train(
                self._training_set(cell, first),
                self._held_out(),
                first,
                device=self.device,
                on_epoch=lambda e: self.on_epoch(f"encoder {e.epoch}"),
            )

        result: Trained = self._once(("start", repr(settings), tags, pairs), make)
        return result

    def _training_set(self, cell: Cell, config: TrainingConfig) -> TrainingSet:
        needs_pairs = config.gamma or config.pretrain_pairs
        return TrainingSet(
            self.images.training.tiles,
            _values(self._samples(cell.wrong)),
            np.array([s.weight for s in self.images.training.samples]),
            self.constraints(cell) if needs_pairs and cell.constraints else None,
        )

    def _held_out(self) -> TrainingSet:
        held_out: LabelledImages = self.images.held_out
        weights = np.array([s.weight for s in held_out.samples])
        return TrainingSet(held_out.tiles, _values(held_out.samples), weights)

    def _samples(self, wrong: float) -> tuple[Sample, ...]:
        samples = self.images.training.samples
        result: tuple[Sample, ...] = self._once(
            ("samples", wrong), lambda: with_wrong_tags(samples, wrong)
        )
        return result

    def _constraints(self, cell: Cell) -> Constraints:
        samples = self._samples(cell.wrong)
        names = self.images.training.patients.tolist()
        # By patient, and with the same draw: a larger share contains the smaller one.
        rows = np.flatnonzero([uniform_of(n, cell.seed) < cell.labelled for n in names])
        drawn = sample_constraints(
            [samples[row] for row in rows],
            cell.constraints,
            config=RULES[cell.rules],
            seed=cell.seed,
        )
        return Constraints(rows[drawn.must_link], rows[drawn.cannot_link], drawn.report)

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]


def _values(samples: tuple[Sample, ...]) -> dict[str, NDArray[np.str_]]:
    return {
        tag: np.array([s.tags.get(tag, "") for s in samples], dtype=np.str_)
        for tag in HEAD_TAGS
    }
