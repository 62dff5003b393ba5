"""A Storage SCU (PS3.4 annex B), which sends files in their own encodings.

One presentation context is proposed for each SOP Class and transfer syntax of the files, so
that no file is decoded or converted, or lacks a context.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom._globals import STATUS_SUCCESS, STATUS_WARNING
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category

from veritag.errors import UnusableInstance
from veritag.peers.association import Receiver, associate
from veritag.peers.outgoing_files import OutgoingFile, as_sent, read_outgoing_file

# Presentation context IDs are the odd numbers up to 255 (PS3.8 section 9.3.2.2).
_MAX_CONTEXTS = 128
_MAX_TRIES = 3
MAX_PDU = 131_072
"""Longest PDU that we announce, in bytes."""
# Time for the answer beyond that for sending, over the slowest line.
_ANSWER_SECONDS = 60.0
_MIN_BYTES_PER_SECOND = 250_000

# pynetdicom then sends the bytes of a file in pieces, without decoding and encoding.
_config.STORE_SEND_CHUNKED_DATASET = True


class _AssociationLost(Exception):
    """The association ended before the C-STORE was answered."""


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """The outcome of sending one file.

    Attributes
    ----------
    reason
        Why the file was not stored; None if it was.
    status
        Status of the response; None without one.
    lasting
        Whether each further attempt would fail for the same reason.
    """

    path: Path
    reason: str | None = None
    status: int | None = None
    lasting: bool = False

    @property
    def stored(self) -> bool:
        """Whether the receiver has acknowledged the file."""
        return self.reason is None


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files themselves and all files below the folders, sorted."""
    files: list[Path] = []
    for path in paths:
        inside = (
            (p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        )
        files += sorted(inside)
    return list(dict.fromkeys(files))


def send(
    receiver: Receiver,
    files: Sequence[Path],
    on_outcome: Callable[[SendOutcome], None] | None = None,
) -> list[SendOutcome]:
    """Send files by C-STORE; an unreadable one gets its outcome and the others are sent.

    Parameters
    ----------
    on_outcome
        Called after each file; an exception from it ends the sending.

    Raises
    ------
    ReceiverUnavailable
        If no association is established, for the first files or after a loss.
    ConfigurationError
        If a TLS file cannot be used.
    """
    outcomes: list[SendOutcome] = []

    def add(outcome: SendOutcome) -> None:
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome)

    outgoing = []
    for path in files:
        try:
            outgoing.append(read_outgoing_file(path))
        except UnusableInstance as error:
            add(SendOutcome(path, str(error), lasting=_is_lasting(error.__cause__)))
    for group in _by_contexts(outgoing):
        _send_group(receiver, group, add)
    return outcomes


def _is_lasting(cause: BaseException | None) -> bool:
    """Whether an error is one of the file, not of the disk, which can recover."""
    # pydicom raises some of its own errors as OSError, without an errno.
    return not (isinstance(cause, OSError) and cause.errno is not None)


def _by_contexts(outgoing: Sequence[OutgoingFile]) -> Iterator[list[OutgoingFile]]:
    """Yield groups of files whose contexts fit into one association."""
    contexts = list(dict.fromkeys(o.context for o in outgoing))
    for start in range(0, len(contexts), _MAX_CONTEXTS):
        batch = set(contexts[start : start + _MAX_CONTEXTS])
        yield [o for o in outgoing if o.context in batch]


def _send_group(
    receiver: Receiver,
    group: Sequence[OutgoingFile],
    add: Callable[[SendOutcome], None],
) -> None:
    """Send over one association, and over a new one after a loss."""
    contexts = list(dict.fromkeys(o.context for o in group))
    proposed = [build_context(*context) for context in contexts]
    queued, losses = deque(group), 0
    while queued:
        association = associate(receiver, proposed, max_pdu=MAX_PDU)
        accepted = {
            (str(c.abstract_syntax), str(c.transfer_syntax[0]))
            for c in association.accepted_contexts
        }
        try:
            while queued:
                outcome = _store(association, accepted, queued[0])
                queued.popleft()  # not before: after a loss it is sent again
                add(outcome)
                losses = 0
        except _AssociationLost:
            # The file is sent again; a receiver recognises an instance that it has.
            losses += 1
            if losses == _MAX_TRIES:
                path, losses = queued.popleft().path, 0
                add(SendOutcome(path, "the association was lost each time"))
        finally:
            if association.is_established:
                association.release()


def _store(
    association: Association,
    accepted: AbstractSet[tuple[str, str]],
    outgoing: OutgoingFile,
) -> SendOutcome:
    """Send one file."""
    path = outgoing.path
    if outgoing.context not in accepted:
        sop_class, syntax = map(UID, outgoing.context)
        reason = f"the receiver does not accept {sop_class.name} in {syntax.name}"
        return SendOutcome(path, reason, lasting=True)
    if not association.is_established:
        raise _AssociationLost
    try:
        association.dimse_timeout = (
            _ANSWER_SECONDS + path.stat().st_size / _MIN_BYTES_PER_SECOND
        )
        with as_sent(outgoing) as file_or_data_set:
            response = association.send_c_store(file_or_data_set)
    except (ValueError, AttributeError, OSError) as error:
        reason = f"it cannot be sent: {error}"
        return SendOutcome(path, reason, lasting=_is_lasting(error))
    if "Status" not in response:
        raise _AssociationLost
    return SendOutcome(path, _failure(response), response.Status)


def _failure(response: Dataset) -> str | None:
    """Return a failure in words (PS3.4 table B.2-1); None for success and warning."""
    if code_to_category(response.Status) in {STATUS_SUCCESS, STATUS_WARNING}:
        return None
    _, meaning = STORAGE_SERVICE_CLASS_STATUS.get(
        response.Status, ("", "unknown status")
    )
    comment = response.get("ErrorComment")
    return f"status 0x{response.Status:04X}: {comment or meaning}"
