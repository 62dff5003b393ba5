"""The worker process: its parts, its readiness, its start and its end."""

import os
import signal
import socket
import threading
import warnings

from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import setup_logging, worker_ready, worker_shutting_down

from veritag.archive import Archive
from veritag.dispatch import Dispatcher
from veritag.findings import FindingCode, VerdictStatus
from veritag.health import Check, HealthServer
from veritag.logs import get_logger
from veritag.messages import QUEUE_INSPECTION, QUEUE_SETTLING
from veritag.metrics import (
    FINDINGS,
    INSPECTED,
    MODALITIES,
    SERIES_SETTLED,
    count_from_zero,
)
from veritag.records import Records
from veritag.records.settling import CAP, IDLE
from veritag.settings import Settings
from worker.app import build_app
from worker.bundles import BundleInUse
from worker.context import Context
from worker.inference import CUDA
from worker.lifecycle import answers, stop_signals, until_available
from worker.pipeline import Pipeline

log = get_logger()


def open_context(settings: Settings) -> Context:
    """Return the parts of a worker process; nothing is connected or loaded yet."""
    records = Records.open(settings.records_url)
    return Context(
        settings=settings,
        records=records,
        archive=Archive(settings.archive_dir),
        bundle=BundleInUse(settings.bundles_dir, records),
        pipeline=Pipeline(settings.decode_threads, settings.max_frame_mb),
        name=f"{socket.gethostname()}:{os.getpid()}",
    )


def checks(context: Context, dispatcher: Dispatcher) -> dict[str, Check]:
    """Return what a worker needs to be ready."""
    return {
        "records": answers(context.records.ping),
        "broker": answers(dispatcher.ping),
        "bundle": lambda: context.bundle.problem,
        "provider": lambda: missing_gpu(context),
    }


def missing_gpu(context: Context) -> str | None:
    """Say why a worker that must run on a GPU does not; None where all is well."""
    provider = context.bundle.provider
    if not context.settings.require_gpu or provider == CUDA:
        return None
    return (
        f"VERITAG_REQUIRE_GPU is set and ONNX Runtime runs on {provider}: "
        "CUDA, cuDNN or the driver is missing"
    )


def _count_from_zero() -> None:
    modalities = {*MODALITIES, "other"}
    count_from_zero(INSPECTED, VerdictStatus, modalities)
    count_from_zero(FINDINGS, FindingCode, modalities)
    count_from_zero(SERIES_SETTLED, (IDLE, CAP))


def run_worker(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT; return the exit status."""
    context = open_context(settings)
    dispatcher = Dispatcher.open(settings, "veritag.worker.health")
    health = HealthServer(
        settings.http_host, settings.worker_http_port, checks(context, dispatcher)
    )
    log.info("worker_started", http_port=health.start(), worker=context.name)
    stop_signals(context.stopping)
    _count_from_zero()
    try:
        if _make_ready(context):
            return _consume(settings, context)
        return 0
    finally:
        context.pipeline.close()
        context.records.close()
        dispatcher.close()
        log.info("worker_stopped")


def _make_ready(context: Context) -> bool:
    """Load the bundle and reach the records; False when the process shall end."""
    if not until_available(context.records.migrate, context.stopping):
        return False
    context.bundle.current()
    problem = missing_gpu(context)
    if problem:
        # Stays alive and unready: an orchestrator sees why, and no message is taken.
        log.error("not_ready", reason=problem)
        context.stopping.wait()
    return not context.stopping.is_set()


def _consume(settings: Settings, context: Context) -> int:
    # A container runs as root and takes JSON only; what Celery 6 may do is for later.
    for category in (SecurityWarning, CPendingDeprecationWarning):
        warnings.simplefilter("ignore", category)
    app = build_app(settings, context)

    def shutting_down(**_signal: object) -> None:
        context.stopping.set()
        overdue = threading.Timer(settings.stop_grace_seconds, _overdue)
        overdue.daemon = True
        overdue.start()

    def ready(**_signal: object) -> None:
        if context.stopping.is_set():
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
        queues=[QUEUE_INSPECTION, QUEUE_SETTLING],
        hostname=f"veritag@{context.name}",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _overdue() -> None:
    """End the process although a message is not done; its attempts are recorded."""
    log.error("stop_grace_exceeded")
    os._exit(1)
