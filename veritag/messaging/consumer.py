"""Consuming messages: one process, one message at a time, with a bounded end."""

import os
import signal
import threading
import warnings
from collections.abc import Sequence

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging, worker_ready, worker_shutting_down
from celery.worker.request import Request

from veritag.process.logs import get_logger

log = get_logger()


class StrictRequest(Request):  # type: ignore[misc]  # Celery has no types
    """Says so when a message cannot be acknowledged.

    Celery only logs it; the message then counts as being worked on for ever, and a
    worker that takes one message at a time never asks for another. The error of the
    connection makes it reconnect instead.
    """

    acknowledged: bool = False

    def acknowledge(self) -> None:
        """Acknowledge the message, or raise the error of the connection."""
        if not self.acknowledged:
            self.acknowledged = True
            self.message.ack()


def consume(
    app: Celery,
    queues: Sequence[str],
    name: str,
    stopping: threading.Event,
    grace_seconds: float,
) -> int:
    """Take messages until SIGTERM or SIGINT; return the exit status.

    Parameters
    ----------
    name
        Of this process.
    stopping
        Set by the signal, so that the task may hurry.
    grace_seconds
        After the signal, when the process ends although a message is not done.
    """
    # A container runs as root and takes JSON only; what Celery 6 may do is for later.
    for category in (SecurityWarning, CPendingDeprecationWarning):
        warnings.simplefilter("ignore", category)

    def shutting_down(**_signal: object) -> None:
        stopping.set()
        overdue = threading.Timer(grace_seconds, _overdue)
        overdue.daemon = True
        overdue.start()

    def ready(**_signal: object) -> None:
        if stopping.is_set():
            # The signal came before Celery's own handler was there to see it.
            os.kill(os.getpid(), signal.SIGTERM)

    def keep_our_logging(**_signal: object) -> None:
        """Answer for Celery, which would set levels and handlers of its own."""

    setup_logging.connect(keep_our_logging, weak=False)
    worker_shutting_down.connect(shutting_down, weak=False)
    worker_ready.connect(ready, weak=False)
    # CUDA does not survive a fork, and one process per GPU is all it can use: solo.
    worker = app.Worker(
        pool="solo",
        concurrency=1,
        queues=list(queues),
        hostname=f"veritag@{name}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _overdue() -> None:
    """End the process although a message is not done; the records know what was left."""
    log.error("stop_grace_exceeded")
    os._exit(1)
