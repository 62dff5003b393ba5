"""AE titles, limits and timeouts of associations, and the stop of the listener."""

import contextlib
import fcntl
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from prometheus_client import REGISTRY

from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import (
    CT_IMAGE_STORAGE,
    EXPLICIT,
    IMPLICIT,
    Peer,
    Rejected,
    data_set,
)
from tests.waiting import wait_for

PRIVATE_SOP_CLASS = "1.3.12.2.1107.5.9.1"
RETIRED_ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6"
HTJ2K = "1.2.840.10008.1.2.4.201"


def test_the_called_ae_title_is_checked(listen: Callable[..., Listening]) -> None:
    """With the check on, a wrong called AE title is rejected with that reason."""
    listening = listen(check_called_ae_title=True)
    with pytest.raises(Rejected) as rejected:
        Peer(listening.port, called="SOMEONE").associate()
    assert rejected.value == Rejected(1, 1, 7)
    with Peer(listening.port, called="VERITAG").associate() as peer:
        peer.release()


def test_the_calling_ae_title_is_checked(listen: Callable[..., Listening]) -> None:
    """Only listed calling AE titles associate; others are rejected with that reason."""
    listening = listen(calling_ae_titles=("CT1", "MR1"))
    with pytest.raises(Rejected) as rejected:
        Peer(listening.port, calling="CT2").associate()
    assert rejected.value == Rejected(1, 1, 3)
    with Peer(listening.port, calling="MR1").associate() as peer:
        peer.release()


def test_associations_are_limited(listen: Callable[..., Listening]) -> None:
    """One association too many is rejected as transient, local limit exceeded."""
    listening = listen(max_associations=2)
    name, labels = (
        "veritag_associations_rejected_total",
        {"reason": "too_many_associations"},
    )
    before = REGISTRY.get_sample_value(name, labels) or 0
    with Peer(listening.port).associate() as one, Peer(listening.port).associate():
        with pytest.raises(Rejected) as rejected:
            Peer(listening.port).associate()
        assert rejected.value == Rejected(2, 3, 2)
        one.release()
        wait_for(lambda: len(listening.acceptor.associations) == 1)
        with Peer(listening.port).associate() as other:
            other.release()
    wait_for(lambda: REGISTRY.get_sample_value(name, labels) == before + 1)


def test_other_protocols_are_turned_away(listening: Listening) -> None:
    """An HTTP request on the DICOM port ends the connection and leaves nothing."""
    with socket.create_connection(("127.0.0.1", listening.port), timeout=45) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while browser.recv(4096):
            pass
    wait_for(lambda: not listening.acceptor.associations)


@pytest.mark.parametrize("kind", [1, 4, 7])
def test_a_huge_pdu_length_is_not_believed_before_association(
    listening: Listening, kind: int
) -> None:
    """A first PDU that claims 4 GiB ends the connection at once."""
    with socket.create_connection(("127.0.0.1", listening.port), timeout=45) as peer:
        peer.sendall(struct.pack(">BBL", kind, 0, 0xFFFFFFFF) + bytes(1000))
        with contextlib.suppress(ConnectionError):
            while peer.recv(4096):
                pass
    wait_for(lambda: not listening.acceptor.associations)


def test_a_huge_pdu_length_is_not_believed_within_an_association(
    listening: Listening,
) -> None:
    """A PDU longer than announced gets A-ABORT and takes no memory."""
    before = psutil.Process().memory_info().rss
    with Peer(listening.port).associate() as peer:
        assert peer.max_pdu == listening.settings.max_pdu_bytes
        peer.socket.sendall(struct.pack(">BBL", 4, 0, 0xFFFFFFFF) + bytes(100_000))
        assert peer.read()[0] in (7, 0)
    wait_for(lambda: not listening.acceptor.associations)
    assert psutil.Process().memory_info().rss - before < 50 << 20


def test_a_peer_that_falls_silent_is_let_go(listen: Callable[..., Listening]) -> None:
    """An incomplete PDU keeps no thread beyond the network timeout."""
    listening = listen(network_timeout_seconds=0.5)
    with Peer(listening.port).associate() as peer:
        peer.socket.sendall(struct.pack(">BBL", 4, 0, 100) + bytes(10))
        wait_for(lambda: not listening.acceptor.associations)


def test_an_idle_association_is_let_go(listen: Callable[..., Listening]) -> None:
    """A silent association is aborted at the network timeout."""
    listening = listen(network_timeout_seconds=0.5)
    with Peer(listening.port).associate() as peer:
        assert peer.read()[0] in (7, 0)
    wait_for(lambda: not listening.acceptor.associations)


def test_the_requestors_first_transfer_syntax_is_taken(listening: Listening) -> None:
    """Of several transfer syntaxes in a context the first one of the sender is accepted."""
    offers = [
        (CT_IMAGE_STORAGE, [EXPLICIT, IMPLICIT]),
        (CT_IMAGE_STORAGE, [HTJ2K, EXPLICIT]),
        (CT_IMAGE_STORAGE, ["1.2.3.4.5", IMPLICIT]),
        (CT_IMAGE_STORAGE, ["1.2.3.4.5"]),
    ]
    for offer, expected in zip(offers, [EXPLICIT, HTJ2K, IMPLICIT, None], strict=True):
        with Peer(listening.port).associate(offer) as peer:
            assert peer.accepted.get(1) == expected
            peer.release()


def test_private_sop_classes_need_the_setting(listen: Callable[..., Listening]) -> None:
    """A private SOP Class is accepted and stored only with the setting."""
    strict, open_ = listen(), listen(accept_private_sop_classes=True)
    with Peer(strict.port).associate((PRIVATE_SOP_CLASS, [IMPLICIT])) as peer:
        assert peer.accepted == {}
    with Peer(open_.port).associate((PRIVATE_SOP_CLASS, [IMPLICIT])) as peer:
        data = data_set(PRIVATE_SOP_CLASS, "1.2.3")
        assert peer.store(data, PRIVATE_SOP_CLASS, "1.2.3").status == 0x0000


def test_query_is_not_offered_even_with_the_setting(
    listen: Callable[..., Listening],
) -> None:
    """A known SOP Class other than storage is not treated as a private one."""
    listening = listen(accept_private_sop_classes=True)
    study_root_find = "1.2.840.10008.5.1.4.1.2.2.1"
    with Peer(listening.port).associate((study_root_find, [IMPLICIT])) as peer:
        assert peer.accepted == {}


def test_retired_sop_classes_are_stored(listening: Listening) -> None:
    """Retired storage SOP Classes, which archives still send, are stored."""
    with Peer(listening.port).associate((RETIRED_ULTRASOUND, [IMPLICIT])) as peer:
        data = data_set(RETIRED_ULTRASOUND, "1.2.3")
        assert peer.store(data, RETIRED_ULTRASOUND, "1.2.3").status == 0x0000


def _is_receiving(listening: Listening) -> bool:
    return any(assoc.is_receiving for assoc in listening.acceptor.associations)


def test_stopping_lets_what_is_being_received_finish(listening: Listening) -> None:
    """An instance in reception at the start of the stop is still acknowledged."""
    data = data_set(CT_IMAGE_STORAGE, "1.2.3", more=bytes(0))
    with (
        Peer(listening.port).associate() as busy,
        Peer(listening.port).associate() as idle,
    ):
        busy.send_command(CT_IMAGE_STORAGE, "1.2.3")
        busy.send_data(data[:20], last=False)
        wait_for(lambda: _is_receiving(listening))
        stopping = threading.Thread(target=listening.acceptor.stop, args=(45,))
        stopping.start()
        assert idle.read()[0] in (7, 0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", listening.port), timeout=45)
        busy.send_data(data[20:], last=True)
        assert busy.answer().status == 0x0000
        assert busy.read()[0] in (7, 0)
        stopping.join(60)
        assert not stopping.is_alive()
    assert len(listening.received()) == 1


def _unread_bytes(connection: socket.socket) -> int:
    """Return how many received bytes the process has not read."""
    count = bytearray(4)
    fcntl.ioctl(connection, termios.FIONREAD, count)
    return int.from_bytes(count, sys.byteorder)


def test_stopping_does_not_wait_for_half_a_pdu(listening: Listening) -> None:
    """A peer that stopped within a PDU does not delay the stop."""
    with Peer(listening.port).associate() as stuck:
        stuck.socket.sendall(struct.pack(">BBL", 4, 0, 100) + bytes(10))
        (assoc,) = listening.acceptor.associations
        connection: Any = assoc.dul.socket
        wait_for(lambda: _unread_bytes(connection.socket) == 0)  # it waits for the rest
        with Peer(listening.port) as silent:
            (server,) = listening.acceptor._servers
            wait_for(lambda: len(server.pending) == 1)
            start = time.monotonic()
            listening.acceptor.stop(grace_seconds=60)
            assert time.monotonic() - start < 30
            assert silent.read()[0] == 0
    assert listening.acceptor.associations == []


def test_stopping_ends_a_sender_that_never_pauses(listening: Listening) -> None:
    """At the end of the grace instances in reception are aborted."""
    with Peer(listening.port).associate() as peer:
        peer.send_command(CT_IMAGE_STORAGE, "1.2.3")
        peer.send_data(b"x", last=False)
        wait_for(lambda: _is_receiving(listening))
        start = time.monotonic()
        listening.acceptor.stop(grace_seconds=0.5)
        assert 0.4 < time.monotonic() - start < 30
        assert peer.read()[0] in (7, 0)
    assert listening.received() == []
