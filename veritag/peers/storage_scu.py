"""A Storage SCU (PS3.4 Annex B): sends files as they are, whatever their encoding.

One presentation context is proposed per SOP class and transfer syntax that the files
have, so that nothing is decoded, converted or left behind for want of a context.
"""

import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom._globals import STATUS_SUCCESS, STATUS_WARNING
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category

from veritag.errors import RetryableError, UnusableInstance
from veritag.peers.outgoing_files import Outgoing, as_sent, look_at
from veritag.peers.tls import PeerTls, client_context

# An A-ASSOCIATE-RQ numbers its contexts with the odd numbers up to 255 (PS3.8 9.3.2.2).
_MOST_CONTEXTS = 128
_MOST_TRIES = 3
MAX_PDU = 131_072
"""Largest PDU that we announce, in bytes; receivers answer in small ones."""
_TLS_SECONDS = 2.0
_CONNECT_SECONDS = 10.0
# The answer is waited for from the first byte that is sent on: the slowest line counts.
_ANSWER_SECONDS = 60.0
_SLOWEST = 250_000  # bytes per second


# Send a Part 10 file's own bytes piece by piece instead of parsing and encoding them.
_config.STORE_SEND_CHUNKED_DATASET = True


class _AssociationLost(Exception):
    """The association ended before the C-STORE was answered."""


class ReceiverUnavailable(RetryableError):
    """The receiver does not answer, or does not want to associate."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to send to, and as whom; `tls` for DICOM TLS."""

    host: str
    port: int
    called_ae_title: str = "ANY-SCP"
    calling_ae_title: str = "VERITAG-SEND"
    tls: PeerTls | None = None


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of one file.

    Attributes
    ----------
    reason
        Why it was not stored.
    status
        What the receiver answered, if it did.
    lasting
        Whether the same would be said at each further try.
    """

    path: Path
    reason: str | None = None
    status: int | None = None
    lasting: bool = False

    @property
    def stored(self) -> bool:
        """Say whether the receiver has acknowledged it."""
        return self.reason is None


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files themselves and all files below the folders, sorted."""
    found: list[Path] = []
    for path in paths:
        inside = (
            (p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        )
        found += sorted(inside)
    return list(dict.fromkeys(found))


def send(
    receiver: Receiver,
    files: Sequence[Path],
    on_outcome: Callable[[SendOutcome], None] | None = None,
) -> list[SendOutcome]:
    """Send every file by C-STORE; unreadable ones are told and the rest goes on.

    Raises
    ------
    ReceiverUnavailable
        If no association comes about.
    """
    outcomes: list[SendOutcome] = []

    def tell(outcome: SendOutcome) -> None:
        outcomes.append(outcome)
        if on_outcome is not None:
            on_outcome(outcome)

    outgoing = []
    for path in files:
        try:
            outgoing.append(look_at(path))
        except UnusableInstance as error:
            tell(SendOutcome(path, str(error), lasting=_is_lasting(error.__cause__)))
    for group in _by_contexts(outgoing):
        _send_group(receiver, group, tell)
    return outcomes


def _is_lasting(cause: BaseException | None) -> bool:
    """Tell the file's own faults from those of the disk that it is on."""
    return not (isinstance(cause, OSError) and cause.errno is not None)


def _by_contexts(outgoing: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Group the files so that the contexts of a group fit into one association."""
    contexts = list(dict.fromkeys(o.context for o in outgoing))
    for start in range(0, len(contexts), _MOST_CONTEXTS):
        wanted = set(contexts[start : start + _MOST_CONTEXTS])
        yield [o for o in outgoing if o.context in wanted]


def _send_group(
    receiver: Receiver, group: Sequence[Outgoing], tell: Callable[[SendOutcome], None]
) -> None:
    """Send over one association, and over another one where it is lost on the way."""
    contexts = list(dict.fromkeys(o.context for o in group))
    waiting, lost = deque(group), 0
    while waiting:
        association = _associate(receiver, contexts)
        accepted = {
            (str(c.abstract_syntax), str(c.transfer_syntax[0]))
            for c in association.accepted_contexts
        }
        try:
            while waiting:
                outcome = _store(association, accepted, waiting[0])
                waiting.popleft()
                tell(outcome)
                lost = 0
        except _AssociationLost:
            # Sent again: the receiver recognises what it has already stored.
            lost += 1
            if lost == _MOST_TRIES:
                path, lost = waiting.popleft().path, 0
                tell(SendOutcome(path, "the association was lost each time"))
        finally:
            if association.is_established:
                association.release()


def _store(
    association: Association,
    accepted: AbstractSet[tuple[str, str]],
    outgoing: Outgoing,
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
        association.dimse_timeout = _ANSWER_SECONDS + path.stat().st_size / _SLOWEST
        with as_sent(outgoing) as what:
            answer = association.send_c_store(what)
    except (ValueError, AttributeError, OSError) as error:
        reason = f"it cannot be sent: {error}"
        return SendOutcome(path, reason, lasting=_is_lasting(error))
    if "Status" not in answer:
        raise _AssociationLost
    return SendOutcome(path, _meaning(answer), answer.Status)


def _meaning(answer: Dataset) -> str | None:
    """Return what a failure status says (PS3.4 Table B.2-1); a warning is stored."""
    if code_to_category(answer.Status) in {STATUS_SUCCESS, STATUS_WARNING}:
        return None
    meaning = STORAGE_SERVICE_CLASS_STATUS.get(answer.Status, ("", "unknown status"))[1]
    comment = answer.get("ErrorComment")
    return f"status 0x{answer.Status:04X}: {comment or meaning}"


def _associate(receiver: Receiver, contexts: Sequence[tuple[str, str]]) -> Association:
    """Associate; raises ReceiverUnavailable, ConfigurationError for TLS files."""
    ae = AE(ae_title=receiver.calling_ae_title)
    ae.connection_timeout = _CONNECT_SECONDS
    where = f"{receiver.called_ae_title} at {receiver.host}:{receiver.port}"
    secured = tls_args(receiver)
    try:
        association = ae.associate(
            receiver.host,
            receiver.port,
            contexts=[build_context(*context) for context in contexts],
            ae_title=receiver.called_ae_title,
            max_pdu=MAX_PDU,
            evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once)],
            tls_args=secured,
        )
    except (OSError, UnicodeError) as error:
        raise ReceiverUnavailable(f"{where}: {not_found(error)}") from error
    keep_answers(association)
    if association.is_rejected:
        raise ReceiverUnavailable(f"{where} rejects the association")
    if not association.is_established and not association.rejected_contexts:
        raise ReceiverUnavailable(f"{where} does not answer{_tls_problem(receiver)}")
    return association


def not_found(error: OSError | UnicodeError) -> str:
    """Say why there is no address for a host's name."""
    return f"its address is not found: {getattr(error, 'strerror', None) or error}"


def keep_answers(association: Association) -> None:
    """Let nobody but who sent a request take its answer.

    pynetdicom has a thread of its own look for requests of the peer; it is paused for
    each of ours, and where it notices late, it takes the answer and drops it. Of us
    nobody requests anything over these associations.
    """
    take = association.dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        return take(block=True) if block else (None, None)

    association.dimse.get_msg = get_msg  # type: ignore[method-assign]


def tls_args(receiver: Receiver) -> tuple[ssl.SSLContext, str] | None:
    """Return the context and the host's name, which pynetdicom also sends as SNI."""
    if receiver.tls is None:
        return None
    return client_context(receiver.tls), receiver.host


def _tls_problem(receiver: Receiver) -> str:
    """Return why TLS does not come about, which pynetdicom keeps to itself."""
    if receiver.tls is None:
        return ""
    context, where = client_context(receiver.tls), (receiver.host, receiver.port)
    try:
        with (
            socket.create_connection(where, timeout=_TLS_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=receiver.host) as secured,
        ):
            # In TLS 1.3 the server says only now what it thinks of our certificate.
            secured.recv(1)
    except TimeoutError:
        return ""
    except ssl.SSLCertVerificationError as error:
        return f": its certificate does not hold: {error.verify_message}"
    except OSError as error:
        return f": {getattr(error, 'reason', None) or error.strerror}"
    return ""


def _send_at_once(event: evt.Event) -> None:
    """Switch off Nagle's algorithm: it costs 40 ms for every instance."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
