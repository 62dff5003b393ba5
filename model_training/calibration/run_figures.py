"""Figures of a training run for the manifest and the pages of the bundle."""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_training.calibration.calibrate import Calibration, is_flagged
from model_training.calibration.check_unseen import is_within
from model_training.calibration.held_out_scores import HeldOutScores
from model_training.snapshots.split import Split
from model_training.tag_model.cluster_model import log_loss
from model_training.tag_model.embedded_images import EmbeddedImages
from model_training.tag_model.tag_model import TagModel
from model_training.training.trained import Trained

PARTS = ("training", "calibration", "unseen", "new_stations")


def run_figures(split: Split, trained: Trained) -> dict[str, Any]:
    """Return the sizes of the parts, the passes and the machine."""
    machine = f"{platform.machine()}, {platform.system()}, torch {torch.__version__}"
    return {
        "images": {part: int(getattr(split, part).sum()) for part in PARTS},
        "epochs": [asdict(epoch) for epoch in trained.history],
        "machine": machine,
    }


def model_figures(
    model: TagModel, calibration: Calibration, held_out: EmbeddedImages
) -> dict[str, Any]:
    """Return the sharpness with its log loss, and the share of images to flag."""
    loss = log_loss(model.clusters, held_out.embedding, held_out.values)
    return {
        "sharpness": model.clusters.sharpness,
        "calibration_log_loss": round(loss, 4),
        # The names of figures are part of sealed bundles.
        "familiar_quantile": calibration.flagging_share,
    }


def novelty_figures(
    model: TagModel,
    calibration: Calibration,
    unseen: EmbeddedImages,
    blank: EmbeddedImages,
) -> dict[str, float | None]:
    """Return the shares of unseen and of blank images that count as a known kind.

    Parameters
    ----------
    blank
        Other blank images than those that the novelty was fitted with.
    """
    limit = calibration.known_limit
    return {
        "nothing_known": _share(is_within(model, blank, limit)),
        "unseen_of_known_kind": _share(is_within(model, unseen, limit)),
    }


def new_station_figures(
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
