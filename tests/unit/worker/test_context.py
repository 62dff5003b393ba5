import time
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


@pytest.fixture
def context(tmp_path: Path) -> Context:
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
    )


def test_records_that_come_back_are_waited_for(context: Context) -> None:
    """A short absence costs a moment, not the message."""
    calls = []

    def act() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise RecordsUnavailable("restarting")
        return "done"

    assert context.retry(act) == "done"
    assert len(calls) == 3


def test_a_stopping_process_does_not_wait(context: Context) -> None:
    """SIGTERM ends the waiting at once."""
    context.stopping.set()

    def act() -> None:
        raise RecordsUnavailable("away")

    started = time.monotonic()
    with pytest.raises(RecordsUnavailable):
        context.retry(act)
    assert time.monotonic() - started < 30


def test_foreign_errors_are_told_without_their_text() -> None:
    """An exception's message may quote the Data Set: type and place have to do."""
    try:
        int("DOE^JANE")
    except ValueError as error:
        told = describe_error(error)
    assert "DOE" not in told
    assert told.startswith("unexpected ValueError in test_foreign_errors")
    assert describe_error(RecordsUnavailable("the database does not answer")) == (
        "the database does not answer"
    )
