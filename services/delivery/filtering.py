"""Which instances a destination gets."""

from collections.abc import Sequence

from veritag.archive import Archive
from veritag.elements import read_uids
from veritag.errors import UnusableInstance
from veritag.part10 import read_file_meta
from veritag.peers import Peer
from veritag.records import Records
from veritag.records.forwarding import Forward, senders_of

_MODALITY = 0x00080060


class Filter:
    """The filter of one peer, over archive and records."""

    def __init__(self, peer: Peer, records: Records, archive: Archive) -> None:
        self._peer, self._records, self._archive = peer, records, archive

    def part(self, due: Sequence[Forward]) -> tuple[list[Forward], list[Forward]]:
        """Return what it lets through, and what not."""
        if not (self._peer.modalities or self._peer.calling_ae_titles):
            return list(due), []
        senders = senders_of(self._records, [forward.instance_id for forward in due])
        wanted: list[Forward] = []
        skipped: list[Forward] = []
        for forward in due:
            titles = senders.get(forward.instance_id, set())
            is_wanted = self._peer.wants(self._modality(forward), titles)
            (wanted if is_wanted else skipped).append(forward)
        return wanted, skipped

    def _modality(self, forward: Forward) -> str | None:
        """Return the Modality as received, None where it cannot be read."""
        if not self._peer.modalities:
            return None
        path = self._archive.path(forward.archive_key)
        try:
            meta = read_file_meta(path)
            with path.open("rb") as file:
                file.seek(meta.dataset_offset)
                found = read_uids(file, meta.transfer_syntax_uid, (_MODALITY,))
        except (UnusableInstance, OSError):
            return None
        return found.get(_MODALITY)
