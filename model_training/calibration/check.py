"""The check on unseen patients: errors injected once, as they would come, and counted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.calibrate import Calibration
from model_training.calibration.images import EmbeddedImages
from model_training.calibration.injection import ERROR_RATE, wrong_values
from model_training.calibration.tag_model import TagModel
from model_training.calibration.wilson import wilson
from veritag.bundles.manifest import Detectability
from veritag.dicom.tags import JUDGED_TAGS


@dataclass(frozen=True)
class FlagCounts:
    """Tags of unseen images: how many were right or wrong, and how many of each flagged."""

    right: int
    wrong: int
    alarms: int
    found: int

    def figures(self) -> dict[str, float]:
        """Return the shares with their 95 % Wilson intervals and the counts."""
        shares = {
            "precision": (self.found, self.found + self.alarms),
            "recall": (self.found, self.wrong),
            "false_alarm_rate": (self.alarms, self.right),
        }
        figures: dict[str, float] = {
            "right": self.right,
            "wrong": self.wrong,
            "false_alarms": self.alarms,
            "found": self.found,
        }
        for name, (hits, n) in shares.items():
            low, high = wilson(hits, n)
            figures |= {f"{name}_low": round(low, 4), f"{name}_high": round(high, 4)}
            if n:
                figures[name] = round(hits / n, 4)
        return figures


def check_tags(
    model: TagModel,
    calibration: Calibration,
    shown: Sequence[Detectability],
    images: EmbeddedImages,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return the figures of every carried tag, over all images and per modality."""
    read = model.read(images.embedding)
    familiar = known(model, images, calibration.familiar)
    silent = {(d.tag, d.concept, d.modality) for d in shown if not d.judged}
    figures = {}
    for tag in JUDGED_TAGS:
        right = images.values[tag]
        if not (right != "").any():
            continue
        received, is_wrong = inject(tag, right, np.random.default_rng(seed))
        threshold = calibration.tags[tag].threshold
        flagged = np.zeros(len(right), dtype=bool)
        if threshold is not None:
            scores = model.scores(read, tag, received)
            high = np.nan_to_num(scores, nan=-1.0) >= threshold
            flagged = high & familiar & _heard(silent, tag, received, images)
        figures[tag] = _figures(right, images.values["Modality"], is_wrong, flagged)
    return figures


def _heard(
    silent: Collection[tuple[str, str, str]],
    tag: str,
    received: NDArray[np.str_],
    images: EmbeddedImages,
) -> NDArray[np.bool_]:
    """Tell where the model does not keep silent, of shape (n,)."""
    modality = received if tag == "Modality" else images.values["Modality"]
    cells = zip(received.tolist(), modality.tolist(), strict=True)
    return np.array([(tag, *cell) not in silent for cell in cells], dtype=bool)


def _figures(
    right: NDArray[np.str_],
    modality: NDArray[np.str_],
    is_wrong: NDArray[np.bool_],
    flagged: NDArray[np.bool_],
) -> dict[str, Any]:
    carried = right != ""
    by_modality = {
        str(m): _count(carried & (modality == m), is_wrong, flagged).figures()
        for m in np.unique(modality[carried])
    }
    return {
        "all": _count(carried, is_wrong, flagged).figures(),
        "by_modality": by_modality,
    }


def known(model: TagModel, images: EmbeddedImages, limit: float) -> NDArray[np.bool_]:
    """Tell which images are no stranger than a limit, of shape (n,)."""
    read = model.read(images.embedding)
    novelty = model.novelty(images.embedding, images.statistics, read)
    result: NDArray[np.bool_] = novelty <= limit
    return result


def inject(
    tag: str, right: NDArray[np.str_], rng: np.random.Generator
) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Return the tag's values with errors at the usual rate, and where they are."""
    wrong = wrong_values(tag, right, rng)
    chosen = (rng.random(len(right)) < ERROR_RATE) & (wrong != "")
    return np.where(chosen, wrong, right), chosen


def _count(
    among: NDArray[np.bool_], is_wrong: NDArray[np.bool_], flagged: NDArray[np.bool_]
) -> FlagCounts:
    return FlagCounts(
        right=int((among & ~is_wrong).sum()),
        wrong=int((among & is_wrong).sum()),
        alarms=int((among & ~is_wrong & flagged).sum()),
        found=int((among & is_wrong & flagged).sum()),
    )
