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
    """A request that raises an error if its message cannot be acknowledged.

    Celery only logs the failure. The message then counts as in progress for ever, and a
    worker that fetches one message at a time never fetches another. The raised error of
    the connection makes the worker reconnect.
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
    """Consume messages until SIGTERM or SIGINT; return the exit status.

    Parameters
    ----------
    name
        Name of this process.
    stopping
        Set at the signal, so that a task can end early.
    grace_seconds
        Time after the signal until the process ends, even with a message in progress.
    """
    # Celery warns of running as root, where a pickle would run anyone's code: messages
    # are JSON here. It also announces changes of Celery 6.
    for category in (SecurityWarning, CPendingDeprecationWarning):
        warnings.simplefilter("ignore", category)

    def shutting_down(**_signal: object) -> None:
        stopping.set()
        timer = threading.Timer(grace_seconds, _end_overdue_process)
        timer.daemon = True
        timer.start()

    def ready(**_signal: object) -> None:
        if stopping.is_set():
            # The signal arrived before Celery had installed its handler.
            os.kill(os.getpid(), signal.SIGTERM)

    def keep_our_logging(**_signal: object) -> None:
        """Keep Celery from setting levels and handlers: a connected receiver suffices."""

    setup_logging.connect(keep_our_logging, weak=False)
    worker_shutting_down.connect(shutting_down, weak=False)
    worker_ready.connect(ready, weak=False)
    # Solo pool: CUDA does not survive a fork, and a GPU serves one process.
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


def _end_overdue_process() -> None:
    """End the process with a message in progress; the records hold what is left to do."""
    log.error("stop_grace_exceeded")
    os._exit(1)
