"""The parts of a worker process, and the waiting for its records."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from veritag.errors import RecordsUnavailable
from veritag.process.backoff import Backoff
from veritag.process.logs import get_logger
from veritag.records import Records
from veritag.settings import Settings
from veritag.storage.archive import Archive
from worker.bundle_in_use import BundleInUse
from worker.pipeline import Pipeline

log = get_logger()

Result = TypeVar("Result")

# Far below the visibility timeout: then the message is given up, and its instances are
# published again from the records.
_RETRY_SECONDS = 60.0


@dataclass
class Context:
    """The parts of a worker process.

    Attributes
    ----------
    name
        Of this process, recorded with each attempt.
    stopping
        Set when the process shall end after its present instances.
    """

    settings: Settings
    records: Records
    archive: Archive
    bundle: BundleInUse
    pipeline: Pipeline
    name: str
    stopping: threading.Event = field(default_factory=threading.Event)

    def retry(self, act: Callable[[], Result]) -> Result:
        """Return the result of `act`, called again while the records are unavailable.

        Raises
        ------
        RecordsUnavailable
            If they still are after a minute, or the process shall end.
        """
        delays = Backoff(first=0.25, longest=15.0)
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            try:
                return act()
            except RecordsUnavailable:
                delay = delays.next()
                if time.monotonic() + delay > deadline:
                    raise
                log.warning("records_unavailable", retry_in_seconds=delay)
                if self.stopping.wait(delay):
                    raise
