"""Pending connections, of which no one delays another."""

import selectors
import socket
from collections.abc import Callable, Iterator

import pytest

from services.listener.connections import pending_connections as pending_module
from services.listener.connections.admission import Refusal, Refusals
from services.listener.connections.associate_request import LIMIT_EXCEEDED
from services.listener.connections.pending_connections import (
    PendingConnection,
    PendingConnections,
)
from tests.integration.listener.wire import (
    CT_IMAGE_STORAGE,
    IMPLICIT,
    associate_request,
)

REQUEST = associate_request("PEER", "VERITAG", (CT_IMAGE_STORAGE, [IMPLICIT]))
Admit = Callable[[PendingConnection], Refusal | None]


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    """The selector of the connections."""
    with selectors.DefaultSelector() as new:
        yield new


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection, that of the peer first."""
    theirs, ours = socket.socketpair()
    theirs.settimeout(5)
    with theirs, ours:
        yield theirs, ours


def pending_of(selector: selectors.BaseSelector, admit: Admit) -> PendingConnections:
    """Return pending connections without any."""
    return PendingConnections(selector, Refusals(), 5.0, admit)


def test_one_that_was_refused_late_is_not_waited_for(
    selector: selectors.BaseSelector, pair: tuple[socket.socket, socket.socket]
) -> None:
    """After a refused admission a connection is non-blocking again."""

    def admit(pending: PendingConnection) -> Refusal:
        pending.connection.settimeout(0.2)
        return Refusal("other", LIMIT_EXCEEDED)

    theirs, ours = pair
    connections = pending_of(selector, admit)
    theirs.sendall(REQUEST)
    connections.add(ours, ("127.0.0.1", 0), None)
    assert theirs.recv(100) == LIMIT_EXCEEDED
    theirs.sendall(b"x")
    for key, _ in selector.select(5):
        connections.advance(key.data)  # which would forget it if it had waited in vain
    assert len(connections) == 1
    connections.close()


def test_one_that_goes_for_its_size_is_not_admitted(
    selector: selectors.BaseSelector,
    pair: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request that exceeds the total size is dropped, not admitted."""
    monkeypatch.setattr(pending_module, "_MAX_REQUEST_BYTES", len(REQUEST) - 1)
    admitted: list[PendingConnection] = []
    theirs, ours = pair
    connections = pending_of(selector, admitted.append)
    theirs.sendall(REQUEST)
    connections.add(ours, ("127.0.0.1", 0), None)
    assert theirs.recv(1) == b""
    assert (len(connections), admitted) == (0, [])
