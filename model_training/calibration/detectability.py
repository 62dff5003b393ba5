"""What can be judged and what cannot, by received value and Modality."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.calibrate import LEAST_PRECISION, alarming
from model_training.calibration.evidence import HeldOutEvidence
from model_training.calibration.injection import ERROR_RATE
from model_training.calibration.wilson import ONE_SIDED, wilson
from veritag.bundles.manifest import Detectability, TagCalibration
from veritag.judging.numeric_ranges import NUMERIC

LIKE_THE_TAG = 20.0
"""Cases' worth of the tag as a whole that every row starts from: five good cases alone
prove nothing, and two bad ones of thirty show a lot."""


def detectability(
    evidence: Sequence[HeldOutEvidence],
    tags: dict[str, TagCalibration],
    familiar: float,
) -> tuple[Detectability, ...]:
    """Return a row for every received value and Modality among held-out images.

    Where a value was never right on a Modality there is nothing to alarm falsely: such
    a row is judged, with what the tag as a whole has shown.
    """
    return tuple(
        row
        for tag, calibration in tags.items()
        if calibration.threshold is not None and tag not in NUMERIC
        for row in _rows(evidence, tag, calibration.threshold, familiar)
    )


def _rows(
    evidence: Sequence[HeldOutEvidence], tag: str, threshold: float, familiar: float
) -> list[Detectability]:
    right = np.concatenate([_cells(e, tag, e.received[tag]) for e in evidence])
    wrong = np.concatenate([_cells(e, tag, e.injected[tag]) for e in evidence])
    alarms = np.concatenate(
        [alarming(e, e.right[tag], familiar, threshold) for e in evidence]
    )
    found = np.concatenate(
        [alarming(e, e.wrong[tag], familiar, threshold) for e in evidence]
    )
    usual = _share(alarms, right != ""), _share(found, wrong != "")
    cells = sorted({*right.tolist(), *wrong.tolist()} - {""})
    return [_row(tag, c, right == c, alarms, wrong == c, found, usual) for c in cells]


def _cells(
    evidence: HeldOutEvidence, tag: str, values: NDArray[np.str_]
) -> NDArray[np.str_]:
    """Return `value|modality` of each image, empty without a value, of shape (n,)."""
    modality = values if tag == "Modality" else evidence.received["Modality"]
    joined = np.char.add(np.char.add(values, "|"), modality)
    return np.where(values == "", "", joined)


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(hits[among].mean()) if among.any() else 0.0


def _row(
    tag: str,
    cell: str,
    right: NDArray[np.bool_],
    alarms: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    found: NDArray[np.bool_],
    usual: tuple[float, float],
) -> Detectability:
    concept, _, modality = cell.partition("|")
    n_right, n_alarms = int(right.sum()), int((right & alarms).sum())
    n_wrong, n_found = int(wrong.sum()), int((wrong & found).sum())
    alarm_rate = (n_alarms + LIKE_THE_TAG * usual[0]) / (n_right + LIKE_THE_TAG)
    recall = (n_found + LIKE_THE_TAG * usual[1]) / (n_wrong + LIKE_THE_TAG)
    precision = precision_of(recall, alarm_rate)
    # What the row's own alarms show for certain: a few by chance silence nobody.
    shown = precision_of(recall, wilson(n_alarms, n_right, ONE_SIDED)[0])
    judged = max(precision or 0.0, shown or 0.0) >= LEAST_PRECISION or n_alarms == 0
    told = None if precision is None else round(precision, 4)
    return Detectability(
        tag, concept, modality, n_right, n_wrong, n_alarms, n_found, told, judged
    )


def precision_of(recall: float, false_alarm_rate: float) -> float | None:
    """Return the share of flags that are right at the usual rate of errors."""
    true, false = ERROR_RATE * recall, (1 - ERROR_RATE) * false_alarm_rate
    return true / (true + false) if true + false else None
