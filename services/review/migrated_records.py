"""The records of the pages, migrated before their first use."""

import threading

from veritag.errors import RecordsUnavailable
from veritag.process.logs import get_logger
from veritag.records import Records

log = get_logger()


class MigratedRecords:
    """The records, handed out once their schema is this version's.

    A database that is down when the process starts is migrated as soon as it answers.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._lock = threading.Lock()
        self._migrated = False

    def ready(self) -> Records:
        """Return the records.

        Raises
        ------
        ConfigurationError
            If another version of Veritag made the database.
        RecordsUnavailable
            If the database does not answer.
        """
        if not self._migrated:
            with self._lock:
                self._migrate()
        return self._records

    def _migrate(self) -> None:
        if not self._migrated:
            self._records.migrate()
            self._migrated = True

    def try_migrate(self) -> None:
        """Migrate now if the database answers, else log that it does not.

        Raises
        ------
        ConfigurationError
            If another version of Veritag made the database.
        """
        try:
            self.ready()
        except RecordsUnavailable:
            log.warning("records_unavailable_at_start")

    def close(self) -> None:
        """Close every connection."""
        self._records.close()
