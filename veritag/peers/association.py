"""Associations that we request: with which peer, and why one is not established."""

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from veritag.errors import RetryableError
from veritag.peers.tls import PeerTls, client_context

CONNECT_SECONDS = 10.0
DEFAULT_MAX_PDU = 16_382
_TLS_SECONDS = 2.0


class ReceiverUnavailable(RetryableError):
    """The receiver does not answer, or rejects the association."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A peer to associate with, and our own AE title; `tls` for DICOM TLS."""

    host: str
    port: int
    called_ae_title: str = "ANY-SCP"
    calling_ae_title: str = "VERITAG-SEND"
    tls: PeerTls | None = None

    def __str__(self) -> str:
        return f"{self.called_ae_title} at {self.host}:{self.port}"


def associate(
    receiver: Receiver,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    max_pdu: int = DEFAULT_MAX_PDU,
) -> Association:
    """Return an association; not an established one if every context was rejected.

    Parameters
    ----------
    max_pdu
        Longest PDU that the receiver may send, in bytes.

    Raises
    ------
    ReceiverUnavailable
        If there is no address, connection or answer, or the association is rejected.
    ConfigurationError
        If a TLS file cannot be used.
    """
    ae = AE(ae_title=receiver.calling_ae_title)
    ae.connection_timeout = CONNECT_SECONDS
    tls = _tls_args(receiver)
    try:
        association = ae.associate(
            receiver.host,
            receiver.port,
            contexts=list(contexts),
            ae_title=receiver.called_ae_title,
            max_pdu=max_pdu,
            ext_neg=list(roles),
            evt_handlers=[(evt.EVT_CONN_OPEN, disable_nagle)],
            tls_args=tls,
        )
    except (OSError, UnicodeError) as error:  # of the address; others are only logged
        reason = getattr(error, "strerror", None) or error
        raise ReceiverUnavailable(
            f"{receiver}: its address is not found: {reason}"
        ) from error
    leave_answers_to_requests(association)
    if association.is_rejected:
        raise ReceiverUnavailable(f"{receiver} rejects the association")
    # With every context rejected pynetdicom aborts the association; not an error here.
    if not association.is_established and not association.rejected_contexts:
        raise ReceiverUnavailable(f"{receiver} does not answer{_tls_problem(receiver)}")
    return association


def leave_answers_to_requests(association: Association) -> None:
    """Keep pynetdicom's own thread from taking the answers to our requests.

    That thread looks for requests of the peer, and pauses while a request of ours is
    unanswered. In pynetdicom 3.0 it can notice the pause late, take the answer and drop it.
    On these associations the peer requests nothing.
    """
    get = association.dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        return get(block=True) if block else (None, None)

    association.dimse.get_msg = get_msg  # type: ignore[method-assign]


def disable_nagle(event: evt.Event) -> None:
    """Disable Nagle's algorithm, which costs 40 ms for every instance."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls_args(receiver: Receiver) -> tuple[ssl.SSLContext, str] | None:
    """Return the context and the name of the host, which pynetdicom sends as SNI."""
    if receiver.tls is None:
        return None
    return client_context(receiver.tls), receiver.host


def _tls_problem(receiver: Receiver) -> str:
    """Return why TLS fails, by a connection of our own: pynetdicom gives no reason."""
    if receiver.tls is None:
        return ""
    context, address = client_context(receiver.tls), (receiver.host, receiver.port)
    try:
        with (
            socket.create_connection(address, timeout=_TLS_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=receiver.host) as secured,
        ):
            # With TLS 1.3 a refusal of our certificate comes only after the handshake.
            secured.recv(1)
    except TimeoutError:
        return ""
    except ssl.SSLCertVerificationError as error:
        return f": its certificate is not valid: {error.verify_message}"
    except OSError as error:
        return f": {getattr(error, 'reason', None) or error.strerror}"
    return ""
