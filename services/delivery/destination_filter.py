"""The filter of a destination: which instances it gets."""

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
class FilterResult:
    """Instances by the decision of a filter.

    Attributes
    ----------
    unread
        Undecided: the archive cannot read the file, at present or at all.
    """

    wanted: list[Forward] = field(default_factory=list)
    skipped: list[Forward] = field(default_factory=list)
    unread: list[Forward] = field(default_factory=list)


class DestinationFilter:
    """The filter of one peer, over archive and records."""

    def __init__(self, peer: Peer, records: Records, archive: Archive) -> None:
        self._peer, self._records, self._archive = peer, records, archive

    def apply(self, due: Sequence[Forward]) -> FilterResult:
        """Return which instances are for the peer."""
        if not (self._peer.modalities or self._peer.calling_ae_titles):
            return FilterResult(list(due))
        senders = senders_of(self._records, [forward.instance_id for forward in due])
        result = FilterResult()
        for forward in due:
            titles = senders.get(forward.instance_id, set())
            try:
                is_wanted = self._peer.wants(self._modality(forward), titles)
            except OSError:
                result.unread.append(forward)
            else:
                (result.wanted if is_wanted else result.skipped).append(forward)
        return result

    def _modality(self, forward: Forward) -> str | None:
        """Return the Modality as received, None where the Data Set has none."""
        if not self._peer.modalities:
            return None
        path = self._archive.path(forward.archive_key)
        try:
            meta = read_file_meta(path)
            with path.open("rb") as file:
                file.seek(meta.dataset_offset)
                values = read_uids(file, meta.transfer_syntax_uid, (_MODALITY,))
        except UnusableInstance:
            return None
        return values.get(_MODALITY)
