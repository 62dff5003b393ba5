"""From a snapshot to a sealed bundle, step by step."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_training.calibrate import (
    Calibration,
    Evidence,
    calibrate,
    cluster_limits,
    flagged,
    gather,
    uncalibrated,
)
from model_training.check import check_tag, known
from model_training.cluster_model import (
    ClusterModel,
    Values,
    choose_sharpness,
    log_loss,
)
from model_training.config import TrainingConfig
from model_training.constraints import (
    PAPER_CONSTRAINTS,
    ConstraintConfig,
    Constraints,
    sample_constraints,
)
from model_training.learnable import require_learnable
from model_training.nothing import pictures_of_nothing
from model_training.samples import Sample
from model_training.snapshot import Snapshot, rows_of
from model_training.split import Split, split_patients
from model_training.train import Trained
from model_training.training_data import HEAD_TAGS, TrainingSet
from veritag.profiles import Floats
from veritag.tags import JUDGED_TAGS

Step = Callable[[str], None]


@dataclass(frozen=True)
class Learnt:
    """All that a training run found out; what a bundle and its report are made of.

    Attributes
    ----------
    limits
        Distance from each center beyond which an image is of an unknown kind, (K,).
    """

    config: TrainingConfig
    split: Split
    trained: Trained
    model: ClusterModel
    calibration: Calibration
    limits: Floats
    figures: dict[str, Any] = field(default_factory=dict)


def learn(
    snapshot: Snapshot,
    split: Split,
    trained: Trained,
    *,
    on_step: Step = lambda _: None,
) -> Learnt:
    """Fit profiles, calibrate and check on top of trained clusters."""
    config = trained.config
    on_step("profiles")
    z = trained.embed(snapshot.tiles)
    values = {tag: snapshot.values(tag) for tag in JUDGED_TAGS}
    training, repeated = _views(trained, snapshot, split, z, values)
    held, held_values = z[split.calibration], _rows(values, split.calibration)
    bare = ClusterModel(trained.centers, config.degrees)
    model = choose_sharpness(bare, training, repeated, held, held_values)
    on_step("calibration")
    evidence = [gather(model, held, held_values, config.seed)]
    if split.new_stations.any():
        there = split.new_stations
        new = gather(model, z[there], _rows(values, there), config.seed)
        evidence.append(new)
    calibration = (
        calibrate(evidence)
        if split.calibration.any()
        else uncalibrated(model, training)
    )
    nothing = trained.embed(pictures_of_nothing(config.size, config.seed))
    limits = cluster_limits(calibration.radii, model, z[split.training], nothing)
    on_step("check on unseen patients")
    unseen, unseen_values = z[split.unseen], _rows(values, split.unseen)
    checked = {
        tag: check_tag(
            model, calibration.tags[tag], limits, unseen, unseen_values, tag,
            config.seed + 1,
        )
        for tag in JUDGED_TAGS
        if (unseen_values[tag] != "").any()
    }  # fmt: skip
    figures: dict[str, Any] = {
        "images": {
            part: int(getattr(split, part).sum())
            for part in ("training", "calibration", "unseen", "new_stations")
        },
        "epochs": [asdict(epoch) for epoch in trained.history],
        "sharpness": model.sharpness,
        "calibration_log_loss": round(log_loss(model, held, held_values), 4),
        "radius_quantiles": calibration.quantiles,
        "new_stations": _shifted_figures(evidence[1:], calibration),
        "unseen": checked,
        "unseen_of_known_kind": _share(known(model, unseen, limits)),
        "machine": f"{platform.machine()}, {platform.system()}, torch {torch.__version__}",
    }
    return Learnt(config, split, trained, model, calibration, limits, figures)


def prepare(
    snapshot: Snapshot, config: TrainingConfig
) -> tuple[Split, tuple[str, ...]]:
    """Split a snapshot; return also what people should know of it.

    Raises
    ------
    StopError
        If there are too few images or patients to learn from.
    """
    split = split_patients(snapshot, config.seed)
    return split, require_learnable(snapshot, split, config.clusters)


def training_set(
    snapshot: Snapshot, split: Split, config: TrainingConfig
) -> tuple[TrainingSet, TrainingSet]:
    """Return what the loop trains on, with its constraints, and what it is held to."""
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


def _views(
    trained: Trained, snapshot: Snapshot, split: Split, z: Floats, values: Values
) -> tuple[Floats, Values]:
    """Return embeddings and tags of the training part, as it is and varied."""
    config = trained.config
    tiles = snapshot.tiles[rows_of(split.training)]
    device = trained.network.cluster_centers.device
    parts = [z[split.training]]
    for view in range(1, config.views + 1):
        noise = torch.Generator(device).manual_seed(config.seed * 1000 + view)
        parts.append(trained.embed(tiles, noise))
    repeated = {
        tag: np.tile(column[split.training], len(parts))
        for tag, column in values.items()
    }
    return np.concatenate(parts), repeated


def _rows(values: Values, chosen: NDArray[np.bool_]) -> Values:
    return {tag: column[chosen] for tag, column in values.items()}


def _shifted_figures(
    evidence: list[Evidence], calibration: Calibration
) -> dict[str, dict[str, int]]:
    """Count on new stations, under right and under wrong values, what is flagged."""
    return {
        tag: {
            "right": int(e.carried[tag].sum()),
            "false_alarms": flagged(e, e.right[tag], calibration.radii, c.threshold),
            "wrong": int(e.carried[tag].sum()),
            "found": flagged(e, e.wrong[tag], calibration.radii, c.threshold),
        }
        for e in evidence
        for tag, c in calibration.tags.items()
        if c.threshold is not None
    }


def _share(mask: NDArray[np.bool_]) -> float | None:
    return round(float(mask.mean()), 4) if mask.size else None
