"""The images of a comparison, with what several cells need of them made once."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.compare.cells import Cell
from model_training.compare.images.label_noise import with_wrong_tags
from model_training.compare.images.labelled import LabelledSet, draw
from model_training.compare.images.parts import Parts
from model_training.compare.methods.features import FITS
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
"""What of a configuration matters only once there are clusters."""
PAIRED = {"careful_pairs", "pairs"}
"""What of it matters before, where pairs are learnt from the start."""
RULES = {"careful": ConstraintConfig(), "paper": PAPER_CONSTRAINTS}


@dataclass
class Bench:
    """Training, held-out and unseen images, and what was made of them so far.

    Attributes
    ----------
    on_epoch
        Told of each pass in a few words.
    """

    parts: Parts
    device: str = "cpu"
    on_epoch: Callable[[str], None] = lambda _: None
    _made: dict[Any, Any] = field(default_factory=dict)

    def features(self, name: str, seed: int) -> tuple[Floats, Floats]:
        """Return hand-made features of the training and of the unseen images."""

        def make() -> tuple[Floats, Floats]:
            training = self.parts.training.tiles
            extract = FITS[name](training, seed)
            return extract(training), extract(self.parts.unseen.tiles)

        result: tuple[Floats, Floats] = self._once(("features", name, seed), make)
        return result

    def constraints(self, cell: Cell) -> Constraints:
        """Return the pairs of a cell: the same for all methods of the same seed."""
        key = (
            "pairs", cell.seed, cell.constraints, cell.rules, cell.labelled, cell.wrong,
        )  # fmt: skip
        result: Constraints = self._once(key, lambda: self._constraints(cell))
        return result

    def trained(self, cell: Cell, config: TrainingConfig) -> Trained:
        """Train with a configuration; its first part is shared with other cells."""
        training, held_out = self._training_set(cell, config), self._held_out()
        start = self._start(cell, config)
        as_it_is = not config.cluster_epochs and not config.whiten
        if as_it_is and config.clusters == start.config.clusters:
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
        """Return what an encoder makes of the training and of the unseen images."""

        def make() -> tuple[Floats, Floats]:
            trained = self.trained(cell, config)
            parts = self.parts.training, self.parts.unseen
            return trained.embed(parts[0].tiles), trained.embed(parts[1].tiles)

        result: tuple[Floats, Floats] = self._once(("embedded", config), make)
        return result

    def _start(self, cell: Cell, config: TrainingConfig) -> Trained:
        # Without weight for drawing again the first part would learn nothing at all:
        # such recipes go on from the plain autoencoder.
        if not any((config.beta, config.tags, config.contrast, config.pretrain_pairs)):
            config = replace(config, beta=1.0)
        shared = SECOND_PART - PAIRED if config.pretrain_pairs else SECOND_PART
        shape = {k: v for k, v in asdict(config).items() if k not in shared}
        tags = (cell.wrong,) if config.tags or config.pretrain_pairs else ()
        drawn = cell.constraints, cell.rules, cell.labelled
        pairs = drawn if config.pretrain_pairs else ()
        first = replace(config, cluster_epochs=0, whiten=False)

        def make() -> Trained:
            return train(
                self._training_set(cell, first),
                self._held_out(),
                first,
                device=self.device,
                on_epoch=lambda e: self.on_epoch(f"encoder {e.epoch}"),
            )

        result: Trained = self._once(("start", repr(shape), tags, pairs), make)
        return result

    def _training_set(self, cell: Cell, config: TrainingConfig) -> TrainingSet:
        needs_pairs = config.gamma or config.pretrain_pairs
        return TrainingSet(
            self.parts.training.tiles,
            _values(self._samples(cell.wrong)),
            np.array([s.weight for s in self.parts.training.samples]),
            self.constraints(cell) if needs_pairs and cell.constraints else None,
        )

    def _held_out(self) -> TrainingSet:
        held: LabelledSet = self.parts.held_out
        weights = np.array([s.weight for s in held.samples])
        return TrainingSet(held.tiles, _values(held.samples), weights)

    def _samples(self, wrong: float) -> tuple[Sample, ...]:
        samples = self.parts.training.samples
        result: tuple[Sample, ...] = self._once(
            ("samples", wrong), lambda: with_wrong_tags(samples, wrong)
        )
        return result

    def _constraints(self, cell: Cell) -> Constraints:
        samples = self._samples(cell.wrong)
        names = self.parts.training.patients.tolist()
        # Patients are labelled or not, so that a larger share holds the smaller one.
        rows = np.flatnonzero([draw(n, cell.seed) < cell.labelled for n in names])
        found = sample_constraints(
            [samples[row] for row in rows],
            cell.constraints,
            config=RULES[cell.rules],
            seed=cell.seed,
        )
        return Constraints(rows[found.must_link], rows[found.cannot_link], found.report)

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def _values(samples: tuple[Sample, ...]) -> dict[str, NDArray[np.str_]]:
    return {
        tag: np.array([s.tags.get(tag, "") for s in samples], dtype=np.str_)
        for tag in HEAD_TAGS
    }
