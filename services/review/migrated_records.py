"""The records as the pages use them: migrated before the first question."""

import threading

from veritag.errors import RecordsUnavailable
from veritag.process.logs import get_logger
from veritag.records import Records

log = get_logger()


class MigratedRecords:
    """Hands out the records once their schema is this version's.

    A database that is down when the process starts is migrated when it is back.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._migrated = False

    def ready(self) -> Records:
        """Return the records; raises RecordsUnavailable."""
        if not self._migrated:
            with self._lock:
                self._migrate()
        return self._records

    def _migrate(self) -> None:
        if not self._migrated:
            self._records.migrate()
            self._migrated = True

    def try_migrate(self) -> None:
        """Migrate now where the database answers, else say that it does not."""
        try:
            self.ready()
        except RecordsUnavailable:
            log.warning("records_unavailable_at_start")

    def close(self) -> None:
        """Close every connection."""
        self._records.close()
