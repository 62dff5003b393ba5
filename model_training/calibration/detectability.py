"""Which received values can be judged, by Modality."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_training.calibration.calibrate import LEAST_PRECISION, is_flagged
from model_training.calibration.held_out_scores import HeldOutScores
from model_training.calibration.wilson import ONE_SIDED, wilson
from model_training.tag_model.error_injection import ERROR_RATE
from veritag.bundles.manifest import Detectability, TagCalibration
from veritag.judging.numeric_ranges import NUMERIC

PRIOR_IMAGES = 20.0
"""Images' worth of the tag's overall rates in the rates of every row: five good images
alone are no proof, two bad ones of thirty show a lot."""


def detectability(
    scores: Sequence[HeldOutScores],
    tags: Mapping[str, TagCalibration],
    flagging_limit: float,
) -> tuple[Detectability, ...]:
    """Return a row for every received value and Modality among held-out images.

    A value that was never right on a Modality cannot alarm falsely: its row is judged,
    with the overall rates of the tag.
    """
    return tuple(
        row
        for tag, calibration in tags.items()
        if calibration.threshold is not None and tag not in NUMERIC
        for row in _rows(scores, tag, calibration.threshold, flagging_limit)
    )


def _rows(
    scores: Sequence[HeldOutScores], tag: str, threshold: float, limit: float
) -> list[Detectability]:
    right = np.concatenate([_cells(s, tag, s.received[tag]) for s in scores])
    wrong = np.concatenate([_cells(s, tag, s.injected[tag]) for s in scores])
    alarms = np.concatenate(
        [is_flagged(s, s.right[tag], limit, threshold) for s in scores]
    )
    found = np.concatenate(
        [is_flagged(s, s.wrong[tag], limit, threshold) for s in scores]
    )
    overall = _share(alarms, right != ""), _share(found, wrong != "")
    cells = sorted({*right.tolist(), *wrong.tolist()} - {""})
    return [_row(tag, c, right == c, alarms, wrong == c, found, overall) for c in cells]


def _cells(
    scores: HeldOutScores, tag: str, values: NDArray[np.str_]
) -> NDArray[np.str_]:
    """Return `value|modality` of each image, empty without a value, of shape (n,)."""
    modality = values if tag == "Modality" else scores.received["Modality"]
    joined = np.char.add(np.char.add(values, "|"), modality)
    return np.where(values == "", "", joined)


def _share(hits: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> float:
    return float(hits[chosen].mean()) if chosen.any() else 0.0


def _row(
    tag: str,
    cell: str,
    right: NDArray[np.bool_],
    alarms: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    found: NDArray[np.bool_],
    overall: tuple[float, float],
) -> Detectability:
    concept, _, modality = cell.partition("|")
    n_right, n_alarms = int(right.sum()), int((right & alarms).sum())
    n_wrong, n_found = int(wrong.sum()), int((wrong & found).sum())
    # Shrunk towards the rates of the tag, because most rows have few images.
    alarm_rate = (n_alarms + PRIOR_IMAGES * overall[0]) / (n_right + PRIOR_IMAGES)
    recall = (n_found + PRIOR_IMAGES * overall[1]) / (n_wrong + PRIOR_IMAGES)
    precision = precision_of(recall, alarm_rate)
    # The lower bound of the row's own alarm rate: a few alarms by chance do not end the
    # judging of a row.
    at_best = precision_of(recall, wilson(n_alarms, n_right, ONE_SIDED)[0])
    judged = max(precision or 0.0, at_best or 0.0) >= LEAST_PRECISION or n_alarms == 0
    rounded = None if precision is None else round(precision, 4)
    return Detectability(
        tag, concept, modality, n_right, n_wrong, n_alarms, n_found, rounded, judged
    )


def precision_of(recall: float, false_alarm_rate: float) -> float | None:
    """Return the share of right flags if 5 % of the tags are wrong; None without flags."""
    true, false = ERROR_RATE * recall, (1 - ERROR_RATE) * false_alarm_rate
    return true / (true + false) if true + false else None
