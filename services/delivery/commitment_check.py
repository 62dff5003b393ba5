"""Is an instance safe? Asked of the spool first, then of records and archive.

In this order, for the indexer goes the same way: what has left the spool before we
looked is in the records already.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from veritag.dicom.part10 import read_file_meta
from veritag.errors import UnusableInstance
from veritag.records import Records
from veritag.records.delivery.commitments import archived
from veritag.storage.archive import Archive
from veritag.storage.commitment_folder import ReferencedInstance
from veritag.storage.spool import Spool, sync_folder

# PS3.3 section C.14.1.1, Failure Reason (0008,1197).
NO_SUCH_INSTANCE = 0x0112
CLASS_CONFLICT = 0x0119


@dataclass(frozen=True, slots=True)
class FailedInstance:
    """An instance that is not committed, and why."""

    reference: ReferencedInstance
    reason: int


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """What is safe, and what is not."""

    committed: tuple[ReferencedInstance, ...]
    failed: tuple[FailedInstance, ...]


class SpoolContents:
    """What lies in a spool; each file is looked into once."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._seen: dict[str, ReferencedInstance | None] = {}

    def references(self) -> set[ReferencedInstance]:
        """Return the instances that are acknowledged and not yet indexed."""
        names = self._spool.names()
        if names:
            # The newest are seen a moment before they survive a power cut.
            sync_folder(self._spool.ready)
        self._seen = {
            name: self._seen[name] if name in self._seen else self._look(name)
            for name in names
        }
        return {reference for reference in self._seen.values() if reference}

    def _look(self, name: str) -> ReferencedInstance | None:
        try:
            meta = read_file_meta(self._spool.path(name))
        except (UnusableInstance, OSError):
            return None
        return ReferencedInstance(meta.sop_class_uid, meta.sop_instance_uid)


class CommitmentCheck:
    """Answers for the instances of this host."""

    def __init__(self, spool: Spool, archive: Archive, records: Records) -> None:
        self._spool = SpoolContents(spool)
        self._archive, self._records = archive, records

    def answer(self, references: Sequence[ReferencedInstance]) -> CommitmentResult:
        """Tell which instances are safe.

        Raises
        ------
        RecordsUnavailable, ArchiveUnavailable, OSError
            Nothing can be told at present.
        """
        spooled = self._spool.references()
        recorded = self._recorded(references)
        committed, failed = [], []
        for reference in references:
            safe = recorded.get(reference.sop_instance_uid, set())
            if reference in spooled or reference.sop_class_uid in safe:
                committed.append(reference)
            else:
                known = safe or _has(spooled, reference.sop_instance_uid)
                reason = CLASS_CONFLICT if known else NO_SUCH_INSTANCE
                failed.append(FailedInstance(reference, reason))
        return CommitmentResult(tuple(committed), tuple(failed))

    def _recorded(
        self, references: Sequence[ReferencedInstance]
    ) -> dict[str, set[str]]:
        """Return SOP Instance UID to the SOP Classes whose files are there."""
        uids = sorted({reference.sop_instance_uid for reference in references})
        return {
            uid: {sop_class for sop_class, key in rows if self._holds(key)}
            for uid, rows in archived(self._records, uids).items()
        }

    def _holds(self, key: str) -> bool:
        try:
            return bool(self._archive.size(key))
        except ValueError:
            return False


def _has(references: Iterable[ReferencedInstance], sop_instance_uid: str) -> bool:
    return any(r.sop_instance_uid == sop_instance_uid for r in references)
