"""Limits on connections and associations, and the costs of refused ones."""

import contextlib
import errno
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import structlog
from prometheus_client import REGISTRY
from pynetdicom.acse import ACSE
from pynetdicom.pdu import A_ASSOCIATE_RQ

from services.listener import acceptor as acceptor_module
from services.listener.connections import pending_connections as pending_module
from services.listener.connections.admission import (
    REASONS,
    Refusals,
    plain_address,
)
from services.listener.connections.pending_connections import PendingConnections
from services.listener.connections.server import StorageServer
from tests.integration.listener.conftest import Clock, Listening
from tests.integration.listener.wire import (
    CT_IMAGE_STORAGE,
    IMPLICIT,
    Peer,
    Rejected,
    associate_request,
    data_set,
)
from tests.waiting import wait_for

REQUEST = associate_request("PEER", "VERITAG", (CT_IMAGE_STORAGE, [IMPLICIT]))


def rejected(reason: str) -> float:
    """Return the number of refusals for a reason so far."""
    name = "veritag_associations_rejected_total"
    return REGISTRY.get_sample_value(name, {"reason": reason}) or 0


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    """Connect from one of this machine's loopback addresses."""
    return socket.create_connection(
        ("127.0.0.1", port), timeout=60, source_address=(source, 0)
    )


def answer(connection: socket.socket) -> bytes:
    """Send a request; return the first bytes of the answer."""
    connection.sendall(REQUEST)
    return connection.recv(4096)


def is_served(port: int) -> bool:
    """Store one instance and return whether it was acknowledged."""
    with Peer(port).associate() as peer:
        data = data_set(CT_IMAGE_STORAGE, "1.2.3")
        status = peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status
        peer.release()
    return status == 0


def pending_count(listening: Listening) -> int:
    """Return the number of pending connections."""
    return sum(len(pending) for pending in _pending(listening))


def wait_for_bytes(listening: Listening, count: int) -> None:
    """Wait until so many bytes of pending connections have been read."""
    wait_for(lambda: sum(p._request_bytes for p in _pending(listening)) == count)


def _pending(listening: Listening) -> list[PendingConnections]:
    """Return the pending connections of each port whose thread has begun."""
    servers = listening.acceptor._servers
    return [server.pending for server in servers if hasattr(server, "pending")]


@contextlib.contextmanager
def silent(
    port: int, count: int, source: str = "127.0.0.1"
) -> Iterator[list[socket.socket]]:
    """Open connections that send nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(port, source)) for _ in range(count)]


def test_only_listed_hosts_connect(listen: Callable[..., Listening]) -> None:
    """Connections of other hosts are closed without an answer, and counted."""
    listening = listen(allowed_hosts="127.0.0.2,10.0.0.0/8")
    before = rejected("host")
    with connect(listening.port) as refused:
        assert refused.recv(1) == b""
    with connect(listening.port, "127.0.0.2") as allowed:
        assert answer(allowed)[0] == 2
    assert rejected("host") == before + 1


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(host: str, plain: str) -> None:
    """IPv4 over an IPv6 socket is IPv4, and a scope is not part of an address."""
    assert str(plain_address(host)) == plain


def test_associations_of_one_host_are_limited(listen: Callable[..., Listening]) -> None:
    """One host cannot use up all associations; its next one is rejected for now."""
    listening = listen(max_associations=4, max_associations_per_host=2)
    before = rejected("too_many_of_host")
    with Peer(listening.port).associate():
        second = Peer(listening.port).associate()
        with pytest.raises(Rejected) as refused:
            Peer(listening.port).associate()
        assert refused.value == Rejected(2, 3, 2)
        with connect(listening.port, "127.0.0.2") as other:
            assert answer(other)[0] == 2
        for _ in range(5):  # one that is released makes room for the next at once
            second.release()
            second.socket.close()
            second = Peer(listening.port).associate()
        second.socket.close()
    assert rejected("too_many_of_host") == before + 1


def test_one_that_is_released_makes_room_before_it_knows(
    listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer with the answer to its release may associate while our thread still runs."""
    send_release, is_admitted = ACSE.send_release, threading.Event()

    def send_and_wait(acse: ACSE, is_response: bool = False) -> None:
        send_release(acse, is_response)
        assert is_admitted.wait(45)

    monkeypatch.setattr(ACSE, "send_release", send_and_wait)
    listening = listen(max_associations=1)
    with Peer(listening.port).associate() as first:
        first.release()
        with Peer(listening.port).associate() as second:
            is_admitted.set()
            second.release()


def test_silent_connections_cost_no_thread(
    listen: Callable[..., Listening], pending_clock: Clock
) -> None:
    """Hundreds of them wait without threads, delay no other, and are closed in time."""
    listening, before = listen(max_associations=2), rejected("request_timeout")
    threads = threading.active_count()
    with silent(listening.port, 200) as waiting:
        assert is_served(listening.port)
        assert rejected("request_timeout") == before
        pending_clock.ahead = acceptor_module.ACSE_SECONDS
        wait_for(lambda: threading.active_count() <= threads)
        assert all(connection.recv(1) == b"" for connection in waiting)
    assert rejected("request_timeout") == before + 200


def test_the_busiest_host_gives_way(
    listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit the oldest connection of the busiest host is closed."""
    monkeypatch.setattr(pending_module, "MAX_PENDING", 8)
    listening, before = listen(), rejected("too_many_connections")
    with (
        silent(listening.port, 1, "127.0.0.2") as (other,),
        silent(listening.port, 10) as connections,
    ):
        for first in connections[:3]:
            assert first.recv(1) == b""
        assert is_served(listening.port)
        assert answer(other)[0] == 2
    assert rejected("too_many_connections") - before in (3, 4)


def test_a_request_must_come_in_time(
    listening: Listening, pending_clock: Clock
) -> None:
    """ARTIM counts from the connection to the complete request, not between bytes."""
    before, threads = rejected("request_timeout"), threading.active_count()
    with connect(listening.port) as slow:
        for seconds in range(0, int(acceptor_module.ACSE_SECONDS), 5):
            pending_clock.ahead = seconds
            slow.sendall(REQUEST[seconds : seconds + 5])
            wait_for_bytes(listening, seconds + 5)
            assert threading.active_count() <= threads
        pending_clock.ahead = acceptor_module.ACSE_SECONDS
        assert slow.recv(1) == b""
    assert rejected("request_timeout") == before + 1


def test_a_request_may_come_in_pieces(listening: Listening) -> None:
    """A request in several segments is accepted."""
    with connect(listening.port) as slow:
        for start in range(0, len(REQUEST), 50):
            slow.sendall(REQUEST[start : start + 50])
            if start + 50 < len(REQUEST):
                wait_for_bytes(listening, start + 50)
        assert slow.recv(4096)[0] == 2


@pytest.mark.parametrize("reception", ["fast", "stock"])
@pytest.mark.parametrize("part", ["header", "body"])
def test_a_pdu_must_come_in_time(
    listen: Callable[..., Listening],
    reception: str,
    part: str,
) -> None:
    """Single bytes do not keep an association beyond the network timeout."""
    listening = listen(reception=reception)
    pdu = struct.pack(">BBL", 4, 0, 1000) + bytes(1000)
    with Peer(listening.port).associate() as peer:
        (assoc,) = listening.acceptor.associations
        assoc.network_timeout = assoc.acse_timeout = 0.5
        at_once = 1 if part == "header" else 20
        peer.socket.sendall(pdu[:at_once])
        start = time.monotonic()
        with contextlib.suppress(OSError):
            for byte in pdu[at_once:]:
                peer.socket.sendall(bytes([byte]))
                time.sleep(0.2)
                if not listening.acceptor.associations:
                    break
        assert time.monotonic() - start < 60
    wait_for(lambda: not listening.acceptor.associations)


@pytest.mark.parametrize("reception", ["fast", "stock"])
@pytest.mark.parametrize("kind", range(1, 8))
def test_no_length_is_believed_in_an_association(
    listen: Callable[..., Listening], reception: str, kind: int
) -> None:
    """A PDU of any type that claims 4 GiB ends the association at once."""
    listening = listen(reception=reception)
    with Peer(listening.port).associate() as peer:
        peer.socket.sendall(struct.pack(">BBL", kind, 0, 0xFFFFFFFF) + bytes(100))
        start = time.monotonic()
        assert peer.read()[0] in (7, 0)
        assert time.monotonic() - start < acceptor_module.ACSE_SECONDS
    wait_for(lambda: not listening.acceptor.associations)


def _request_with(items: bytes) -> bytes:
    fixed = REQUEST[6:74]
    return struct.pack(">BBL", 1, 0, len(fixed + items)) + fixed + items


def test_hostile_requests_are_aborted_undecoded(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of nested items is not decoded, gets no thread and takes under 1 s."""
    decoded: list[object] = []
    context = struct.pack(">BBH", 0x20, 0, 60_004) + bytes(4)
    before = rejected("protocol")
    hostile = _request_with((context + b"\x40\0\0\0" * 15_000) * 16)
    assert len(hostile) < 1 << 20
    start = time.process_time()
    with monkeypatch.context() as patch, connect(listening.port) as peer:
        patch.setattr(
            A_ASSOCIATE_RQ, "decode", lambda *arguments: decoded.append(arguments)
        )
        peer.sendall(hostile)
        assert peer.recv(4096) == bytes.fromhex("07000000000400000000")
        assert peer.recv(1) == b""
    assert time.process_time() - start < 1
    assert decoded == []
    assert rejected("protocol") == before + 1
    assert is_served(listening.port)


def test_what_is_refused_may_hang_up_late(
    listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that stays after its A-ASSOCIATE-RJ is closed after a moment."""
    monkeypatch.setattr(pending_module, "_CLOSE_SECONDS", 0.3)
    listening = listen(max_associations=1)
    with Peer(listening.port).associate(), connect(listening.port) as stubborn:
        assert answer(stubborn)[0] == 3
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            _chatter(stubborn)


def _chatter(connection: socket.socket) -> None:
    for _ in range(900):
        connection.sendall(b"x")
        time.sleep(0.05)


def test_a_vanished_peer_is_noticed_by_the_system(listening: Listening) -> None:
    """Keepalive and a limit on unacknowledged data are set on each connection."""
    with Peer(listening.port).associate():
        (assoc,) = listening.acceptor.associations
        assert assoc.dul.socket
        connection = assoc.dul.socket.socket
        assert connection
        tcp = socket.IPPROTO_TCP
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(tcp, socket.TCP_KEEPIDLE) == 30
        assert connection.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 60_000
        assert connection.getsockopt(tcp, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize("reception", ["fast", "stock"])
def test_high_descriptors_are_served(
    listen: Callable[..., Listening], reception: str
) -> None:
    """Descriptors from 1,024 on, where select() fails, are served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    listening = listen(reception=reception)
    descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert max(descriptors) > 1024
        assert is_served(listening.port)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_lack_of_descriptors_passes(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a free descriptor pending connections are closed, and accepting continues."""
    before, accept = rejected("too_many_connections"), StorageServer.get_request
    lacks = [OSError(errno.EMFILE, "Too many open files")] * 3

    def get_request(server: StorageServer) -> object:
        if lacks:
            raise lacks.pop()
        return accept(server)

    with silent(listening.port, 2) as waiting:
        wait_for(lambda: pending_count(listening) == 2)
        monkeypatch.setattr(StorageServer, "get_request", get_request)
        assert is_served(listening.port)
        assert [connection.recv(1) for connection in waiting] == [b"", b""]
    assert rejected("too_many_connections") == before + 2


def test_refusals_are_logged_once_in_a_while() -> None:
    """Each is counted; of many alike within a minute one is logged."""
    before = rejected("host")
    with structlog.testing.capture_logs() as logs:
        refusals = Refusals()
        for _ in range(500):
            refusals.refuse("host", host="10.0.0.1")
        refusals.refuse("host", host="10.0.0.2")
        refusals.refuse("protocol", host="10.0.0.1")
    assert rejected("host") == before + 501
    entries = [(e["reason"], e["peer_address"]) for e in logs]
    assert entries == [
        ("host", "10.0.0.1"),
        ("host", "10.0.0.2"),
        ("protocol", "10.0.0.1"),
    ]


def test_what_is_remembered_of_refusals_is_bounded() -> None:
    """Refusals of many addresses do not fill the memory."""
    refusals = Refusals()
    for number in range(3000):
        refusals.refuse("host", host=f"10.0.{number // 256}.{number % 256}")
    assert len(refusals._logged) <= 1024


def test_every_reason_is_counted_from_the_start() -> None:
    """Each reason is exported before its first refusal."""
    Refusals()
    name = "veritag_associations_rejected_total"
    for reason in REASONS:
        assert REGISTRY.get_sample_value(name, {"reason": reason}) is not None
