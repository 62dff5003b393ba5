"""Training runs on the records of the data directory, where it has any."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from veritag.bundle import ModelBundle
from veritag.records import Records
from veritag.records.training_runs import begin_run, fail_run, finish_run
from veritag.settings import Settings

Finish: TypeAlias = Callable[[ModelBundle, str], None]
"""Takes the sealed bundle and the digest of its snapshot."""


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
    if settings.database_url is None and not settings.sqlite_file.is_file():
        yield lambda _bundle, _digest: None
        return
    records = Records.open(settings.records_url)
    try:
        records.migrate()
        run_id = begin_run(records, configuration)

        def finish(bundle: ModelBundle, digest: str) -> None:
            figures = bundle.manifest.training
            finish_run(records, run_id, bundle.bundle_id, digest, figures)

        try:
            yield finish
        except BaseException as error:
            fail_run(records, run_id, f"{type(error).__name__}: {error}")
            raise
    finally:
        records.close()
