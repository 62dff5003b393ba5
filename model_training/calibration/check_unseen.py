"""The final check on unseen patients: errors injected once, flags counted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.calibrate import Calibration
from model_training.calibration.wilson import wilson
from model_training.tag_model.embedded_images import EmbeddedImages
from model_training.tag_model.error_injection import inject_errors
from model_training.tag_model.tag_model import TagModel
from veritag.bundles.manifest import Detectability
from veritag.dicom.tags import JUDGED_TAGS

Cells = Collection[tuple[str, str, str]]
"""Keyword, received value and Modality."""


@dataclass(frozen=True)
class FlagCounts:
    """Numbers of right and of wrong tags, and of those that were flagged."""

    right: int
    wrong: int
    false_alarms: int
    found: int

    def figures(self) -> dict[str, float]:
        """Return the counts, and the shares with their 95 % Wilson intervals."""
        shares = {
            "precision": (self.found, self.found + self.false_alarms),
            "recall": (self.found, self.wrong),
            "false_alarm_rate": (self.false_alarms, self.right),
        }
        figures: dict[str, float] = {
            "right": self.right,
            "wrong": self.wrong,
            "false_alarms": self.false_alarms,
            "found": self.found,
        }
        for name, (hits, n) in shares.items():
            low, high = wilson(hits, n)
            figures |= {f"{name}_low": round(low, 4), f"{name}_high": round(high, 4)}
            if n:
                figures[name] = round(hits / n, 4)
        return figures


def check_unseen(
    model: TagModel,
    calibration: Calibration,
    detectability: Sequence[Detectability],
    images: EmbeddedImages,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Return the figures of every carried tag, over all images and per modality."""
    probabilities = model.probabilities(images.embedding)
    within_limit = is_within(model, images, calibration.flagging_limit)
    not_judged = {(d.tag, d.concept, d.modality) for d in detectability if not d.judged}
    figures = {}
    for tag in JUDGED_TAGS:
        right = images.values[tag]
        if not (right != "").any():
            continue
        # Errors at the usual rate, not one for each image: counts are those of use.
        received, is_wrong = inject_errors(tag, right, np.random.default_rng(seed))
        threshold = calibration.tags[tag].threshold
        flagged = np.zeros(len(right), dtype=bool)
        if threshold is not None:
            scores = model.scores(probabilities, tag, received)
            judged = _is_judged(not_judged, tag, received, images)
            flagged = (scores >= threshold) & within_limit & judged
        figures[tag] = _figures(right, images.values["Modality"], is_wrong, flagged)
    return figures


def is_within(
    model: TagModel, images: EmbeddedImages, limit: float
) -> NDArray[np.bool_]:
    """Tell which images have at most this raw novelty, of shape (n,)."""
    probabilities = model.probabilities(images.embedding)
    result: NDArray[np.bool_] = model.raw_novelty(images, probabilities) <= limit
    return result


def _is_judged(
    not_judged: Cells, tag: str, received: NDArray[np.str_], images: EmbeddedImages
) -> NDArray[np.bool_]:
    """Tell where the received value is judged on its Modality, of shape (n,)."""
    # A Modality is looked up as received, which may be the wrong one.
    modality = received if tag == "Modality" else images.values["Modality"]
    cells = zip(received.tolist(), modality.tolist(), strict=True)
    return np.array([(tag, *cell) not in not_judged for cell in cells], dtype=bool)


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


def _count(
    chosen: NDArray[np.bool_], is_wrong: NDArray[np.bool_], flagged: NDArray[np.bool_]
) -> FlagCounts:
    return FlagCounts(
        right=int((chosen & ~is_wrong).sum()),
        wrong=int((chosen & is_wrong).sum()),
        false_alarms=int((chosen & ~is_wrong & flagged).sum()),
        found=int((chosen & is_wrong & flagged).sum()),
    )
