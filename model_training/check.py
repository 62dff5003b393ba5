"""The check on unseen patients: errors injected once, as they would come, and counted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_training.calibrate import wilson
from model_training.cluster_model import ClusterModel, Values
from model_training.injection import ERROR_RATE, wrong_values
from veritag.bundle import TagCalibration
from veritag.profiles import Floats


@dataclass(frozen=True)
class Counts:
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


def check_tag(
    model: ClusterModel,
    calibration: TagCalibration,
    limits: Floats,
    embedding: Floats,
    values: Values,
    tag: str,
    seed: int,
) -> dict[str, Any]:
    """Return the figures of one tag over all unseen images and per modality."""
    rng = np.random.default_rng(seed)
    received, is_wrong = inject(tag, values[tag], rng)
    scores = model.scores(embedding, tag, received)
    flagged = np.zeros(len(scores), dtype=bool)
    if calibration.threshold is not None:
        high = np.nan_to_num(scores, nan=-1.0) >= calibration.threshold
        flagged = known(model, embedding, limits) & high
    carried = values[tag] != ""
    by_modality = {
        str(m): _count(carried & (values["Modality"] == m), is_wrong, flagged).figures()
        for m in np.unique(values["Modality"][carried])
    }
    return {
        "all": _count(carried, is_wrong, flagged).figures(),
        "by_modality": by_modality,
    }


def known(model: ClusterModel, embedding: Floats, limits: Floats) -> NDArray[np.bool_]:
    """Tell which images are of a known kind, of shape (N,).

    `limits`, of shape (K,), are distances from the centers.
    """
    distance, nearest = model.nearest(embedding)
    result: NDArray[np.bool_] = distance <= limits[nearest]
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
) -> Counts:
    return Counts(
        right=int((among & ~is_wrong).sum()),
        wrong=int((among & is_wrong).sum()),
        alarms=int((among & ~is_wrong & flagged).sum()),
        found=int((among & is_wrong & flagged).sum()),
    )
