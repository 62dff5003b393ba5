"""Calibration of a trained network: all that goes into a bundle, except the graph."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_training.calibration.calibrate import (
    Calibration,
    calibrate,
    is_flagged,
    uncalibrated,
)
from model_training.calibration.check_unseen import check_unseen, is_within
from model_training.calibration.detectability import detectability
from model_training.calibration.held_out_scores import (
    HeldOutScores,
    score_held_out,
    without_contamination,
)
from model_training.calibration.intraclass_correlation import intraclass_correlation
from model_training.network.training_config import TrainingConfig
from model_training.snapshots.blank_images import blank_images
from model_training.snapshots.snapshot import Snapshot, as_slice
from model_training.snapshots.split import Split
from model_training.tag_model.cluster_model import (
    ClusterModel,
    choose_sharpness,
    log_loss,
)
from model_training.tag_model.embedded_images import EmbeddedImages
from model_training.tag_model.fit_numeric_ranges import numeric_values
from model_training.tag_model.fit_tag_model import fit_tag_model
from model_training.tag_model.tag_model import TagModel
from model_training.training.trained import Trained
from veritag.bundles.manifest import Detectability
from veritag.dicom.tags import JUDGED_TAGS

PARTS = ("training", "calibration", "unseen", "new_stations")


@dataclass(frozen=True)
class FittedBundle:
    """The results of a training run from which a bundle and its pages are made.

    Attributes
    ----------
    detectability
        Which received values can be judged, by Modality.
    correlation
        Keyword to the intraclass correlation of the scores of one patient's images of
        one kind, 0 to 1; it stands for that of the pictures of a series.
    figures
        What the manifest and the pages report of the run, by name.
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
    on_step: Callable[[str], None] = lambda _: None,
) -> FittedBundle:
    """Fit the model of tags to trained clusters, calibrate it, and check it.

    The training part fits the model, the calibration part and new stations choose its
    weights, limits and thresholds, the unseen part only checks them.

    Parameters
    ----------
    on_step
        Called with the name of each of the three steps before it begins.
    """
    on_step("profiles")
    images = _embedded(snapshot, trained)
    model = _fit_model(snapshot, split, trained, images)
    on_step("calibration")
    scores = _held_out_scores(model, snapshot, split, images, trained.config.seed)
    calibration = (
        calibrate(scores)
        if split.calibration.any()
        else uncalibrated(model, images.part(split.training))
    )
    limited = replace(model.novelty, limit=calibration.known_limit)
    model = replace(model, novelty=limited)
    rows = detectability(
        without_contamination(scores), calibration.tags, calibration.flagging_limit
    )
    on_step("check on unseen patients")
    unseen = images.part(split.unseen)
    check = check_unseen(model, calibration, rows, unseen, trained.config.seed + 1)
    figures = {
        **_run_figures(split, trained),
        **_model_figures(model, calibration, images.part(split.calibration)),
        "nothing_known": _known_blank_share(model, calibration, trained),
        "new_stations": _new_station_figures(scores[1:], calibration),
        "unseen": check,
        "unseen_of_known_kind": _share(
            is_within(model, unseen, calibration.known_limit)
        ),
    }
    correlation = _correlation(model, snapshot, split.calibration, images)
    return FittedBundle(
        trained.config, split, trained, model, calibration, rows, correlation, figures
    )


def _embedded(snapshot: Snapshot, trained: Trained) -> EmbeddedImages:
    return EmbeddedImages(
        trained.embed(snapshot.tiles),
        trained.statistics(snapshot.tiles),
        {tag: snapshot.values(tag) for tag in JUDGED_TAGS},
        numeric_values(snapshot.samples),
    )


def _embedded_blank(trained: Trained, seed: int) -> EmbeddedImages:
    tiles = blank_images(trained.config.size, seed)
    return EmbeddedImages(trained.embed(tiles), trained.statistics(tiles), {})


def _fit_model(
    snapshot: Snapshot, split: Split, trained: Trained, images: EmbeddedImages
) -> TagModel:
    """Return the model of tags, its sharpness chosen on the calibration part."""
    config = trained.config
    own, held_out = images.part(split.training), images.part(split.calibration)
    views = _views(trained, snapshot, split, own)
    clusters = choose_sharpness(
        ClusterModel(trained.centers, config.degrees),
        views.embedding,
        views.values,
        held_out.embedding,
        held_out.values,
    )
    kinds = np.array([sample.kind for sample in snapshot.samples], dtype=np.str_)
    blank = _embedded_blank(trained, config.seed)
    return fit_tag_model(trained, clusters, own, kinds[split.training], held_out, blank)


def _views(
    trained: Trained, snapshot: Snapshot, split: Split, own: EmbeddedImages
) -> EmbeddedImages:
    """Return the training part followed by varied copies, which have no statistics."""
    config = trained.config
    tiles = snapshot.tiles[as_slice(split.training)]
    device = trained.network.cluster_centers.device
    parts = [own.embedding]
    for view in range(1, config.views + 1):
        noise = torch.Generator(device).manual_seed(config.seed * 1000 + view)
        parts.append(trained.embed(tiles, noise))
    values = {tag: np.tile(column, len(parts)) for tag, column in own.values.items()}
    return EmbeddedImages(np.concatenate(parts), own.statistics, values)


def _held_out_scores(
    model: TagModel, snapshot: Snapshot, split: Split, images: EmbeddedImages, seed: int
) -> list[HeldOutScores]:
    """Return the scores of the calibration part, then those of new stations, if any."""
    stations = np.array([sample.station for sample in snapshot.samples], dtype=np.str_)
    known = np.isin(stations, np.unique(stations[split.training]))
    return [
        score_held_out(model, images.part(part), known[part], seed)
        for part in (split.calibration, split.new_stations)
        if part is split.calibration or part.any()
    ]


def _correlation(
    model: TagModel,
    snapshot: Snapshot,
    chosen: NDArray[np.bool_],
    images: EmbeddedImages,
) -> dict[str, float]:
    """Return the correlation of scores of one patient's images of one kind, by tag."""
    part = images.part(chosen)
    probabilities = model.probabilities(part.embedding)
    groups = np.array(
        [f"{s.patient}|{s.kind}" for s in snapshot.samples], dtype=np.str_
    )[chosen]
    return {
        tag: intraclass_correlation(
            model.scores(probabilities, tag, part.values[tag]), groups
        )
        for tag in model.sources
    }


def _run_figures(split: Split, trained: Trained) -> dict[str, Any]:
    machine = f"{platform.machine()}, {platform.system()}, torch {torch.__version__}"
    return {
        "images": {part: int(getattr(split, part).sum()) for part in PARTS},
        "epochs": [asdict(epoch) for epoch in trained.history],
        "machine": machine,
    }


def _model_figures(
    model: TagModel, calibration: Calibration, held_out: EmbeddedImages
) -> dict[str, Any]:
    loss = log_loss(model.clusters, held_out.embedding, held_out.values)
    return {
        "sharpness": model.clusters.sharpness,
        "calibration_log_loss": round(loss, 4),
        "familiar_quantile": calibration.flagging_share,
    }


def _known_blank_share(
    model: TagModel, calibration: Calibration, trained: Trained
) -> float | None:
    """Return the share of other blank images that count as a known kind."""
    blank = _embedded_blank(trained, trained.config.seed + 1)
    return _share(is_within(model, blank, calibration.known_limit))


def _new_station_figures(
    scores: Sequence[HeldOutScores], calibration: Calibration
) -> dict[str, dict[str, int]]:
    """Return the numbers of images of new stations, and of flags on them, by tag."""
    limit = calibration.flagging_limit
    return {
        tag: {
            "right": int(part.carries(tag).sum()),
            "false_alarms": int(
                is_flagged(part, part.right[tag], limit, c.threshold).sum()
            ),
            "wrong": int(part.carries(tag).sum()),
            "found": int(is_flagged(part, part.wrong[tag], limit, c.threshold).sum()),
        }
        for part in scores
        for tag, c in calibration.tags.items()
        if c.threshold is not None
    }


def _share(mask: NDArray[np.bool_]) -> float | None:
    return round(float(mask.mean()), 4) if mask.size else None
