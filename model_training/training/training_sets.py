"""From a snapshot to the training set and the held-out set of the loop."""

from collections.abc import Sequence
from dataclasses import replace

from model_training.constraints.sample_constraints import (
    PAPER_CONSTRAINTS,
    ConstraintConfig,
    Constraints,
    sample_constraints,
)
from model_training.network.training_config import TrainingConfig
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot
from model_training.snapshots.snapshot_check import require_learnable
from model_training.snapshots.split import Split, split_patients
from model_training.training.training_data import HEAD_TAGS, TrainingSet


def split_learnable(
    snapshot: Snapshot, config: TrainingConfig
) -> tuple[Split, tuple[str, ...]]:
    """Return the split of a snapshot, and remarks on what cannot be learnt from it.

    Raises
    ------
    StopError
        If there are too few images or patients to learn from.
    """
    split = split_patients(snapshot, config.seed)
    return split, require_learnable(snapshot, split, config.clusters)


def training_sets(
    snapshot: Snapshot, split: Split, config: TrainingConfig
) -> tuple[TrainingSet, TrainingSet]:
    """Return the training set, with its constraints, and the held-out set."""
    parts = []
    for chosen in (split.training, split.calibration):
        part = snapshot.part(chosen)
        values = {tag: part.values(tag) for tag in HEAD_TAGS}
        parts.append(TrainingSet(part.tiles, values, part.weights()))
    constraints = draw_constraints(snapshot.part(split.training).samples, config)
    return replace(parts[0], constraints=constraints), parts[1]


def draw_constraints(
    samples: Sequence[Sample], config: TrainingConfig
) -> Constraints | None:
    """Return the constraints of a run, None where its recipe uses none."""
    if not (config.constraints and (config.gamma or config.pretrain_pairs)):
        return None
    rules = ConstraintConfig() if config.careful_pairs else PAPER_CONSTRAINTS
    return sample_constraints(
        samples, config.constraints, config=rules, seed=config.seed
    )
