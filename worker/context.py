"""What the tasks of a worker process work with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from veritag.errors import RecordsUnavailable
from veritag.process.logs import get_logger
from veritag.records import Records
from veritag.settings import Settings
from veritag.storage.archive import Archive
from worker.bundle_in_use import BundleInUse
from worker.pipeline import Pipeline

log = get_logger()

Result = TypeVar("Result")

# In sum a minute, far below the visibility timeout: then the message is let go, and
# what it asked for is published again from the records.
_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0)


@dataclass
class Context:
    """The parts of a worker process.

    Attributes
    ----------
    name
        Of this process, as attempts are recorded under.
    stopping
        Set when the process shall end after what it is about.
    """

    settings: Settings
    records: Records
    archive: Archive
    bundle: BundleInUse
    pipeline: Pipeline
    name: str
    stopping: threading.Event = field(default_factory=threading.Event)

    def patiently(self, act: Callable[[], Result]) -> Result:
        """Return what `act` returns, waiting for the records while they are away.

        Raises
        ------
        RecordsUnavailable
            After a minute, or at once when the process shall end.
        """
        for wait in _WAITS:
            try:
                return act()
            except RecordsUnavailable:
                log.warning("records_unavailable", again_in_seconds=wait)
                if self.stopping.wait(wait):
                    raise
        return act()
