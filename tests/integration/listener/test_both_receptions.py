"""Messages divided into PDVs, PDUs and segments in any way, with both receptions.

PS3.8 section 9.3.5 permits several PDVs in a PDU, and TCP segments are arbitrary.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import (
    ABORT,
    CT_IMAGE_STORAGE,
    IMPLICIT,
    RELEASE_RQ,
    VERIFICATION,
    Peer,
    command_set,
    data_set,
    echo_command,
    element,
    p_data,
    pdv,
    store_command,
)
from tests.waiting import wait_for
from veritag.dicom.part10 import read_file_meta

# Message control header: bit 0 command, bit 1 last (PS3.8 section E.2).
DATA, COMMAND, LAST_DATA, LAST_COMMAND = range(4)
STORAGE, ECHO = 1, 3
OFFERS = (CT_IMAGE_STORAGE, [IMPLICIT]), (VERIFICATION, [IMPLICIT])

Segments = list[bytes]


@pytest.fixture(params=["fast", "stock"])
def listening(
    request: pytest.FixtureRequest, listen: Callable[..., Listening]
) -> Listening:
    """A Storage SCP with fast and with stock reception."""
    return listen(reception=request.param)


def _pixels(size: int) -> bytes:
    return element(0x7FE00010, bytes(n % 251 for n in range(size)))


SMALL = data_set(CT_IMAGE_STORAGE, "1.2.1", more=_pixels(40))
LARGE = data_set(CT_IMAGE_STORAGE, "1.2.1", more=_pixels(40_000))
# Its last value has an odd length, against PS3.5 section 7.1; archives hold such.
ODD = data_set(CT_IMAGE_STORAGE, "1.2.1") + b"\x10\x00\x20\x00\x03\x00\x00\x00abc"


def _command(number: int = 1) -> bytes:
    return store_command(CT_IMAGE_STORAGE, f"1.2.{number}", message_id=number)


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _pdvs(data: bytes, size: int, header: int) -> list[bytes]:
    """Return PDVs of so many bytes, with the flag of the last fragment on the last one."""
    *first, last = _cut(data, size)
    return [pdv(part, STORAGE, header) for part in first] + [
        pdv(last, STORAGE, header | 2)
    ]


def _message(data: bytes, number: int = 1, size: int = 16_000) -> bytes:
    """Return a C-STORE-RQ in PDUs of one PDV each."""
    values = _pdvs(_command(number), size, COMMAND) + _pdvs(data, size, DATA)
    return b"".join(map(p_data, values))


def _whole(data: bytes) -> Segments:
    return [_message(data)]


def _bytewise(data: bytes) -> Segments:
    return _cut(_message(data), 1)


def _across(data: bytes) -> Segments:
    """Cut so that no segment ends at the end of a PDU or PDV."""
    return _cut(_message(data, size=1000), 1003)


def _one_pdu(data: bytes) -> Segments:
    return [p_data(pdv(_command(), STORAGE, LAST_COMMAND), *_pdvs(data, 900, DATA))]


def _many_pdvs(data: bytes) -> Segments:
    return [
        p_data(*_pdvs(_command(), 50, COMMAND)),
        p_data(*_pdvs(data, 700, DATA)),
    ]


def _tiny_pdvs(data: bytes) -> Segments:
    return [p_data(v) for v in _pdvs(_command(), 1, COMMAND) + _pdvs(data, 1, DATA)]


def _empty_pdvs(data: bytes) -> Segments:
    """Put empty PDVs before, between and after the others."""
    return [
        p_data(pdv(b"", STORAGE, COMMAND), pdv(_command(), STORAGE, COMMAND)),
        p_data(pdv(b"", STORAGE, LAST_COMMAND), pdv(b"", STORAGE, DATA)),
        p_data(pdv(data[:99], STORAGE, DATA), pdv(b"", STORAGE, DATA)),
        p_data(pdv(data[99:], STORAGE, DATA)),
        p_data(pdv(b"", STORAGE, LAST_DATA)),
    ]


WAYS = [_whole, _bytewise, _across, _one_pdu, _many_pdvs, _tiny_pdvs, _empty_pdvs]


def _stored(listening: Listening) -> list[bytes]:
    """Return the Data Sets in the spool, oldest first."""
    return [
        path.read_bytes()[read_file_meta(path).dataset_offset :]
        for path in listening.received()
    ]


def _send(peer: Peer, segments: Segments) -> None:
    for segment in segments:
        peer.socket.sendall(segment)


def _nothing_left(listening: Listening) -> bool:
    return not listening.acceptor.associations and not any(
        listening.spool.incoming.iterdir()
    )


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_a_message_arrives_however_it_is_cut(
    listening: Listening, way: Callable[[bytes], Segments]
) -> None:
    """Data Sets are stored byte for byte, one after the other, and nothing is left over."""
    sent = [SMALL, ODD] if way in (_bytewise, _tiny_pdvs) else [SMALL, LARGE, ODD]
    with Peer(listening.port).associate() as peer:
        for data in sent:
            _send(peer, way(data))
            answer = peer.answer()
            assert (answer.status, answer.message_id, answer.context) == (0, 1, 1)
        peer.release()
    assert _stored(listening) == sent
    wait_for(lambda: _nothing_left(listening))


def test_messages_in_one_segment_are_answered_in_turn(listening: Listening) -> None:
    """A sender that does not wait for responses gets all of them, in order."""
    data = [data_set(CT_IMAGE_STORAGE, f"1.2.{n}") for n in range(1, 6)]
    with Peer(listening.port).associate() as peer:
        _send(peer, [b"".join(_message(d, n) for n, d in enumerate(data, 1))])
        answers = [peer.answer() for _ in data]
        peer.release()
    assert [(a.status, a.message_id) for a in answers] == [(0, n) for n in range(1, 6)]
    assert _stored(listening) == data


def test_a_message_begins_in_the_segment_that_ends_another(
    listening: Listening,
) -> None:
    """A part of the next message in the same segment is not lost."""
    first = _message(SMALL)
    second = _message(data_set(CT_IMAGE_STORAGE, "1.2.2", more=_pixels(999)), 2, 64)
    with Peer(listening.port).associate() as peer:
        _send(peer, [first + second[:700]])
        wait_for(lambda: _stored(listening))
        _send(peer, [second[700:]])
        assert [peer.answer().message_id for _ in range(2)] == [1, 2]
        peer.release()
    assert len(_stored(listening)) == 2


def test_a_release_in_the_segment_of_the_data_is_served_after_it(
    listening: Listening,
) -> None:
    """The instance is stored and answered, then the association is released."""
    with Peer(listening.port).associate() as peer:
        _send(peer, [_message(LARGE) + RELEASE_RQ])
        assert peer.answer().status == 0x0000
        assert peer.read()[0] == 6
    assert _stored(listening) == [LARGE]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_connection_lost_amid_a_message_leaves_nothing(
    listening: Listening, share: float
) -> None:
    """An incomplete message leaves no file and no thread."""
    message = _message(data_set(CT_IMAGE_STORAGE, "1.2.1", more=_pixels(90_000)))
    with Peer(listening.port).associate() as peer:
        _send(peer, [message[: int(len(message) * share)]])
    wait_for(lambda: _nothing_left(listening))
    assert _stored(listening) == []


@pytest.mark.parametrize("fragments", [0, 1, 3])
def test_an_abort_amid_a_message_leaves_nothing(
    listening: Listening, fragments: int
) -> None:
    """An A-ABORT after the command or some fragments discards the message."""
    parts = [p_data(pdv(part, STORAGE, DATA)) for part in _cut(LARGE, 13_000)]
    with Peer(listening.port).associate() as peer:
        _send(peer, [p_data(pdv(_command(), STORAGE, LAST_COMMAND))])
        _send(peer, [*parts[:fragments], ABORT])
        assert peer.read()[0] == 0
    wait_for(lambda: _nothing_left(listening))
    assert _stored(listening) == []


@pytest.mark.parametrize(
    "pdu",
    [
        p_data(pdv(_command(), 99, LAST_COMMAND), pdv(SMALL, 99, LAST_DATA)),
        p_data(pdv(SMALL, STORAGE, LAST_DATA)),
        p_data(pdv(b"\xff" * 60, STORAGE, LAST_COMMAND)),
        p_data(b"\0\0\0\1\1"),
        p_data(b"\0\0\0\0"),
        p_data(b"\0\0\xff\xff\1\3" + _command()),
        p_data(pdv(command_set(element(0x00000100, b"\1\0")), STORAGE, LAST_COMMAND)),
        b"\x09\0\0\0\0\4abcd",
    ],
    ids=[
        "unknown context",
        "data first",
        "no command",
        "PDV of one byte",
        "PDV of nothing",
        "PDV longer than its PDU",
        "command without a Message ID",
        "unknown PDU",
    ],
)
def test_what_breaks_the_protocol_is_aborted(listening: Listening, pdu: bytes) -> None:
    """The answer is A-ABORT, nothing is left, and the next association is served."""
    with Peer(listening.port).associate() as peer:
        _send(peer, [pdu])
        assert peer.read()[0] == 7
    wait_for(lambda: _nothing_left(listening))
    with Peer(listening.port).associate() as peer:
        assert peer.store(SMALL, CT_IMAGE_STORAGE, "1.2.1").status == 0x0000
        peer.release()
    assert _stored(listening) == [SMALL]


def test_the_command_decides_about_the_context(listening: Listening) -> None:
    """A Data Set belongs to the context of its command, not to that of its PDVs."""
    pdu = p_data(pdv(_command(), STORAGE, LAST_COMMAND), pdv(SMALL, ECHO, LAST_DATA))
    with Peer(listening.port).associate(*OFFERS) as peer:
        _send(peer, [pdu])
        answer = peer.answer()
        assert (answer.status, answer.context) == (0x0000, STORAGE)
        _echo(peer, 2)
        peer.release()
    assert _stored(listening) == [SMALL]


def test_a_store_without_a_data_set_is_not_understood(listening: Listening) -> None:
    """A C-STORE that announces no Data Set gets 0xC000, and the association continues."""
    nothing = _command().replace(
        element(0x00000800, b"\0\0"), element(0x00000800, b"\1\1")
    )
    with Peer(listening.port).associate() as peer:
        _send(peer, [p_data(pdv(nothing, STORAGE, LAST_COMMAND))])
        assert peer.answer().status == 0xC000
        _send(peer, [_message(SMALL, 2)])
        answer = peer.answer()
        assert (answer.status, answer.message_id) == (0xA900, 2)
        _send(peer, [_message(SMALL)])
        assert peer.answer().status == 0x0000
        peer.release()


def _echo(peer: Peer, number: int) -> None:
    _send(peer, [p_data(pdv(echo_command(number), ECHO, LAST_COMMAND))])
    answer = peer.answer()
    assert (answer.status, answer.message_id, answer.context) == (0, number, ECHO)


def test_echoes_and_stores_take_turns(listening: Listening) -> None:
    """C-ECHO before, between and after C-STOREs over one association."""
    with Peer(listening.port).associate(*OFFERS) as peer:
        for number in range(1, 8):
            _echo(peer, number)
            _send(peer, [_message(data_set(CT_IMAGE_STORAGE, f"1.2.{number}"), number)])
            assert peer.answer().message_id == number
        _echo(peer, 0xFFFF)
        peer.release()
    assert len(_stored(listening)) == 7


def test_an_echo_behind_a_store_is_answered_after_it(listening: Listening) -> None:
    """C-ECHO and C-STORE in one segment are answered in their order."""
    echo = p_data(pdv(echo_command(7), ECHO, LAST_COMMAND))
    with Peer(listening.port).associate(*OFFERS) as peer:
        _send(peer, [_message(SMALL) + echo + _message(SMALL) + echo])
        assert [peer.answer().message_id for _ in range(4)] == [1, 7, 1, 7]
        peer.release()
    assert _stored(listening) == [SMALL, SMALL]


def _one_of_many(port: int, sender: int) -> None:
    with Peer(port, calling="SCANNER").associate(*OFFERS) as peer:
        for number in range(1, 9):
            uid = f"1.2.{sender}.{number}"
            data = data_set(CT_IMAGE_STORAGE, uid, more=_pixels(number * 1000))
            assert peer.store(data, CT_IMAGE_STORAGE, uid).status == 0x0000
            _echo(peer, number)
        peer.release()


def test_senders_of_one_ae_title_do_not_meet(listening: Listening) -> None:
    """Several associations of one AE title do not mix their messages."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(_one_of_many, [listening.port] * 6, range(6)))
    metas = [read_file_meta(path) for path in listening.received()]
    assert len({meta.sop_instance_uid for meta in metas}) == 48
    assert {meta.provenance.calling_ae_title for meta in metas} == {"SCANNER"}
    assert len({meta.provenance.association_id for meta in metas}) == 6
