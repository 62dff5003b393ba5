"""When a training is due, decided from the state of the records."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.scheduler.training_schedule import (
    Drift,
    Due,
    drift_of,
    due_by_time,
    what_is_due,
)
from veritag.errors import ConfigurationError
from veritag.records.states import RunTrigger
from veritag.records.training.needs import Occupancy, TrainingNeeds
from veritag.settings import Settings, load_settings

SUNDAY = datetime(2026, 11, 22, 2, 0, 30, tzinfo=UTC)
WEEK = timedelta(days=7)
NEEDS = TrainingNeeds(
    instances=5000,
    new_instances=3000,
    new_decisions=40,
    first_received_at=SUNDAY - 3 * WEEK,
    last_run_at=SUNDAY - WEEK,
    last_success_at=SUNDAY - WEEK,
    failures=0,
)
DRIFT = Drift(images=3000, distance=0.4, unknown_rise=0.2)


def due(
    needs: TrainingNeeds = NEEDS,
    drift: Drift | None = None,
    now: datetime = SUNDAY,
    **settings: Any,
) -> Due | None:
    return what_is_due(Settings(**settings), needs, drift, now)


@pytest.mark.parametrize(
    ("hours", "expected"), [(-0.1, False), (0, True), (5.9, True), (6.1, False)]
)
def test_a_start_that_was_missed_by_hours_waits_for_the_next(
    hours: float, expected: bool
) -> None:
    """A scheduled start is due from its minute on, for six hours."""
    now = SUNDAY + timedelta(hours=hours)
    last = SUNDAY - WEEK
    assert due_by_time("0 2 * * 0", last, now, ZoneInfo("UTC")) is expected


def test_a_schedule_is_in_local_time() -> None:
    """The schedule is in local time, daylight saving included."""
    zone = ZoneInfo("Europe/Zagreb")
    before = datetime(2026, 7, 4, 20, 0, tzinfo=UTC)
    assert not due_by_time("0 2 * * 0", before, SUMMER - timedelta(minutes=1), zone)
    assert due_by_time("0 2 * * 0", before, SUMMER + timedelta(minutes=1), zone)


SUMMER = datetime(2026, 7, 5, 0, 0, tzinfo=UTC)


def test_a_run_that_succeeded_is_not_repeated() -> None:
    """A start after which a run began is not due again."""
    done = SUNDAY + timedelta(hours=1)
    needs = replace(NEEDS, last_run_at=done, last_success_at=done)
    assert due(needs, now=done + timedelta(minutes=1)) is None


def test_a_failed_run_is_tried_again_later_and_later() -> None:
    """After failures the next run waits one hour, then two, four, ..."""
    failed = SUNDAY + timedelta(minutes=5)
    once = replace(NEEDS, last_run_at=failed, failures=1)
    assert due(once, now=failed + timedelta(minutes=59)) is None
    assert due(once, now=failed + timedelta(minutes=61)) is not None
    often = replace(once, failures=3)
    assert due(often, now=failed + timedelta(hours=3.9)) is None
    assert due(often, now=failed + timedelta(hours=4.1)) is not None
    by_need = replace(often, failures=60)
    late = failed + timedelta(days=6)
    assert due(by_need, now=late, train_new_instances=1, train_schedule="never") is None


def test_too_few_instances_start_nothing() -> None:
    """Neither by time nor by need."""
    few = replace(NEEDS, instances=1999)
    assert due(few, DRIFT, train_new_instances=1, train_drift=0.1) is None


def test_never_and_no_need_start_nothing() -> None:
    """With all triggers off no training is due."""
    assert due(drift=DRIFT, train_schedule="never") is None


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"train_new_instances": 3000}, "3000 new instances since the last training"),
        ({"train_new_decisions": 40}, "40 new decisions since the last training"),
        ({"train_drift": 0.4}, "the clusters of recent series have drifted by 0.40"),
        (
            {"train_unknown_rise": 0.2},
            "20% more images than in training are of no known kind",
        ),
    ],
)
def test_each_need_starts_a_training_with_its_reason(
    setting: dict[str, Any], reason: str
) -> None:
    """A need triggers at its limit and not below it; the reason names it."""
    assert due(drift=DRIFT, train_schedule="never", **setting) == Due(
        RunTrigger.NEED, reason
    )
    ((name, value),) = setting.items()
    more = {name: value + (1 if value > 1 else 0.1)}
    assert due(drift=DRIFT, train_schedule="never", **more) is None


def test_few_images_show_no_drift() -> None:
    """With few verdicts, or few new images since the last training, none is due."""
    always: dict[str, Any] = {"train_schedule": "never", "train_drift": 0.1}
    assert due(drift=replace(DRIFT, images=999), **always) is None
    assert due(replace(NEEDS, new_instances=999), DRIFT, **always) is None
    assert due(drift=DRIFT, **always) is not None


def test_by_need_a_day_passes_between_runs() -> None:
    """After a bundle that the gate did not promote, the next training waits."""
    ended = SUNDAY - timedelta(hours=23)
    needs = replace(NEEDS, last_run_at=ended, last_success_at=ended)
    assert due(needs, train_new_instances=1, train_schedule="never") is None


def test_drift_compares_with_what_the_bundle_was_trained_on() -> None:
    """A bundle without the cluster shares of its training has no drift."""
    seen = Occupancy("vb-1", 2000, {"1": 0.5, "2": 0.5}, 0.3, {"1": 1.0}, 0.1)
    drift = drift_of(seen)
    assert drift is not None
    assert drift.distance == pytest.approx(0.558, abs=1e-3)
    assert drift.unknown_rise == pytest.approx(0.2)
    assert drift_of(replace(seen, trained_clusters=None)) is None
    assert drift_of(None) is None


def test_a_wrong_schedule_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting and shows an example."""
    for wrong in ("tonight", "0 25 * * *", "0 2 * *"):
        monkeypatch.setenv("VERITAG_TRAIN_SCHEDULE", wrong)
        with pytest.raises(ConfigurationError, match=r"TRAIN_SCHEDULE.*crontab"):
            load_settings()
