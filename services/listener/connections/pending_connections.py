"""Where connections wait until they have asked for an association.

One thread, the one that accepts, attends to all of them: it shakes hands for TLS and
reads the A-ASSOCIATE-RQ, never waiting for anybody. Only who has sent a whole request
costs threads of its own, so that thousands of silent connections cost a descriptor and
a few hundred bytes each, and that no more than for the time of ARTIM.
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
    caller,
    check,
    length_of,
)

# Connections that may wait on one port, and the bytes that they may have sent.
MOST_GUESTS = 512
_MOST_BYTES = 64 << 20
_CHUNK = 1 << 16
# How long a refused peer may take to hang up (Sta13 of PS3.8 section 9.2).
_FAREWELL_SECONDS = 2.0

_WAITS = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(eq=False, slots=True)
class PendingConnection:
    """A connection before its association.

    Attributes
    ----------
    deadline
        When it must have asked for an association, on the monotonic clock.
    request
        As much of the A-ASSOCIATE-RQ as has come.
    is_secured
        Whether nothing is left to do for TLS.
    is_leaving
        Whether it was refused, and is only waited for to hang up.
    """

    connection: socket.socket
    address: Any
    deadline: float
    is_secured: bool
    request: bytearray = field(default_factory=bytearray)
    is_leaving: bool = False

    @property
    def host(self) -> str:
        """The IP address."""
        return str(self.address[0])


class PendingConnections:
    """The connections that wait.

    Parameters
    ----------
    seconds
        Time from the connection to the whole request (ARTIM, PS3.8 section 9.1.5).
    admit
        Takes over a guest whose request is there; returns why not, if it does not.
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
        # In the order of their coming, so that the first is the one to be late first.
        self._guests: dict[PendingConnection, None] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._guests)

    def welcome(
        self, connection: socket.socket, address: Any, tls: ssl.SSLContext | None
    ) -> None:
        """Let a connection wait; the oldest of the busiest host goes if it is full."""
        if len(self._guests) >= MOST_GUESTS:
            self.make_room()
        connection.setblocking(False)
        if tls is not None:
            connection = tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        deadline = time.monotonic() + self._seconds
        guest = PendingConnection(connection, address, deadline, tls is None)
        self._take_in(guest)
        self.attend(guest)  # most have sent their request already

    def _take_in(self, guest: PendingConnection) -> None:
        self._guests[guest] = None
        self._selector.register(guest.connection, selectors.EVENT_READ, guest)

    def attend(self, guest: PendingConnection) -> None:
        """Do for a guest what can be done without waiting."""
        if guest not in self._guests:
            return  # dismissed for the sake of another one
        try:
            self._advance(guest)
        except _WAITS as wait:
            self._wait_for(guest, wait)
        except BadRequest as bad:
            self._refuse(guest, "protocol", str(bad), ABORT)
        except ssl.SSLError as error:
            self._fail(guest, error)
        except OSError:
            self._forget(guest)  # a probe, or a peer that thought better of it

    def _advance(self, guest: PendingConnection) -> None:
        if guest.is_leaving:
            self._see_off(guest)
            return
        if not guest.is_secured:
            guest.connection.do_handshake()  # type: ignore[attr-defined]
            guest.is_secured = True
            self._selector.modify(guest.connection, selectors.EVENT_READ, guest)
        while (missing := length_of(guest.request) - len(guest.request)) > 0:
            if not self._read(guest, missing):
                self._forget(guest)
                return
        self._present(guest)

    def _read(self, guest: PendingConnection, missing: int) -> int:
        """Read no further than the request goes; return 0 once the connection is over."""
        part = guest.connection.recv(min(missing, _CHUNK))
        guest.request += part
        self._bytes += len(part)
        if self._bytes > _MOST_BYTES:
            self._dismiss(max(self._guests, key=lambda g: len(g.request)))
        is_dismissed = guest not in self._guests  # it was the longest itself
        return 0 if is_dismissed else len(part)

    def _present(self, guest: PendingConnection) -> None:
        check(guest.request)
        self._let_go(guest)  # from here on its own threads may read, and close it
        refusal = self._admit(guest)
        if refusal is not None:
            calling = caller(guest.request)
            guest.request.clear()
            guest.connection.setblocking(False)  # it may have begun to be served
            self._take_in(guest)
            self._refuse(guest, refusal.reason, calling, refusal.answer)

    def _wait_for(self, guest: PendingConnection, wait: Exception) -> None:
        if guest.is_secured or guest not in self._guests:
            return
        writes = isinstance(wait, ssl.SSLWantWriteError)
        events = selectors.EVENT_WRITE if writes else selectors.EVENT_READ
        self._selector.modify(guest.connection, events, guest)

    def _fail(self, guest: PendingConnection, error: ssl.SSLError) -> None:
        """Tell those who cannot speak TLS, or show no certificate, from mere probes."""
        is_end = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        if not (is_end or guest.is_leaving):
            self._refusals.refuse(*_meaning(error), host=guest.host)
        self._forget(guest)

    def _refuse(
        self, guest: PendingConnection, reason: str, detail: str, answer: bytes
    ) -> None:
        """Answer, and wait a little for the peer to read that and hang up."""
        self._refusals.refuse(reason, detail, host=guest.host)
        guest.is_leaving = True
        guest.deadline = time.monotonic() + _FAREWELL_SECONDS
        self._bytes -= len(guest.request)
        # Not cleared: the error that has led here may still hold a view of it.
        guest.request = bytearray()
        with contextlib.suppress(OSError):
            guest.connection.send(answer)
            guest.connection.shutdown(socket.SHUT_WR)

    def _see_off(self, guest: PendingConnection) -> None:
        while guest.connection.recv(_CHUNK):
            pass
        self._forget(guest)

    def dismiss_late(self) -> None:
        """Close what did not ask for an association in time."""
        now = time.monotonic()
        for guest in [g for g in self._guests if g.deadline <= now]:
            self._dismiss(
                guest, "request_timeout" if guest.is_secured else "tls_timeout"
            )

    def make_room(self) -> None:
        """Close the oldest connection of the host that has most of them."""
        if self._guests:
            hosts = Counter(g.host for g in self._guests)
            busiest = hosts.most_common(1)[0][0]
            self._dismiss(next(g for g in self._guests if g.host == busiest))

    def _dismiss(
        self, guest: PendingConnection, reason: str = "too_many_connections"
    ) -> None:
        if not guest.is_leaving:
            self._refusals.refuse(reason, host=guest.host)
        self._forget(guest)

    def _forget(self, guest: PendingConnection) -> None:
        if guest in self._guests:
            self._let_go(guest)
            guest.connection.close()

    def _let_go(self, guest: PendingConnection) -> None:
        del self._guests[guest]
        self._bytes -= len(guest.request)
        self._selector.unregister(guest.connection)

    def close(self) -> None:
        """Close whoever waits."""
        for guest in list(self._guests):
            self._forget(guest)


def _meaning(error: ssl.SSLError) -> tuple[str, str]:
    """Return the reason of a refusal and what OpenSSL says of it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "tls_certificate", error.verify_message
    reason = error.reason or "TLS failed"
    lacks = reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    return "tls_certificate" if lacks else "tls_protocol", reason
