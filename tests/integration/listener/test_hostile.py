"""Regression tests for the findings of fuzzing."""

import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.fuzz.association import ECHO_CONTEXT, Item, pdu, plain_items, request
from tests.fuzz.connection import HANG_SECONDS, Connection
from tests.fuzz.messages import COMMAND_LAST, Pdv, command, store_elements
from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer, data_set
from tests.waiting import wait_for

ABORT = 7


@pytest.fixture(params=["fast", "stock"])
def attacked(
    request: pytest.FixtureRequest, listen: Callable[..., Listening]
) -> Iterator[Listening]:
    """A Storage SCP of each reception, of which no thread may die or stay."""
    died: list[object] = []
    before, threading.excepthook = threading.excepthook, died.append
    listening = listen(reception=request.param)
    yield listening
    wait_for(lambda: not listening.acceptor.associations)
    threading.excepthook = before
    assert died == []


def _is_well(listening: Listening) -> bool:
    with Peer(listening.port).associate() as peer:
        data = data_set(CT_IMAGE_STORAGE, "1.2.3")
        return peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0


def _end_of(connection: Connection) -> list[int]:
    """Return the types of all PDUs up to an A-ABORT or the end of the connection."""
    kinds: list[int] = []
    with connection.socket:
        while ABORT not in kinds:
            pdu = connection.read(HANG_SECONDS)
            assert pdu is not None, "the connection stays open"
            if not pdu[0]:
                break
            kinds.append(pdu[0])
    return kinds


def test_a_user_identity_of_no_known_kind_is_aborted(attacked: Listening) -> None:
    """A value that pynetdicom refuses ends the association, but no thread."""
    items = plain_items()
    assert isinstance(items[-1].body, list)
    items[-1].body.append(Item(0x58, struct.pack(">BBHH", 99, 0, 0, 0)))
    connection = Connection(attacked.port)
    connection.send(request(items))
    assert _end_of(connection) == [ABORT]
    assert _is_well(attacked)


def test_a_context_without_abstract_syntax_is_aborted(attacked: Listening) -> None:
    """A context without an abstract syntax ends the association, but no thread."""
    items = plain_items()
    assert isinstance(items[1].body, list)
    del items[1].body[0]
    connection = Connection(attacked.port)
    connection.send(request(items))
    assert _end_of(connection)[-1:] in ([ABORT], [])
    assert _is_well(attacked)


def test_an_abort_of_no_known_source_ends_the_association(attacked: Listening) -> None:
    """An A-ABORT with undefined values ends the association."""
    connection = Connection(attacked.port)
    connection.send(request(plain_items()))
    assert connection.read(HANG_SECONDS)
    connection.send(pdu(ABORT, bytes([0, 0, 193, 7])))
    _end_of(connection)
    assert _is_well(attacked)


def test_an_answer_that_meets_an_abort_costs_nothing(attacked: Listening) -> None:
    """Requests with an A-ABORT before their responses leave nothing behind."""
    for _ in range(10):
        peer = Peer(attacked.port).associate()
        for number in range(3):
            uid = f"1.2.{number}"
            peer.send_command(CT_IMAGE_STORAGE, uid)
            peer.send_data(data_set(CT_IMAGE_STORAGE, uid), last=True)
        peer.socket.sendall(pdu(ABORT, bytes(4)))
        peer.socket.close()
    assert _is_well(attacked)


@pytest.mark.parametrize("context", [1, ECHO_CONTEXT])
def test_another_command_than_c_store_is_no_c_store(
    attacked: Listening, context: int
) -> None:
    """An N-CREATE of a storage class is aborted over any context, not answered."""
    elements = store_elements(CT_IMAGE_STORAGE.encode(), b"1.2.3", 1)
    elements[1] = 0x00000100, struct.pack("<H", 0x0140)
    elements[4] = 0x00000800, struct.pack("<H", 0x0101)
    connection = Connection(attacked.port)
    connection.send(request(plain_items()))
    assert connection.read(HANG_SECONDS)
    connection.send(pdu(4, Pdv(context, COMMAND_LAST, command(elements)).encode()))
    assert _end_of(connection) == [ABORT]
    assert _is_well(attacked)
    assert len(attacked.received()) == 1


def test_a_request_that_is_none_is_answered_by_an_abort(attacked: Listening) -> None:
    """An item beyond the end of its PDU gets A-ABORT, without a traceback."""
    items = plain_items()
    items[0].length = 0xFFFF
    connection = Connection(attacked.port)
    connection.send(request(items))
    assert _end_of(connection) == [ABORT]
    assert _is_well(attacked)
