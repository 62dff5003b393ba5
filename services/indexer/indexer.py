"""The indexer: moves instances from the spool into the archive and the records.

Each step may be repeated: the archive holds a digest once, the records a spool name
once. A file is deleted from the spool only after both have it, so that after a crash at
any point the step is repeated.
"""

import hashlib
import threading
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from services.indexer.publisher import Publisher
from veritag.dicom.elements import SERIES_INSTANCE_UID, STUDY_INSTANCE_UID, read_uids
from veritag.dicom.part10 import FileMeta, read_file_meta
from veritag.errors import ArchiveUnavailable, RecordsUnavailable, UnusableInstance
from veritag.process.backoff import Backoff
from veritag.process.logs import get_logger
from veritag.process.metrics import (
    ARCHIVE_FREE_BYTES,
    DUPLICATES,
    INSTANCES_INDEXED,
    count_from_zero,
)
from veritag.records import Records
from veritag.records.reception import registration
from veritag.records.states import ReceptionKind
from veritag.storage.archive import Archive
from veritag.storage.spool import Spool
from veritag.storage.stored_instance import StoredInstance

BATCH = 128
_CHUNK = 1 << 20
_STOP_SECONDS = 10.0
# Seconds until a file that cannot be indexed is tried again: the first and the longest.
_FILE_DELAYS = 2.0, 300.0


@dataclass(slots=True)
class _Postponed:
    """A file that could not be indexed, and when it is tried again."""

    due_at: float = 0.0
    delays: Backoff = field(default_factory=lambda: Backoff(*_FILE_DELAYS))

    def next(self) -> float:
        delay = self.delays.next()
        self.due_at = time.monotonic() + delay
        return delay


class Indexer:
    """Indexes the instances of one spool.

    Parameters
    ----------
    poll_seconds
        Interval of looking into an empty spool.
    """

    def __init__(
        self,
        spool: Spool,
        archive: Archive,
        records: Records,
        publisher: Publisher,
        poll_seconds: float = 0.1,
    ) -> None:
        self._spool = spool
        self._archive = archive
        self._records = records
        self._publisher = publisher
        self._poll = poll_seconds
        self._postponed: dict[str, _Postponed] = {}
        self._log = get_logger()
        ARCHIVE_FREE_BYTES.set_function(archive.free_bytes)
        count_from_zero(DUPLICATES, (ReceptionKind.IDENTICAL, ReceptionKind.CONFLICT))

    def run(self, stopping: threading.Event) -> None:
        """Index until the event is set; wait for an unavailable database."""
        delays = Backoff(first=0.5, longest=10.0)
        prepared = False
        while not stopping.is_set():
            try:
                if not prepared:
                    self._prepare()
                    prepared = True
                indexed = self.round(stopping)
            except RecordsUnavailable as error:
                delay = delays.next()
                self._log.warning(
                    "records_unavailable", reason=str(error), retry_in_seconds=delay
                )
                stopping.wait(delay)
            else:
                delays.reset()
                if not indexed:
                    stopping.wait(self._poll)
        self._publisher.stop(_STOP_SECONDS)

    def _prepare(self) -> None:
        self._records.migrate()
        self._publisher.start()

    def round(self, stopping: threading.Event | None = None) -> int:
        """Index the files in `ready/`; return how many were removed from the spool.

        Raises
        ------
        RecordsUnavailable
            The files stay in the spool.
        """
        ready = self._spool.names()
        for name in self._postponed.keys() - set(ready):
            del self._postponed[name]
        names = [name for name in ready if self._is_due(name)]
        removed = 0
        for start in range(0, len(names), BATCH):
            removed += self._index(names[start : start + BATCH])
            if stopping is not None and stopping.is_set():
                break
        return removed

    def _index(self, names: Sequence[str]) -> int:
        batch = self._archive_all(names)
        if not batch:
            return 0
        try:
            recorded = self._register(batch)
            self._restore(batch, recorded.restored)
        except RecordsUnavailable:
            raise
        except Exception as error:  # noqa: BLE001
            # A row that the database refuses must not hold up the others: one by one.
            if len(batch) == 1:
                self._postpone(batch[0].spool_name, error)
                return 0
            return sum(self._index([instance.spool_name]) for instance in batch)
        self._remove(batch)
        # A crash before this line costs no instance: the first sweep finds its id.
        self._publisher.add(recorded.new_ids, _age(batch))
        return len(batch)

    def _archive_all(self, names: Sequence[str]) -> list[StoredInstance]:
        batch = []
        for name in names:
            try:
                batch.append(self._archive_one(name))
            except Exception as error:  # noqa: BLE001 - the others continue
                self._postpone(name, error)
        try:
            self._archive.sync(instance.archive_key for instance in batch)
        except ArchiveUnavailable as error:
            for instance in batch:
                self._postpone(instance.spool_name, error)
            return []
        return batch

    def _archive_one(self, name: str) -> StoredInstance:
        path = self._spool.path(name)
        instance = describe(path)
        self._archive.put(path, instance.digest)
        return instance

    def _restore(
        self, batch: Sequence[StoredInstance], digests: AbstractSet[str]
    ) -> None:
        """Archive instances again that retention may have deleted in the meantime."""
        for instance in batch:
            if instance.digest in digests:
                path = self._spool.path(instance.spool_name)
                self._archive.sync([self._archive.put(path, instance.digest)])

    def _register(self, batch: Sequence[StoredInstance]) -> registration.Registered:
        recorded = registration.register(self._records, batch)
        fresh = len(recorded.new_ids) + recorded.unparsable
        INSTANCES_INDEXED.inc(fresh + recorded.identical)
        DUPLICATES.labels(kind=ReceptionKind.IDENTICAL).inc(recorded.identical)
        DUPLICATES.labels(kind=ReceptionKind.CONFLICT).inc(recorded.conflicts)
        self._log.info(
            "instances_indexed",
            receptions=len(batch),
            instance_ids=recorded.new_ids,
            identical=recorded.identical,
            conflicts=recorded.conflicts,
            unparsable=recorded.unparsable,
            restored=len(recorded.restored),
        )
        return recorded

    def _remove(self, batch: Sequence[StoredInstance]) -> None:
        for instance in batch:
            self._spool.remove(instance.spool_name)
            self._postponed.pop(instance.spool_name, None)

    def _is_due(self, name: str) -> bool:
        postponed = self._postponed.get(name)
        return postponed is None or postponed.due_at <= time.monotonic()

    def _postpone(self, name: str, error: Exception) -> None:
        """Leave a file that cannot be indexed in the spool, and plan its next try."""
        delay = self._postponed.setdefault(name, _Postponed()).next()
        self._log.error(
            "instance_not_indexed",
            spool_name=name,
            error=type(error).__name__,
            retry_in_seconds=delay,
        )

    def problem(self) -> str | None:
        """Return how many files cannot be indexed, None if there are none."""
        count = len(self._postponed)
        return f"{count} files in the spool cannot be indexed" if count else None


def describe(path: Path) -> StoredInstance:
    """Return the description of an instance in the spool.

    Raises
    ------
    UnusableInstance
        If the listener did not write the file.
    """
    meta = read_file_meta(path)
    uids, problem = _series(path, meta)
    digest = digest_of(path, meta)
    return StoredInstance(
        spool_name=path.name,
        digest=digest,
        archive_key=Archive.key(digest),
        size=path.stat().st_size,
        sop_class_uid=meta.sop_class_uid,
        sop_instance_uid=meta.sop_instance_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        study_instance_uid=uids.get(STUDY_INSTANCE_UID) if not problem else None,
        series_instance_uid=uids.get(SERIES_INSTANCE_UID) if not problem else None,
        provenance=meta.provenance,
        problem=problem,
    )


def _series(path: Path, meta: FileMeta) -> tuple[dict[int, str], str | None]:
    required = (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID)
    try:
        with path.open("rb") as file:
            file.seek(meta.dataset_offset)
            uids = read_uids(file, meta.transfer_syntax_uid, required)
    except UnusableInstance as error:
        return {}, str(error)
    if len(uids) < len(required):
        return uids, "the Data Set lacks Study or Series Instance UID"
    return uids, None


def digest_of(path: Path, meta: FileMeta) -> str:
    """Return the BLAKE2b-128 digest of transfer syntax and encoded Data Set, in hex."""
    digest = hashlib.blake2b(meta.transfer_syntax_uid.encode() + b"\0", digest_size=16)
    with path.open("rb") as file:
        file.seek(meta.dataset_offset)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _age(batch: Sequence[StoredInstance]) -> float:
    """Return the seconds since the acknowledgement of the oldest."""
    oldest = min(instance.provenance.received_at for instance in batch)
    return max(0.0, (datetime.now(UTC) - oldest).total_seconds())
