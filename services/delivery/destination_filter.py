"""Which instances a destination gets."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from veritag.dicom.elements import read_uids
from veritag.dicom.part10 import read_file_meta
from veritag.errors import UnusableInstance
from veritag.peers.peer import Peer
from veritag.records import Records
from veritag.records.delivery.forwarding import Forward, senders_of
from veritag.storage.archive import Archive

_MODALITY = 0x00080060


@dataclass(frozen=True, slots=True)
class Parted:
    """What a filter says of instances.

    Attributes
    ----------
    unread
        Of these it cannot tell: the archive does not give them at present, or no more.
    """

    wanted: list[Forward] = field(default_factory=list)
    skipped: list[Forward] = field(default_factory=list)
    unread: list[Forward] = field(default_factory=list)


class Filter:
    """The filter of one peer, over archive and records."""

    def __init__(self, peer: Peer, records: Records, archive: Archive) -> None:
        self._peer, self._records, self._archive = peer, records, archive

    def part(self, due: Sequence[Forward]) -> Parted:
        """Tell what it lets through, and what not."""
        if not (self._peer.modalities or self._peer.calling_ae_titles):
            return Parted(list(due))
        senders = senders_of(self._records, [forward.instance_id for forward in due])
        parted = Parted()
        for forward in due:
            titles = senders.get(forward.instance_id, set())
            try:
                is_wanted = self._peer.wants(self._modality(forward), titles)
            except OSError:
                parted.unread.append(forward)
            else:
                (parted.wanted if is_wanted else parted.skipped).append(forward)
        return parted

    def _modality(self, forward: Forward) -> str | None:
        """Return the Modality as received, None where the Data Set tells none."""
        if not self._peer.modalities:
            return None
        path = self._archive.path(forward.archive_key)
        try:
            meta = read_file_meta(path)
            with path.open("rb") as file:
                file.seek(meta.dataset_offset)
                found = read_uids(file, meta.transfer_syntax_uid, (_MODALITY,))
        except UnusableInstance:
            return None
        return found.get(_MODALITY)
