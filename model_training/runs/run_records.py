"""Training runs on the records of the data directory, where it has any."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from veritag.bundles.bundle import ModelBundle
from veritag.errors import RecordsUnavailable, StopError, in_words
from veritag.process.logs import get_logger
from veritag.records import Records
from veritag.records.training.runs import (
    RUNNING,
    beat,
    begin_run,
    claim_run,
    configure_run,
    fail_run,
    finish_run,
    run_of,
)
from veritag.settings import Settings

log = get_logger()

BEAT_SECONDS = 15.0

Finish: TypeAlias = Callable[[ModelBundle, str], None]
"""Takes the sealed bundle and the digest of its snapshot."""


def has_records(settings: Settings) -> bool:
    """Tell whether a data directory has records; training needs none."""
    return settings.database_url is not None or settings.sqlite_file.is_file()


@contextmanager
def recorded_run(
    settings: Settings, configuration: Mapping[str, Any]
) -> Iterator[Finish]:
    """Record that a run began and how it ended; yields what records its bundle.

    A data directory without records is left without: training needs no system.

    Raises
    ------
    RecordsUnavailable
        If there are records and they do not answer.
    """
    if not has_records(settings):
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
    """Begin a run that was asked for, whether or not somebody has claimed it for us.

    Raises
    ------
    StopError
        If the run has ended, or another one lives.
    """
    if not claim_run(records, run_id):
        run = run_of(records, run_id)
        if run is None or run.status != RUNNING:
            raise StopError(
                f"training run {run_id} has ended, waits for another, or there is none"
            )
    configure_run(records, run_id, configuration)


@contextmanager
def watched_run(records: Records, run_id: int) -> Iterator[None]:
    """Tell the records that a run lives while the block runs, and why it failed."""
    ended = threading.Event()
    heart = threading.Thread(
        target=_keep_beating, args=(records, run_id, ended), daemon=True
    )
    heart.start()
    try:
        yield
    except BaseException as error:
        _try_to_fail(records, run_id, in_words(error))
        raise
    finally:
        ended.set()
        heart.join()


def _try_to_fail(records: Records, run_id: int, reason: str) -> None:
    """Record the reason; where that fails too, silence will tell that the run died."""
    try:
        fail_run(records, run_id, reason)
    except RecordsUnavailable as error:
        log.warning("failure_not_recorded", run_id=run_id, reason=str(error))


def _keep_beating(records: Records, run_id: int, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        try:
            beat(records, run_id)
        except RecordsUnavailable as error:
            # Training outlives a database that is away for a while.
            log.warning("heartbeat_missed", run_id=run_id, reason=str(error))
