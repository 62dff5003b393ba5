"""What can be judged, by received value and Modality."""

import numpy as np
import pytest

from model_training.calibration.detectability import detectability, precision_of
from model_training.calibration.evidence import HeldOutEvidence
from model_training.calibration.numeric_tags import (
    fit_ranges,
    numbers_of,
    scores_of,
    slipped,
)
from model_training.snapshots.samples import Sample
from veritag.bundles.manifest import TagCalibration
from veritag.dicom.tags import JUDGED_TAGS

TAG = "BodyPartExamined"


def evidence(bad: int) -> HeldOutEvidence:
    """Return 60 chests, of which some alarm falsely, and 60 right heads, all CT."""
    parts = np.array(["CHEST"] * 60 + ["HEAD"] * 60)
    wrong = np.array(["KNEE"] * 60 + ["CHEST"] * 60)
    absent = {t: np.full(120, "", dtype="<U8") for t in JUDGED_TAGS}
    silent = {t: np.full(120, np.nan) for t in JUDGED_TAGS}
    right = np.zeros(120)
    right[:bad] = 1.0
    modality = {"Modality": np.full(120, "CT")}
    return HeldOutEvidence(
        np.zeros(120),
        np.ones(120, dtype=bool),
        {**absent, **modality, TAG: parts},
        {**absent, TAG: wrong},
        {**silent, TAG: right},
        {**silent, TAG: np.ones(120)},
    )


def rows(bad: int) -> dict[str, tuple[int, int, int, int, bool]]:
    """Return the counts of each received value, and whether it is judged."""
    told = {TAG: TagCalibration(0.9)}
    return {
        d.concept: (d.right, d.false_alarms, d.wrong, d.found, d.judged)
        for d in detectability([evidence(bad)], told, 1.0)
    }


def test_a_value_that_alarms_falsely_is_not_judged() -> None:
    """Twelve of sixty right chests flagged: CHEST falls silent, HEAD does not."""
    told = rows(12)
    assert told["CHEST"] == (60, 12, 60, 60, False)
    assert told["HEAD"][4]


def test_a_value_that_was_never_right_is_judged() -> None:
    """A knee that no CT ever was cannot alarm falsely."""
    assert rows(0)["KNEE"] == (0, 0, 60, 60, True)


def test_precision_counts_on_the_usual_rate_of_errors() -> None:
    """With 5 % wrong, all found and half a percent false alarms: 0.913."""
    assert precision_of(1.0, 0.005) == pytest.approx(0.913, abs=1e-3)
    assert precision_of(0.0, 0.0) is None


def test_a_mistaken_unit_lies_far_outside_of_the_range() -> None:
    """Exposure times around 100 ms: 120 is usual, 100,000 is not; absent is silence."""
    rng = np.random.default_rng(2)
    samples = [
        Sample({}, "p", "s", numbers={"ExposureTime": (float(t),)})
        for t in np.exp(rng.normal(np.log(100), 0.2, 40))
    ]
    numbers = numbers_of([*samples, Sample({}, "p", "s")])
    weights = np.ones((41, 1))
    low, high = fit_ranges(weights, numbers)["ExposureTime"]
    assert 40 < low[0] < 90
    assert 110 < high[0] < 250
    values = np.array([120.0, 100_000.0, np.nan])
    scores = scores_of(np.ones((3, 1)), values, (low, high))
    assert scores[:2].tolist() == [0.0, 1.0]
    assert np.isnan(scores[2])
    wrong = slipped(np.full(50, 100.0), rng)
    assert set(np.round(wrong, 3).tolist()) == {0.1, 100_000.0}
