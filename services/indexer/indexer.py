"""The indexer: from the spool into the archive and the records.

Each step may be repeated: the archive keeps a digest once, the records a spool name
once. A file leaves the spool only when both have it, so a crash at any point costs
nothing but the repetition.
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
    """Works off one spool.

    Parameters
    ----------
    poll_seconds
        How often to look when nothing is there.
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

    def run(self, stop: threading.Event) -> None:
        """Index until told to stop; an unavailable database is waited for."""
        delays = Backoff(first=0.5, longest=10.0)
        prepared = False
        while not stop.is_set():
            try:
                if not prepared:
                    self._prepare()
                    prepared = True
                indexed = self.round(stop)
            except RecordsUnavailable as error:
                delay = delays.next()
                self._log.warning("records_unavailable", error=str(error), wait=delay)
                stop.wait(delay)
            else:
                delays.reset()
                if not indexed:
                    stop.wait(self._poll)
        self._publisher.stop(_STOP_SECONDS)

    def _prepare(self) -> None:
        self._records.migrate()
        self._publisher.start()

    def round(self, stop: threading.Event | None = None) -> int:
        """Index what lies ready; return how many files left the spool.

        Raises
        ------
        RecordsUnavailable
            The files stay where they are.
        """
        ready = self._spool.names()
        for gone in self._postponed.keys() - set(ready):
            del self._postponed[gone]
        names = [name for name in ready if self._is_due(name)]
        done = 0
        for start in range(0, len(names), BATCH):
            done += self._index(names[start : start + BATCH])
            if stop is not None and stop.is_set():
                break
        return done

    def _index(self, names: Sequence[str]) -> int:
        batch = self._archive_all(names)
        if not batch:
            return 0
        try:
            recorded = self._register(batch)
            self._put_back(batch, recorded.restored)
        except RecordsUnavailable:
            raise
        except Exception as error:  # noqa: BLE001
            # One row that the database will not take must not keep back the others.
            if len(batch) == 1:
                self._postpone(batch[0].spool_name, error)
                return 0
            return sum(self._index([instance.spool_name]) for instance in batch)
        self._forget(batch)
        self._publisher.add(recorded.new_ids, _age(batch))
        return len(batch)

    def _archive_all(self, names: Sequence[str]) -> list[StoredInstance]:
        batch = []
        for name in names:
            try:
                batch.append(self._archive_one(name))
            except Exception as error:  # noqa: BLE001 - the others must go on
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

    def _put_back(
        self, batch: Sequence[StoredInstance], digests: AbstractSet[str]
    ) -> None:
        """Archive again what retention may have removed since it was archived."""
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

    def _forget(self, batch: Sequence[StoredInstance]) -> None:
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
            retry_in=delay,
        )

    def problem(self) -> str | None:
        """Return how many files resist, None when there are none."""
        count = len(self._postponed)
        return f"{count} files in the spool cannot be indexed" if count else None


def describe(path: Path) -> StoredInstance:
    """Return what is known of an instance in the spool.

    Raises
    ------
    UnusableInstance
        If the file is not one that the listener wrote.
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
    wanted = (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID)
    try:
        with path.open("rb") as file:
            file.seek(meta.dataset_offset)
            uids = read_uids(file, meta.transfer_syntax_uid, wanted)
    except UnusableInstance as error:
        return {}, str(error)
    if len(uids) < len(wanted):
        return uids, "the Data Set lacks Study or Series Instance UID"
    return uids, None


def digest_of(path: Path, meta: FileMeta) -> str:
    """Return the BLAKE2b-128 of transfer syntax and encoded Data Set."""
    digest = hashlib.blake2b(meta.transfer_syntax_uid.encode() + b"\0", digest_size=16)
    with path.open("rb") as file:
        file.seek(meta.dataset_offset)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _age(batch: Sequence[StoredInstance]) -> float:
    """Return how long the oldest of them has waited since its acknowledgement."""
    oldest = min(instance.provenance.received_at for instance in batch)
    return max(0.0, (datetime.now(UTC) - oldest).total_seconds())
