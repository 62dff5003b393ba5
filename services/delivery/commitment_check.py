"""The check whether instances are stored safely: in the spool, else in the archive.

The order matters: the indexer moves instances from the spool to the records, so that an
instance which has left the spool before the check is in the records already.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from veritag.dicom.part10 import read_file_meta
from veritag.errors import UnusableInstance
from veritag.records import Records
from veritag.records.delivery.commitments import archived_instances
from veritag.storage.archive import Archive
from veritag.storage.commitment_folder import ReferencedInstance
from veritag.storage.spool import Spool, sync_folder

# PS3.3 section C.14.1.1, Failure Reason (0008,1197).
NO_SUCH_INSTANCE = 0x0112
CLASS_CONFLICT = 0x0119


@dataclass(frozen=True, slots=True)
class FailedInstance:
    """An instance that is not committed, with its Failure Reason."""

    reference: ReferencedInstance
    reason: int


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """The committed and the failed instances of a request."""

    committed: tuple[ReferencedInstance, ...]
    failed: tuple[FailedInstance, ...]


class SpoolContents:
    """The instances in a spool; the header of each file is read once."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._references: dict[str, ReferencedInstance | None] = {}

    def references(self) -> set[ReferencedInstance]:
        """Return the acknowledged instances that are not yet indexed."""
        names = self._spool.names()
        if names:
            # A file is visible after its rename, shortly before the folder is synced.
            sync_folder(self._spool.ready)
        old = self._references
        self._references = {
            name: old[name] if name in old else self._read(name) for name in names
        }
        return {reference for reference in self._references.values() if reference}

    def _read(self, name: str) -> ReferencedInstance | None:
        try:
            meta = read_file_meta(self._spool.path(name))
        except (UnusableInstance, OSError):
            return None
        return ReferencedInstance(meta.sop_class_uid, meta.sop_instance_uid)


class CommitmentCheck:
    """Checks instances against spool, records and archive of this host."""

    def __init__(self, spool: Spool, archive: Archive, records: Records) -> None:
        self._spool = SpoolContents(spool)
        self._archive, self._records = archive, records

    def check(self, references: Sequence[ReferencedInstance]) -> CommitmentResult:
        """Return which instances are committed.

        Raises
        ------
        RecordsUnavailable, ArchiveUnavailable, OSError
            If the check is impossible at present.
        """
        spooled = self._spool.references()
        recorded = self._recorded(references)
        committed, failed = [], []
        for reference in references:
            sop_classes = recorded.get(reference.sop_instance_uid, set())
            if reference in spooled or reference.sop_class_uid in sop_classes:
                committed.append(reference)
            else:
                exists = sop_classes or _has(spooled, reference.sop_instance_uid)
                reason = CLASS_CONFLICT if exists else NO_SUCH_INSTANCE
                failed.append(FailedInstance(reference, reason))
        return CommitmentResult(tuple(committed), tuple(failed))

    def _recorded(
        self, references: Sequence[ReferencedInstance]
    ) -> dict[str, set[str]]:
        """Return the SOP Classes of archived files by SOP Instance UID."""
        uids = sorted({reference.sop_instance_uid for reference in references})
        return {
            uid: {sop_class for sop_class, key in rows if self._is_archived(key)}
            for uid, rows in archived_instances(self._records, uids).items()
        }

    def _is_archived(self, key: str) -> bool:
        try:
            return bool(self._archive.size(key))
        except ValueError:
            return False


def _has(references: Iterable[ReferencedInstance], sop_instance_uid: str) -> bool:
    return any(r.sop_instance_uid == sop_instance_uid for r in references)
