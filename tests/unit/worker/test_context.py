"""Retries and error texts of worker processes."""

import threading
from pathlib import Path
from typing import cast

import pytest

from veritag.errors import RecordsUnavailable, describe_error
from veritag.records import Records
from veritag.settings import Settings
from veritag.storage.archive import Archive
from worker.bundle_in_use import BundleInUse
from worker.context import Context
from worker.pipeline import Pipeline


class RecordingEvent(threading.Event):
    """An event that records how long it would be waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once whether the event is set."""
        self.waits.append(timeout)
        return self.is_set()


@pytest.fixture
def stopping() -> RecordingEvent:
    """The event that ends the process, not set."""
    return RecordingEvent()


@pytest.fixture
def context(tmp_path: Path, stopping: RecordingEvent) -> Context:
    """The parts of a worker, none of them started."""
    settings = Settings(data_dir=tmp_path)
    records = Records.open(settings.records_url)
    return Context(
        settings,
        records,
        Archive(settings.archive_dir),
        BundleInUse(settings.bundles_dir, records),
        cast(Pipeline, None),
        "test",
        stopping,
    )


def test_records_that_come_back_are_waited_for(
    context: Context, stopping: RecordingEvent
) -> None:
    """The function is called again after growing delays until the records answer."""
    calls = []

    def act() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise RecordsUnavailable("restarting")
        return "done"

    assert context.retry(act) == "done"
    assert len(calls) == 3
    first, second = stopping.waits
    assert first is not None
    assert second is not None
    assert 0 < first < second


def test_a_stopping_process_does_not_call_again(context: Context) -> None:
    """SIGTERM ends the retries at the next failure."""
    context.stopping.set()
    calls = []

    def act() -> None:
        calls.append(1)
        raise RecordsUnavailable("away")

    with pytest.raises(RecordsUnavailable):
        context.retry(act)
    assert len(calls) == 1


def test_foreign_errors_are_told_without_their_text() -> None:
    """An exception's message may quote the Data Set: only type and place are given."""
    try:
        int("DOE^JANE")
    except ValueError as error:
        description = describe_error(error)
    assert "DOE" not in description
    assert description.startswith("unexpected ValueError in test_foreign_errors")
    assert describe_error(RecordsUnavailable("the database does not answer")) == (
        "the database does not answer"
    )
