"""The scheduler: requests settling and training, republishes lost messages, counts.

It works from the records alone, so it may be killed, restarted or run twice: at worst a
message is published twice, and every task is idempotent.
"""

import threading
import time
from collections.abc import Callable, Sequence

from services.scheduler.retention import Retention
from services.scheduler.training_schedule import TrainingSchedule
from veritag.errors import RetryableError
from veritag.messaging.dispatcher import Dispatcher
from veritag.messaging.messages import QUEUE_INSPECTION
from veritag.process.backoff import Backoff
from veritag.process.health import HealthServer
from veritag.process.lifecycle import (
    availability_check,
    retry_until_available,
    stop_on_signals,
)
from veritag.process.logs import get_logger
from veritag.process.memory import release_memory_later
from veritag.process.metrics import (
    BACKLOG,
    BACKLOG_OLDEST,
    CLUSTER_DRIFT,
    DEAD_LETTERS,
    OPEN_FINDINGS,
    REPUBLISHED,
    TRAINING_LAST_SECONDS,
    TRAINING_LAST_SUCCESS,
    TRAINING_OUTCOMES,
    TRAINING_RUNS,
    UNKNOWN_RISE,
)
from veritag.records import Records
from veritag.records.inspection.settling import due_series
from veritag.records.reception.dispatching import mark_dispatched, stale_instances
from veritag.records.status import system_counts
from veritag.records.training.run_counts import run_counts
from veritag.settings import Settings

log = get_logger()

# Series in one message: those that a killed worker delays.
_SERIES_PER_MESSAGE = 8

# Longest inspection queue to which stale instances are published again. In a longer
# queue they are not lost, they wait.
_SHORT_QUEUE = 2

# Interval of counting and republishing, which need not run in each round.
_SLOW_SECONDS = 5.0

# Interval of checking whether a training is due; the check reads many verdicts.
_TRAINING_SECONDS = 60.0

# Interval of retention.
_RETENTION_SECONDS = 60.0

_LONGEST_DELAY = 30.0


class Scheduler:
    """Reads the records every `schedule_seconds` and acts on them."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        dispatcher: Dispatcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._records = records
        self._dispatcher = dispatcher
        self._training = TrainingSchedule(settings, records, dispatcher)
        # Series id to the time of its last request; a restart only repeats messages.
        self._requested: dict[int, float] = {}
        self._slow_at = 0.0
        self._training_at = 0.0
        self._retention = Retention(settings, records)
        self._retention_at = 0.0
        self._delays = Backoff(2 * settings.schedule_seconds, _LONGEST_DELAY)

    def close(self) -> None:
        """End its decoding process."""
        self._retention.close()

    def run(self, stopping: threading.Event) -> None:
        """Run rounds until the event is set; wait while records or broker are unavailable."""
        while not stopping.is_set():
            stopping.wait(self._guarded_round())

    def _guarded_round(self) -> float:
        """Run a round; return the seconds until the next, which grow after failures."""
        try:
            self.round()
        except RetryableError as error:
            if self._delays.failures == 0:
                log.warning("scheduler_waits", reason=str(error))
            return self._delays.next()
        if self._delays.failures:
            log.info("scheduler_resumes", failed_rounds=self._delays.failures)
        self._delays.reset()
        return self._settings.schedule_seconds

    def round(self) -> None:
        """Do what is due; count first, since that needs no broker.

        Raises
        ------
        RetryableError
            If records or broker are unavailable.
        """
        slow = self._clock() >= self._slow_at
        if slow:
            self._count()
        self._request_settling()
        if slow:
            self._republish()
            self._slow_at = self._clock() + _SLOW_SECONDS
        if self._clock() >= self._training_at:
            self._request_training()
            self._training_at = self._clock() + _TRAINING_SECONDS
        if self._clock() >= self._retention_at and not self._retention.round():
            self._retention_at = self._clock() + _RETENTION_SECONDS

    def _request_training(self) -> None:
        drift = self._training.round()
        if drift is not None:
            CLUSTER_DRIFT.set(drift.distance)
            UNKNOWN_RISE.set(drift.unknown_rise)

    def _count(self) -> None:
        now = system_counts(self._records)
        BACKLOG.set(now.backlog)
        BACKLOG_OLDEST.set(now.oldest_unprocessed_seconds)
        DEAD_LETTERS.set(now.dead_letters)
        OPEN_FINDINGS.set(now.findings_open)
        runs = run_counts(self._records)
        for status, number in runs.by_status.items():
            TRAINING_RUNS.labels(status).set(number)
        for outcome, number in runs.by_outcome.items():
            TRAINING_OUTCOMES.labels(outcome).set(number)
        if runs.last_success_at is not None:
            TRAINING_LAST_SUCCESS.set(runs.last_success_at.timestamp())
            TRAINING_LAST_SECONDS.set(runs.last_seconds or 0.0)

    def _request_settling(self) -> None:
        """Publish the due series; each again after `republish_seconds` without a result."""
        due = due_series(
            self._records,
            self._settings.settle_idle_seconds,
            self._settings.settle_cap_seconds,
        )
        now = self._clock()
        ids = [one.series_id for one in due]
        interval = self._settings.republish_seconds
        recent = {i: at for i, at in self._requested.items() if now - at < interval}
        self._requested = {i: recent[i] for i in ids if i in recent}
        self._publish_series([i for i in ids if i not in self._requested], now)

    def _publish_series(self, ids: Sequence[int], now: float) -> None:
        for start in range(0, len(ids), _SERIES_PER_MESSAGE):
            chunk = ids[start : start + _SERIES_PER_MESSAGE]
            self._dispatcher.settle(chunk)
            self._requested |= dict.fromkeys(chunk, now)

    def _republish(self) -> None:
        """Publish indexed instances again that no message and no worker holds."""
        ids = stale_instances(self._records, self._settings.republish_seconds)
        if not ids or self._dispatcher.waiting(QUEUE_INSPECTION) > _SHORT_QUEUE:
            return
        # In this order: after a crash in between they are published once more.
        self._dispatcher.inspect(ids)
        mark_dispatched(self._records, ids)
        REPUBLISHED.inc(len(ids))
        log.info("instances_republished", count=len(ids))


def run_scheduler(settings: Settings) -> int:
    """Schedule until SIGTERM or SIGINT; return the exit status."""
    stopping = threading.Event()
    records = Records.open(settings.records_url)
    dispatcher = Dispatcher.open(settings, "veritag.scheduler")
    dependencies = {
        "records": availability_check(records.ping),
        "broker": availability_check(dispatcher.ping),
    }
    health = HealthServer(
        settings.http_host, settings.scheduler_http_port, dependencies
    )
    stop_on_signals(stopping)
    log.info("scheduler_started", http_port=health.start())
    scheduler = Scheduler(settings, records, dispatcher)
    try:
        if retry_until_available(records.migrate, stopping):
            release_memory_later()
            scheduler.run(stopping)
        return 0
    finally:
        scheduler.close()
        dispatcher.close()
        records.close()
        log.info("scheduler_stopped")
