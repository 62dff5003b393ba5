"""The training schedule: when a training is due, by time or by need.

At most one training is requested at a time. Celery beat keeps its last runs in a file and
knows no needs; here Celery's crontab classes are applied to the runs in the records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import tzlocal
from celery.schedules import crontab

from services.scheduler.drift import jensen_shannon
from veritag.messaging.dispatcher import Dispatcher
from veritag.messaging.messages import QUEUE_TRAINING
from veritag.process.backoff import full_delay
from veritag.process.logs import get_logger
from veritag.records import Records
from veritag.records.states import RunStatus, RunTrigger
from veritag.records.training.needs import (
    Occupancy,
    TrainingNeeds,
    recent_occupancy,
    training_needs,
)
from veritag.records.training.runs import (
    STALE_SECONDS,
    TrainingRun,
    fail_run,
    fail_stale_runs,
    open_run,
    record_heartbeat,
    request_run,
)
from veritag.settings import NEVER, Settings

log = get_logger()

# A scheduled start that was missed by more than this is skipped: Sunday night's training
# must not start on Monday morning.
LATEST_START = timedelta(hours=6)
# Shortest time from a run to the next one by need.
PAUSE_BY_NEED = timedelta(days=1)
# Seconds until the next run after failures in a row: first, factor, longest.
_RETRY_DELAYS = 3600.0, 2.0, 7 * 86400.0
# A request without a trainer is published again after a minute, and fails after a day.
REPUBLISH_AFTER = timedelta(minutes=1)
GIVE_UP_AFTER = timedelta(days=1)

NO_TRAINER = (
    "no trainer accepted it within a day: run `veritag trainer`, with the extra "
    "`training` installed"
)


@dataclass(frozen=True, slots=True)
class Due:
    """The trigger of a due training, and its reason."""

    trigger: RunTrigger
    reason: str


@dataclass(frozen=True, slots=True)
class Drift:
    """Distance between recent images and those of the training of their bundle.

    Attributes
    ----------
    distance
        Jensen-Shannon distance of cluster occupancy, 0 to 1.
    unknown_rise
        Share of images of unknown kind minus that of the training.
    """

    images: int
    distance: float
    unknown_rise: float


def drift_of(occupancy: Occupancy | None) -> Drift | None:
    """Return the drift, None without images or without numbers of the training."""
    if (
        occupancy is None
        or occupancy.trained_clusters is None
        or occupancy.trained_unknown is None
    ):
        return None
    distance = jensen_shannon(occupancy.clusters, occupancy.trained_clusters)
    return Drift(
        occupancy.images, distance, occupancy.unknown - occupancy.trained_unknown
    )


def due_by_time(
    expression: str, last: datetime, now: datetime, zone: tzinfo | None = None
) -> bool:
    """Return whether the schedule had a start since the last run, within `LATEST_START`.

    Parameters
    ----------
    zone
        Time zone of the expression; default: that of this machine.
    """
    if expression == NEVER:
        return False
    schedule = crontab.from_string(expression)
    schedule.nowfun = lambda: now
    schedule.tz = zone or tzlocal.get_localzone()
    since = max(last, now - LATEST_START)
    return bool(schedule.remaining_estimate(since) <= timedelta(0))


def what_is_due(
    settings: Settings, needs: TrainingNeeds, drift: Drift | None, now: datetime
) -> Due | None:
    """Return why a training is due now, None if it is not."""
    if needs.instances < settings.train_least_instances:
        return None
    last = needs.last_success_at or needs.first_received_at or now
    if now < _earliest(needs):
        return None
    if due_by_time(settings.train_schedule, last, now):
        return Due(RunTrigger.TIME, f"the schedule {settings.train_schedule!r}")
    if needs.last_run_at is not None and now < needs.last_run_at + PAUSE_BY_NEED:
        return None
    reason = _need(settings, needs) or _drifted(settings, needs, drift)
    return Due(RunTrigger.NEED, reason) if reason else None


def _earliest(needs: TrainingNeeds) -> datetime:
    """Return the earliest time of the next run after failures."""
    if needs.last_run_at is None or not needs.failures:
        return datetime.min.replace(tzinfo=UTC)
    delay = full_delay(needs.failures - 1, *_RETRY_DELAYS)
    return needs.last_run_at + timedelta(seconds=delay)


def _need(settings: Settings, needs: TrainingNeeds) -> str | None:
    needs_and_limits = (
        (settings.train_new_instances, needs.new_instances, "instances"),
        (settings.train_new_decisions, needs.new_decisions, "decisions"),
    )
    for limit, count, what in needs_and_limits:
        if limit and count >= limit:
            return f"{count} new {what} since the last training"
    return None


def _drifted(
    settings: Settings, needs: TrainingNeeds, drift: Drift | None
) -> str | None:
    floor = settings.train_drift_instances
    # Without new images another training would see the same images.
    if drift is None or min(drift.images, needs.new_instances) < floor:
        return None
    if settings.train_drift and drift.distance >= settings.train_drift:
        return f"the clusters of recent series have drifted by {drift.distance:.2f}"
    rise = settings.train_unknown_rise
    if rise and drift.unknown_rise >= rise:
        return f"{drift.unknown_rise:.0%} more images than in training are of no known kind"
    return None


class TrainingSchedule:
    """Requests training runs; its state is in the records."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        dispatcher: Dispatcher,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._records = records
        self._dispatcher = dispatcher
        self._clock = clock

    def round(self) -> Drift | None:
        """Fail dead runs, republish a lost request, request a due training.

        Returns
        -------
        The current drift, for the metrics.

        Raises
        ------
        RetryableError
            If records or broker do not answer.
        """
        for run_id in fail_stale_runs(self._records, STALE_SECONDS):
            log.error("training_died", run_id=run_id)
        drift = drift_of(recent_occupancy(self._records))
        run = open_run(self._records)
        if run is not None:
            self._republish(run)
            return drift
        now = self._clock()
        needs = training_needs(self._records)
        due = what_is_due(self._settings, needs, drift, now)
        if due is not None:
            self._request(due)
        return drift

    def _request(self, due: Due) -> None:
        run_id = request_run(self._records, due.trigger, due.reason)
        log.info(
            "training_requested", run_id=run_id, trigger=due.trigger, reason=due.reason
        )
        self._dispatcher.train(run_id)

    def _republish(self, run: TrainingRun) -> None:
        """Publish a request again that no trainer accepted and the queue does not hold."""
        now = datetime.now(UTC)
        if run.status != RunStatus.REQUESTED:
            return
        if now - run.started_at > GIVE_UP_AFTER:
            log.error("training_not_accepted", run_id=run.run_id)
            fail_run(self._records, run.run_id, NO_TRAINER)
        elif run.heartbeat_at is not None and now - run.heartbeat_at > REPUBLISH_AFTER:
            if not self._dispatcher.waiting(QUEUE_TRAINING):
                self._dispatcher.train(run.run_id)
            record_heartbeat(self._records, run.run_id)
