"""Connections from accept to the complete A-ASSOCIATE-RQ.

One thread, the one that accepts, serves them all: it does the TLS handshakes and reads the
requests without blocking. Only a connection with a complete request gets threads of its
own, so that a silent connection costs a descriptor and a few hundred bytes, for no longer
than ARTIM.
"""

import contextlib
import selectors
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.listener.connections.admission import Refusal, Refusals
from services.listener.connections.associate_request import (
    ABORT,
    BadRequest,
    calling_ae_title,
    check,
    length_of,
)

# Per port.
MAX_PENDING = 512
_MAX_REQUEST_BYTES = 64 << 20
_CHUNK = 1 << 16
# Time in which a refused peer should close the connection (Sta13, PS3.8 section 9.2).
_CLOSE_SECONDS = 2.0

_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(eq=False, slots=True)
class PendingConnection:
    """A connection before its association.

    Attributes
    ----------
    deadline
        Time on the monotonic clock at which it is closed.
    request
        The part of the A-ASSOCIATE-RQ that was read.
    is_secured
        Whether the TLS handshake is done, or none is needed.
    is_refused
        Whether the refusal was sent, so that only the peer's close is awaited.
    """

    connection: socket.socket
    address: Any
    deadline: float
    is_secured: bool
    request: bytearray = field(default_factory=bytearray)
    is_refused: bool = False

    @property
    def host(self) -> str:
        """The IP address."""
        return str(self.address[0])


class PendingConnections:
    """The pending connections of one port.

    Parameters
    ----------
    seconds
        Time from the connection to the complete request (ARTIM, PS3.8 section 9.1.5).
    admit
        Starts an association for a connection with a complete request, or returns why
        not.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        refusals: Refusals,
        seconds: float,
        admit: Callable[[PendingConnection], Refusal | None],
    ) -> None:
        self._selector = selector
        self._refusals = refusals
        self._seconds = seconds
        self._admit = admit
        # In order of acceptance: the first one is the oldest.
        self._pending: dict[PendingConnection, None] = {}
        self._request_bytes = 0

    def __len__(self) -> int:
        return len(self._pending)

    def add(
        self, connection: socket.socket, address: Any, tls: ssl.SSLContext | None
    ) -> None:
        """Add a connection; beyond the limit the busiest host loses its oldest one."""
        if len(self._pending) >= MAX_PENDING:
            self.make_room()
        connection.setblocking(False)
        if tls is not None:
            connection = tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        deadline = time.monotonic() + self._seconds
        pending = PendingConnection(connection, address, deadline, tls is None)
        self._register(pending)
        self.advance(pending)  # most peers have sent their request already

    def _register(self, pending: PendingConnection) -> None:
        self._pending[pending] = None
        self._selector.register(pending.connection, selectors.EVENT_READ, pending)

    def advance(self, pending: PendingConnection) -> None:
        """Do all that can be done for a connection without blocking."""
        if pending not in self._pending:
            return  # closed by `make_room` after the selector had returned it
        try:
            self._advance(pending)
        except _WOULD_BLOCK as block:
            self._select(pending, block)
        except BadRequest as error:
            self._refuse(pending, "protocol", str(error), ABORT)
        except ssl.SSLError as error:
            self._fail(pending, error)
        except OSError:
            self._close(pending)  # by a probe, or a peer that closed early

    def _advance(self, pending: PendingConnection) -> None:
        if pending.is_refused:
            self._await_close(pending)
            return
        if not pending.is_secured:
            pending.connection.do_handshake()  # type: ignore[attr-defined]
            pending.is_secured = True
            self._selector.modify(pending.connection, selectors.EVENT_READ, pending)
        while (missing := length_of(pending.request) - len(pending.request)) > 0:
            if not self._read(pending, missing):
                self._close(pending)
                return
        self._request_admission(pending)

    def _read(self, pending: PendingConnection, missing: int) -> int:
        """Read at most the missing bytes; return their number, 0 once the connection ended."""
        part = pending.connection.recv(min(missing, _CHUNK))
        pending.request += part
        self._request_bytes += len(part)
        if self._request_bytes > _MAX_REQUEST_BYTES:
            self._drop(max(self._pending, key=lambda p: len(p.request)))
        was_dropped = pending not in self._pending  # it was the longest itself
        return 0 if was_dropped else len(part)

    def _request_admission(self, pending: PendingConnection) -> None:
        check(pending.request)
        # Before `admit`, whose threads may read from the connection and close it.
        self._unregister(pending)
        refusal = self._admit(pending)
        if refusal is not None:
            calling = calling_ae_title(pending.request)
            pending.request.clear()
            pending.connection.setblocking(False)  # `admit` may have set a timeout
            self._register(pending)
            self._refuse(pending, refusal.reason, calling, refusal.answer)

    def _select(self, pending: PendingConnection, block: Exception) -> None:
        """Select for what a TLS handshake waits for: it may have to write."""
        if pending.is_secured or pending not in self._pending:
            return
        writes = isinstance(block, ssl.SSLWantWriteError)
        events = selectors.EVENT_WRITE if writes else selectors.EVENT_READ
        self._selector.modify(pending.connection, events, pending)

    def _fail(self, pending: PendingConnection, error: ssl.SSLError) -> None:
        """Close after a failed handshake; a probe, which only closes, is no refusal."""
        is_end = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        if not (is_end or pending.is_refused):
            self._refusals.refuse(*_tls_reason(error), host=pending.host)
        self._close(pending)

    def _refuse(
        self, pending: PendingConnection, reason: str, detail: str, answer: bytes
    ) -> None:
        """Send the answer and leave the peer some time to read it and close."""
        self._refusals.refuse(reason, detail, host=pending.host)
        pending.is_refused = True
        pending.deadline = time.monotonic() + _CLOSE_SECONDS
        self._request_bytes -= len(pending.request)
        # Replaced, not cleared: a BadRequest's traceback may hold a memoryview of it.
        pending.request = bytearray()
        with contextlib.suppress(OSError):
            pending.connection.send(answer)
            pending.connection.shutdown(socket.SHUT_WR)

    def _await_close(self, pending: PendingConnection) -> None:
        # Unread bytes at our close would send RST, which can discard the answer.
        while pending.connection.recv(_CHUNK):
            pass
        self._close(pending)

    def close_late(self) -> None:
        """Close the connections that sent no complete request in time."""
        now = time.monotonic()
        for pending in [p for p in self._pending if p.deadline <= now]:
            reason = "request_timeout" if pending.is_secured else "tls_timeout"
            self._drop(pending, reason)

    def make_room(self) -> None:
        """Close the oldest connection of the host that has the most."""
        if self._pending:
            hosts = Counter(p.host for p in self._pending)
            busiest = hosts.most_common(1)[0][0]
            self._drop(next(p for p in self._pending if p.host == busiest))

    def _drop(
        self, pending: PendingConnection, reason: str = "too_many_connections"
    ) -> None:
        if not pending.is_refused:
            self._refusals.refuse(reason, host=pending.host)
        self._close(pending)

    def _close(self, pending: PendingConnection) -> None:
        if pending in self._pending:
            self._unregister(pending)
            pending.connection.close()

    def _unregister(self, pending: PendingConnection) -> None:
        del self._pending[pending]
        self._request_bytes -= len(pending.request)
        self._selector.unregister(pending.connection)

    def close(self) -> None:
        """Close all connections."""
        for pending in list(self._pending):
            self._close(pending)


def _tls_reason(error: ssl.SSLError) -> tuple[str, str]:
    """Return the reason of a refusal, and OpenSSL's description as its detail."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls_certificate", error.verify_message
    detail = error.reason or "TLS failed"
    lacks = detail == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    return "tls_certificate" if lacks else "tls_protocol", detail
