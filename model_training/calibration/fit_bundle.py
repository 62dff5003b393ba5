"""Calibration of a trained network: all that goes into a bundle, except the graph."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.calibrate import (
    Calibration,
    calibrate,
    uncalibrated,
)
from model_training.calibration.check_unseen import check_unseen
from model_training.calibration.detectability import detectability
from model_training.calibration.embed_snapshot import (
    embed_blank,
    embed_snapshot,
    embed_views,
)
from model_training.calibration.held_out_scores import (
    HeldOutScores,
    score_held_out,
    without_contamination,
)
from model_training.calibration.intraclass_correlation import intraclass_correlation
from model_training.calibration.run_figures import (
    model_figures,
    new_station_figures,
    novelty_figures,
    run_figures,
)
from model_training.network.training_config import TrainingConfig
from model_training.snapshots.snapshot import Snapshot
from model_training.snapshots.split import Split
from model_training.tag_model.cluster_model import (
    ClusterModel,
    choose_sharpness,
)
from model_training.tag_model.embedded_images import EmbeddedImages
from model_training.tag_model.fit_tag_model import fit_tag_model
from model_training.tag_model.tag_model import TagModel
from model_training.training.trained import Trained
from veritag.bundles.manifest import Detectability


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

    The model is fitted on the training part, its sharpness and weights on the
    calibration part; limits and thresholds are chosen on that part and on new stations.
    The unseen part only checks them.

    Parameters
    ----------
    on_step
        Called with the name of each of the three steps before it begins.
    """
    on_step("profiles")
    images = embed_snapshot(snapshot, trained)
    model = _fit_model(snapshot, split, trained, images)
    on_step("calibration")
    scores = _held_out_scores(model, snapshot, split, images, trained.config.seed)
    calibration = (
        calibrate(scores)
        if split.calibration.any()
        else uncalibrated(model, images.part(split.training))
    )
    # The limit is chosen by calibration; the model was fitted without one.
    limited = replace(model.novelty, limit=calibration.known_limit)
    model = replace(model, novelty=limited)
    rows = detectability(
        without_contamination(scores), calibration.tags, calibration.flagging_limit
    )
    on_step("check on unseen patients")
    unseen = images.part(split.unseen)
    # Another seed: the check has other errors and blank images than calibration.
    check = check_unseen(model, calibration, rows, unseen, trained.config.seed + 1)
    figures = {
        **run_figures(split, trained),
        **model_figures(model, calibration, images.part(split.calibration)),
        **novelty_figures(
            model, calibration, unseen, embed_blank(trained, trained.config.seed + 1)
        ),
        "new_stations": new_station_figures(scores[1:], calibration),
        "unseen": check,
    }
    correlation = _correlation(model, snapshot, split.calibration, images)
    return FittedBundle(
        trained.config, split, trained, model, calibration, rows, correlation, figures
    )


def _fit_model(
    snapshot: Snapshot, split: Split, trained: Trained, images: EmbeddedImages
) -> TagModel:
    """Return the model of tags, its sharpness chosen on the calibration part."""
    config = trained.config
    own, held_out = images.part(split.training), images.part(split.calibration)
    views = embed_views(trained, snapshot, split, own)
    clusters = choose_sharpness(
        ClusterModel(trained.centers, config.degrees),
        views.embedding,
        views.values,
        held_out.embedding,
        held_out.values,
    )
    kinds = np.array([sample.kind for sample in snapshot.samples], dtype=np.str_)
    blank = embed_blank(trained, config.seed)
    return fit_tag_model(trained, clusters, own, kinds[split.training], held_out, blank)


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
