"""From a snapshot to a sealed bundle, step by step."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_training.calibration.calibrate import (
    Calibration,
    alarming,
    calibrate,
    uncalibrated,
)
from model_training.calibration.check import check_tags, known
from model_training.calibration.cluster_model import (
    ClusterModel,
    choose_sharpness,
    log_loss,
)
from model_training.calibration.correlation import intraclass_correlation
from model_training.calibration.detectability import detectability
from model_training.calibration.evidence import (
    HeldOutEvidence,
    gather,
    without_contamination,
)
from model_training.calibration.images import EmbeddedImages
from model_training.calibration.numeric_tags import numbers_of
from model_training.calibration.tag_model import TagModel, fit_tag_model
from model_training.constraints.sample_constraints import (
    PAPER_CONSTRAINTS,
    ConstraintConfig,
    Constraints,
    sample_constraints,
)
from model_training.network.training_config import TrainingConfig
from model_training.snapshots.blank_images import blank_images
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot, as_slice
from model_training.snapshots.snapshot_check import require_learnable
from model_training.snapshots.split import Split, split_patients
from model_training.training.loop import Trained
from model_training.training.training_data import HEAD_TAGS, TrainingSet
from veritag.bundles.manifest import Detectability
from veritag.dicom.tags import JUDGED_TAGS

Step = Callable[[str], None]


@dataclass(frozen=True)
class FittedBundle:
    """All that a training run found out; what a bundle and its report are made of.

    Attributes
    ----------
    detectability
        What can be judged, by received value and Modality.
    correlation
        Keyword to how much the pictures of a series repeat one another, 0 to 1.
    """

    config: TrainingConfig
    split: Split
    trained: Trained
    model: TagModel
    calibration: Calibration
    detectability: tuple[Detectability, ...]
    correlation: dict[str, float]
    figures: dict[str, Any] = field(default_factory=dict)


def fit_bundle(
    snapshot: Snapshot,
    split: Split,
    trained: Trained,
    *,
    on_step: Step = lambda _: None,
) -> FittedBundle:
    """Fit profiles, calibrate and check on top of trained clusters."""
    config = trained.config
    on_step("profiles")
    everything = EmbeddedImages(
        trained.embed(snapshot.tiles),
        trained.statistics(snapshot.tiles),
        {tag: snapshot.values(tag) for tag in JUDGED_TAGS},
        numbers_of(snapshot.samples),
    )
    own, held = everything.part(split.training), everything.part(split.calibration)
    views = _views(trained, snapshot, split, own)
    bare = ClusterModel(trained.centers, config.degrees)
    clusters = choose_sharpness(
        bare, views.embedding, views.values, held.embedding, held.values
    )
    kinds = np.array([sample.kind for sample in snapshot.samples], dtype=np.str_)
    model = fit_tag_model(
        trained,
        clusters,
        own,
        kinds[split.training],
        held,
        _nothing(trained, config.seed),
    )
    on_step("calibration")
    evidence = _evidence(model, snapshot, split, everything, config.seed)
    calibration = (
        calibrate(evidence) if split.calibration.any() else uncalibrated(model, own)
    )
    model = replace(
        model, familiarity=replace(model.familiarity, limit=calibration.limit)
    )
    cleaned = without_contamination(evidence)
    shown = detectability(cleaned, calibration.tags, calibration.familiar)
    on_step("check on unseen patients")
    unseen = everything.part(split.unseen)
    checked = check_tags(model, calibration, shown, unseen, config.seed + 1)
    figures: dict[str, Any] = {
        "images": {
            part: int(getattr(split, part).sum())
            for part in ("training", "calibration", "unseen", "new_stations")
        },
        "epochs": [asdict(epoch) for epoch in trained.history],
        "sharpness": clusters.sharpness,
        "calibration_log_loss": round(
            log_loss(clusters, held.embedding, held.values), 4
        ),
        "familiar_quantile": calibration.quantile,
        "nothing_known": _share(
            known(model, _nothing(trained, config.seed + 1), calibration.limit)
        ),
        "new_stations": _shifted_figures(evidence[1:], calibration),
        "unseen": checked,
        "unseen_of_known_kind": _share(known(model, unseen, calibration.limit)),
        "machine": f"{platform.machine()}, {platform.system()}, torch {torch.__version__}",
    }
    return FittedBundle(
        config,
        split,
        trained,
        model,
        calibration,
        shown,
        _correlation(model, snapshot, split.calibration, everything),
        figures,
    )


def _evidence(
    model: TagModel, snapshot: Snapshot, split: Split, images: EmbeddedImages, seed: int
) -> list[HeldOutEvidence]:
    """Return the held-out evidence: of unseen patients, then of new stations."""
    stations = np.array([sample.station for sample in snapshot.samples], dtype=np.str_)
    usual = np.isin(stations, np.unique(stations[split.training]))
    return [
        gather(model, images.part(part), usual[part], seed)
        for part in (split.calibration, split.new_stations)
        if part is split.calibration or part.any()
    ]


def _correlation(
    model: TagModel,
    snapshot: Snapshot,
    chosen: NDArray[np.bool_],
    images: EmbeddedImages,
) -> dict[str, float]:
    """Return how alike the model errs on images of one patient and kind, by tag."""
    held = images.part(chosen)
    read = model.read(held.embedding)
    groups = np.array(
        [f"{s.patient}|{s.kind}" for s in snapshot.samples], dtype=np.str_
    )[chosen]
    return {
        tag: intraclass_correlation(model.scores(read, tag, held.values[tag]), groups)
        for tag in model.sources
    }


def _nothing(trained: Trained, seed: int) -> EmbeddedImages:
    tiles = blank_images(trained.config.size, seed)
    return EmbeddedImages(trained.embed(tiles), trained.statistics(tiles), {})


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
    trained: Trained, snapshot: Snapshot, split: Split, own: EmbeddedImages
) -> EmbeddedImages:
    """Return the training part as it is and varied; the copies have no statistics."""
    config = trained.config
    tiles = snapshot.tiles[as_slice(split.training)]
    device = trained.network.cluster_centers.device
    parts = [own.embedding]
    for view in range(1, config.views + 1):
        noise = torch.Generator(device).manual_seed(config.seed * 1000 + view)
        parts.append(trained.embed(tiles, noise))
    values = {tag: np.tile(column, len(parts)) for tag, column in own.values.items()}
    return EmbeddedImages(np.concatenate(parts), own.statistics, values)


def _shifted_figures(
    evidence: Sequence[HeldOutEvidence], calibration: Calibration
) -> dict[str, dict[str, int]]:
    """Count on new stations, under right and under wrong values, what is flagged."""
    familiar = calibration.familiar
    return {
        tag: {
            "right": int(e.carried(tag).sum()),
            "false_alarms": int(alarming(e, e.right[tag], familiar, c.threshold).sum()),
            "wrong": int(e.carried(tag).sum()),
            "found": int(alarming(e, e.wrong[tag], familiar, c.threshold).sum()),
        }
        for e in evidence
        for tag, c in calibration.tags.items()
        if c.threshold is not None
    }


def _share(mask: NDArray[np.bool_]) -> float | None:
    return round(float(mask.mean()), 4) if mask.size else None
