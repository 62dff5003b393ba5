"""The trainer: carries out requested training runs, each in a child process.

The trainer loads no torch, so that it stays small while it waits, perhaps for weeks.
The child is one `veritag retrain` with limits of its own, and is ended together with
its descendants. A message is acknowledged before the work because a training outlasts
every visibility timeout; the scheduler sends a lost request again from the records.
"""

import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery import Celery, Task

from model_training.promotion.training_child import (
    TrainingChild,
    TrainingLimits,
    retrain_command,
)
from veritag.errors import RecordsUnavailable, RejectError
from veritag.messaging.celery_config import celery_app
from veritag.messaging.consumer import StrictRequest, consume
from veritag.messaging.dispatcher import Dispatcher
from veritag.messaging.messages import QUEUE_TRAINING, TASK_TRAIN, TrainBundle
from veritag.process.backoff import Backoff
from veritag.process.health import HealthServer
from veritag.process.lifecycle import (
    availability_check,
    retry_until_available,
    stop_on_signals,
)
from veritag.process.logs import get_logger
from veritag.process.memory import release_memory_later
from veritag.records import Records
from veritag.records.states import RunStatus
from veritag.records.training.runs import (
    HEARTBEAT_SECONDS,
    claim_run,
    fail_run,
    record_heartbeat,
    training_run,
)
from veritag.settings import Settings

log = get_logger()

LOG = "training.log"
_TRIES = 15
"""Attempts to record the end of a run while the database does not answer."""


class Trainer:
    """Carries out training runs, one at a time."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        stopping: threading.Event,
        command: Callable[[int], Sequence[str]] = retrain_command,
    ) -> None:
        self._settings = settings
        self._records = records
        self._stopping = stopping
        self._command = command

    def carry_out(self, payload: Mapping[str, Any]) -> None:
        """Train as requested by a message; a run that is not open is left alone.

        Raises
        ------
        UnknownMessage
            If the message is of another version.
        RecordsUnavailable
            If the database does not answer; the scheduler sends the request again.
        """
        run_id = TrainBundle.decode(payload).run_id
        # Claiming is atomic in the database: a repeated message finds the run claimed.
        if not claim_run(self._records, run_id):
            log.info("training_not_open", run_id=run_id)
            return
        log.info("training_started", run_id=run_id)
        child = TrainingChild(
            self._command(run_id),
            self._settings.data_dir / "logs" / LOG,
            TrainingLimits.of(self._settings),
        )
        problem = self._watch(child, run_id)
        self._record_end(run_id, problem)

    def _watch(self, child: TrainingChild, run_id: int) -> str | None:
        """Run the child to its end; return why it failed, None where it succeeded."""
        problem = None
        try:
            child.start()
            while not child.ended(HEARTBEAT_SECONDS, self._stopping):
                problem = self._reason_to_end(child, run_id)
                if problem:
                    break
        finally:
            child.end()
        return problem or child.failure()

    def _reason_to_end(self, child: TrainingChild, run_id: int) -> str | None:
        if self._stopping.is_set():
            return "stopped: the trainer is shutting down"
        try:
            if not record_heartbeat(self._records, run_id):
                # Either the child has just recorded its success, or the run was given up.
                return None if child.ended(1.0) else "stopped: the run was given up"
        except RecordsUnavailable:
            # The child needs no database while it trains: it continues.
            log.warning("heartbeat_missed", run_id=run_id)
        return child.excess()

    def _record_end(self, run_id: int, problem: str | None) -> None:
        """Record the end of a run whose child could not record it itself."""
        delays = Backoff(first=1.0, longest=5.0)
        while delays.failures < _TRIES:
            try:
                run = training_run(self._records, run_id)
                if run is not None and run.status == RunStatus.RUNNING:
                    fail_run(
                        self._records,
                        run_id,
                        problem or "the training process recorded no result",
                    )
                break
            except RecordsUnavailable:
                # If this lasts, the scheduler finds the missing heartbeat.
                if self._stopping.wait(delays.next()):
                    break
        log.info("training_ended", run_id=run_id, problem=problem)


class TrainingTask(Task):  # type: ignore[misc]  # Celery has no types
    """Task that is acknowledged at once: a failure is recorded, not redelivered."""

    name = TASK_TRAIN
    acks_late = False
    reject_on_worker_lost = False
    Request = StrictRequest
    trainer: Trainer

    def run(self, payload: Mapping[str, Any]) -> None:
        """Carry out one message."""
        try:
            self.trainer.carry_out(payload)
        except RejectError as error:
            log.warning("message_rejected", task=self.name, reason=str(error))
        except RecordsUnavailable as error:
            log.warning("message_postponed", task=self.name, reason=str(error))
        except OSError as error:
            log.error("message_failed", task=self.name, reason=error.strerror)  # noqa: TRY400


def build_app(settings: Settings, trainer: Trainer) -> Celery:
    """Return the Celery application with the trainer's one task."""
    app = celery_app(settings, "veritag.trainer")
    app.register_task(type("_Task", (TrainingTask,), {"trainer": trainer})())
    return app


def run_trainer(settings: Settings) -> int:
    """Carry out requested runs until SIGTERM or SIGINT; return the exit status."""
    stopping = threading.Event()
    records = Records.open(settings.records_url)
    dispatcher = Dispatcher.open(settings, "veritag.trainer.health")
    health = _health_server(settings, records, dispatcher)
    stop_on_signals(stopping)
    log.info("trainer_started", http_port=health.start())
    try:
        if not retry_until_available(records.migrate, stopping):
            return 0
        trainer = Trainer(settings, records, stopping)
        name = f"{socket.gethostname()}:{os.getpid()}"
        release_memory_later()
        return consume(
            build_app(settings, trainer),
            (QUEUE_TRAINING,),
            name,
            stopping,
            settings.stop_grace_seconds,
        )
    finally:
        dispatcher.close()
        records.close()
        log.info("trainer_stopped")


def _health_server(
    settings: Settings, records: Records, dispatcher: Dispatcher
) -> HealthServer:
    checks = {
        "records": availability_check(records.ping),
        "broker": availability_check(dispatcher.ping),
        "data": lambda: _folder_problem(settings),
    }
    return HealthServer(settings.http_host, settings.trainer_http_port, checks)


def _folder_problem(settings: Settings) -> str | None:
    folder = settings.data_dir
    return None if os.access(folder, os.W_OK) else f"{folder} cannot be written"
