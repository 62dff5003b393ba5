"""The worker process: its parts, its readiness, its start and its end."""

import os
import socket

from veritag.findings import FindingCode, VerdictStatus
from veritag.messaging.consumer import consume
from veritag.messaging.dispatcher import Dispatcher
from veritag.messaging.messages import QUEUE_INSPECTION, QUEUE_SETTLING
from veritag.pixels.decoding_process import DecodingLimits
from veritag.process.health import Check, HealthServer
from veritag.process.lifecycle import (
    availability_check,
    retry_until_available,
    stop_on_signals,
)
from veritag.process.logs import get_logger
from veritag.process.memory import release_memory_later
from veritag.process.metrics import (
    FINDINGS,
    INSPECTED,
    MODALITIES,
    SERIES_SETTLED,
    count_from_zero,
)
from veritag.records import Records
from veritag.records.states import SettleReason
from veritag.settings import Settings
from veritag.storage.archive import Archive
from worker.app import build_app
from worker.bundle_in_use import BundleInUse
from worker.context import Context
from worker.inference import CUDA
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
        pipeline=Pipeline(
            settings.decode_threads, settings.max_frame_mb, DecodingLimits.of(settings)
        ),
        name=f"{socket.gethostname()}:{os.getpid()}",
    )


def checks(context: Context, dispatcher: Dispatcher) -> dict[str, Check]:
    """Return the checks of readiness, by dependency."""
    return {
        "records": availability_check(context.records.ping),
        "broker": availability_check(dispatcher.ping),
        "bundle": lambda: context.bundle.problem,
        "provider": lambda: missing_gpu(context),
    }


def missing_gpu(context: Context) -> str | None:
    """Return why a worker that must run on a GPU does not, None if it need not or does."""
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
    count_from_zero(SERIES_SETTLED, SettleReason)


def run_worker(settings: Settings) -> int:
    """Consume messages until SIGTERM or SIGINT; return the exit status."""
    context = open_context(settings)
    dispatcher = Dispatcher.open(settings, "veritag.worker.health")
    health = HealthServer(
        settings.http_host, settings.worker_http_port, checks(context, dispatcher)
    )
    stop_on_signals(context.stopping)
    log.info("worker_started", http_port=health.start(), worker=context.name)
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
    if not retry_until_available(context.records.migrate, context.stopping):
        return False
    context.pipeline.warm()
    context.bundle.current()
    problem = missing_gpu(context)
    if problem:
        # Not an exit: the readiness probe reports the problem, and no message is fetched.
        log.error("not_ready", reason=problem)
        context.stopping.wait()
    return not context.stopping.is_set()


def _consume(settings: Settings, context: Context) -> int:
    release_memory_later()
    return consume(
        build_app(settings, context),
        (QUEUE_INSPECTION, QUEUE_SETTLING),
        context.name,
        context.stopping,
        settings.stop_grace_seconds,
    )
