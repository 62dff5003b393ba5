"""What can be judged, by received value and Modality."""

import pytest

from model_training.calibration.detectability import detectability, precision_of
from model_training.calibration.held_out_scores import HeldOutScores
from tests.unit.model_training.calibration.held_out import held_out_scores
from veritag.bundles.manifest import TagCalibration

TAG = "BodyPartExamined"


def scores(bad: int) -> HeldOutScores:
    """Return 60 chests, `bad` of them false alarms, and 60 right heads, all CT."""
    return held_out_scores(
        TAG,
        [1.0] * bad + [0.0] * (120 - bad),
        [1.0] * 120,
        received=["CHEST"] * 60 + ["HEAD"] * 60,
        injected=["KNEE"] * 60 + ["CHEST"] * 60,
    )


def rows(bad: int) -> dict[str, tuple[int, int, int, int, bool]]:
    """Return the counts of each received value, and whether it is judged."""
    tags = {TAG: TagCalibration(0.9)}
    return {
        d.concept: (d.right, d.false_alarms, d.wrong, d.found, d.judged)
        for d in detectability([scores(bad)], tags, 1.0)
    }


def test_a_value_that_alarms_falsely_is_not_judged() -> None:
    """With twelve of sixty right chests flagged, CHEST is not judged, HEAD is."""
    judged = rows(12)
    assert judged["CHEST"] == (60, 12, 60, 60, False)
    assert judged["HEAD"][4]


def test_a_value_that_was_never_right_is_judged() -> None:
    """KNEE, which no CT image has, cannot alarm falsely."""
    assert rows(0)["KNEE"] == (0, 0, 60, 60, True)


def test_precision_counts_on_the_usual_rate_of_errors() -> None:
    """5 % wrong tags, all found, and 0.5 % false alarms give 0.913."""
    assert precision_of(1.0, 0.005) == pytest.approx(0.913, abs=1e-3)
    assert precision_of(0.0, 0.0) is None
