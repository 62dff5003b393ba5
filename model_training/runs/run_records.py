"""Recording of training runs, where the data directory has records."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from veritag.bundles.bundle import ModelBundle
from veritag.errors import RecordsUnavailable, StopError, describe_error
from veritag.process.logs import get_logger
from veritag.records import Records
from veritag.records.states import RunStatus
from veritag.records.training.runs import (
    HEARTBEAT_SECONDS,
    begin_run,
    claim_run,
    configure_run,
    fail_run,
    finish_run,
    record_heartbeat,
    training_run,
)
from veritag.settings import Settings

log = get_logger()

RecordBundle: TypeAlias = Callable[[ModelBundle, str], None]
"""Function of the sealed bundle and the digest of its snapshot."""


@contextmanager
def recorded_run(
    settings: Settings, configuration: Mapping[str, Any]
) -> Iterator[RecordBundle]:
    """Record the start and the end of a run; yield the function that records its bundle.

    No records are created: training needs no running Veritag.

    Raises
    ------
    RecordsUnavailable
        If there are records and the database does not answer.
    """
    if not settings.has_records:
        yield lambda _bundle, _digest: None
        return
    records = Records.open(settings.records_url)
    try:
        records.migrate()
        run_id = begin_run(records, configuration)
        with watched_run(records, run_id):
            yield lambda bundle, digest: record_bundle(records, run_id, bundle, digest)
    finally:
        records.close()


def record_bundle(
    records: Records, run_id: int, bundle: ModelBundle, digest: str
) -> None:
    """Record the bundle that a run made."""
    figures = bundle.manifest.training
    finish_run(records, run_id, bundle.bundle_id, digest, figures)


def claim_requested_run(
    records: Records, run_id: int, configuration: Mapping[str, Any]
) -> None:
    """Start a requested run; the trainer may have claimed it before for this process.

    Raises
    ------
    StopError
        If the run has ended or another is running.
    """
    if not claim_run(records, run_id):
        run = training_run(records, run_id)
        if run is None or run.status != RunStatus.RUNNING:
            raise StopError(
                f"training run {run_id} has ended, waits for another run, or does not exist"
            )
    configure_run(records, run_id, configuration)


@contextmanager
def watched_run(records: Records, run_id: int) -> Iterator[None]:
    """Record heartbeats of a run while the block runs, and the reason of its failure."""
    ended = threading.Event()
    heartbeat = threading.Thread(
        target=_keep_beating, args=(records, run_id, ended), daemon=True
    )
    heartbeat.start()
    try:
        yield
    # An interruption by the user fails the run, too.
    except BaseException as error:
        _try_to_fail(records, run_id, describe_error(error))
        raise
    finally:
        ended.set()
        heartbeat.join()


def _try_to_fail(records: Records, run_id: int, reason: str) -> None:
    """Record the reason; where that fails, the missing heartbeat fails the run."""
    try:
        fail_run(records, run_id, reason)
    except RecordsUnavailable as error:
        log.warning("failure_not_recorded", run_id=run_id, reason=str(error))


def _keep_beating(records: Records, run_id: int, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        try:
            record_heartbeat(records, run_id)
        except RecordsUnavailable as error:
            # The training does not need the database: it continues without it.
            log.warning("heartbeat_missed", run_id=run_id, reason=str(error))
