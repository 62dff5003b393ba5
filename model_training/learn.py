"""From a snapshot to a sealed bundle, step by step."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_training.augment import mirrored, varied
from model_training.calibrate import (
    Calibration,
    Evidence,
    calibrate,
    flagged,
    gather,
    pooled,
    uncalibrated,
)
from model_training.check import check_tag, known
from model_training.cluster_model import (
    ClusterModel,
    Values,
    choose_sharpness,
    fit_cluster_model,
    log_loss,
)
from model_training.config import TrainingConfig
from model_training.encoder import Autoencoder
from model_training.snapshot import Snapshot
from model_training.split import Split, split_patients
from model_training.train import EpochFigures, as_input
from veritag.errors import StopError
from veritag.profiles import Floats
from veritag.tags import JUDGED_TAGS

FOLDS = 5
LEAST_SOURCES = 3

Step = Callable[[str], None]


@dataclass(frozen=True)
class Learnt:
    """All that a training run found out; what a bundle and its report are made of."""

    config: TrainingConfig
    split: Split
    autoencoder: Autoencoder
    model: ClusterModel
    calibration: Calibration
    figures: dict[str, Any] = field(default_factory=dict)


def learn(
    snapshot: Snapshot,
    split: Split,
    autoencoder: Autoencoder,
    history: list[EpochFigures],
    config: TrainingConfig,
    *,
    on_step: Step = lambda _: None,
) -> Learnt:
    """Cluster, calibrate and check on top of a trained autoencoder."""
    on_step("clusters")
    views = [
        embed(autoencoder, snapshot.tiles, config, view)
        for view in range(config.views + 1)
    ]
    values = {tag: snapshot.values(tag) for tag in JUDGED_TAGS}
    model = _fit(views, values, split.training, config, sharpness=1.0)
    held, held_values = views[0][split.calibration], _rows(values, split.calibration)
    training, repeated = _views(views, values, split.training)
    model = choose_sharpness(model, training, repeated, held, held_values)
    on_step("calibration")
    evidence = [gather(model, held, held_values, config.seed)]
    evidence += _unseen_sources(snapshot, split, views, values, config, model.sharpness)
    calibration = (
        calibrate(evidence)
        if split.calibration.any()
        else uncalibrated(model, training)
    )
    on_step("check on unseen patients")
    unseen, unseen_values = views[0][split.unseen], _rows(values, split.unseen)
    checked = {
        tag: check_tag(
            model, calibration.tags[tag], calibration.radii, unseen, unseen_values, tag,
            config.seed + 1,
        )
        for tag in JUDGED_TAGS
        if (unseen_values[tag] != "").any()
    }  # fmt: skip
    figures: dict[str, Any] = {
        "images": {
            part: int(getattr(split, part).sum())
            for part in ("training", "calibration", "unseen")
        },
        "epochs": [asdict(epoch) for epoch in history],
        "sharpness": model.sharpness,
        "calibration_log_loss": round(log_loss(model, held, held_values), 4),
        "radius_quantiles": calibration.quantiles,
        "unseen_sources": _shifted_figures(evidence[1:], calibration),
        "unseen": checked,
        "unseen_of_known_kind": _share(known(model, unseen, calibration.radii)),
        "machine": f"{platform.machine()}, {platform.system()}, torch {torch.__version__}",
    }
    return Learnt(config, split, autoencoder, model, calibration, figures)


def prepare(snapshot: Snapshot, config: TrainingConfig) -> Split:
    """Split a snapshot.

    Raises
    ------
    StopError
        If there are too few images or patients to learn from and to check on.
    """
    split = split_patients(snapshot, config.seed)
    if split.training.sum() < config.clusters:
        raise StopError(
            f"{int(split.training.sum())} images to train on cannot fill "
            f"{config.clusters} clusters: give more images or fewer --clusters"
        )
    return split


@torch.no_grad()
def embed(
    autoencoder: Autoencoder,
    tiles: NDArray[np.uint8],
    config: TrainingConfig,
    view: int,
) -> Floats:
    """Return raw embeddings, of shape (N, D); views above 0 are of varied tiles."""
    generator = torch.Generator().manual_seed(config.seed * 1000 + view)
    device = str(next(autoencoder.parameters()).device)
    parts = [np.empty((0, config.embedding))]
    for start in range(0, len(tiles), config.batch):
        x = as_input(tiles[start : start + config.batch], device)
        if view:
            x = varied(mirrored(x, generator), generator, config.augment)
        parts.append(autoencoder.encoder(x).cpu().numpy().astype(np.float64))
    return np.concatenate(parts)


def _fit(
    views: list[Floats],
    values: Values,
    chosen: NDArray[np.bool_],
    config: TrainingConfig,
    sharpness: float,
) -> ClusterModel:
    embedding, repeated = _views(views, values, chosen)
    return fit_cluster_model(
        embedding,
        repeated,
        n_clusters=config.clusters,
        seed=config.seed,
        sharpness=sharpness,
    )


def _views(
    views: list[Floats], values: Values, chosen: NDArray[np.bool_]
) -> tuple[Floats, Values]:
    embedding = np.concatenate([view[chosen] for view in views])
    repeated = {
        tag: np.tile(column[chosen], len(views)) for tag, column in values.items()
    }
    return embedding, repeated


def _rows(values: Values, chosen: NDArray[np.bool_]) -> Values:
    return {tag: column[chosen] for tag, column in values.items()}


def _unseen_sources(
    snapshot: Snapshot,
    split: Split,
    views: list[Floats],
    values: Values,
    config: TrainingConfig,
    sharpness: float,
) -> list[Evidence]:
    """Score DICOM files by clusters that were fitted without their source.

    The unseen part takes no part in it. With fewer than three sources there is nothing
    to learn from leaving one out.
    """
    usable = ~split.unseen
    real = (
        np.array([s.is_dicom and not s.is_synthetic for s in snapshot.samples]) & usable
    )
    sources = np.array([s.source for s in snapshot.samples])
    names, counts = np.unique(sources[real], return_counts=True)
    if len(names) < LEAST_SOURCES:
        return []
    parts = []
    for fold in _folds(dict(zip(names.tolist(), counts.tolist(), strict=True))):
        left_out = real & np.isin(sources, fold)
        fitted = (split.training | real) & ~left_out
        # A modality that only these sources have is not what a new scanner brings.
        left_out &= np.isin(values["Modality"], values["Modality"][fitted])
        model = _fit(views, values, fitted, config, sharpness)
        parts.append(
            gather(model, views[0][left_out], _rows(values, left_out), config.seed)
        )
    together = pooled(parts)
    return [together] if len(together.distance) else []


def _folds(counts: dict[str, int]) -> list[list[str]]:
    """Deal sources out to folds of about equal numbers of images."""
    folds: list[list[str]] = [[] for _ in range(min(FOLDS, len(counts)))]
    sizes = [0] * len(folds)
    for source in sorted(counts, key=lambda s: (-counts[s], s)):
        smallest = sizes.index(min(sizes))
        folds[smallest].append(source)
        sizes[smallest] += counts[source]
    return folds


def _shifted_figures(
    evidence: list[Evidence], calibration: Calibration
) -> dict[str, dict[str, int]]:
    """Count on unseen sources, under right and under wrong values, what is flagged."""
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
