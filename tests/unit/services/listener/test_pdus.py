"""PDUs in one buffer: complete, in pieces, valid and invalid."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.listener.fast.pdus import BadPdu, PduBuffer, p_data, split


def _received(sent: bytes, limit: int, pieces: list[int]) -> list[bytes]:
    """Send in pieces of these sizes; return the PDUs that the buffer returns."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        buffer, taken_pdus, position = PduBuffer(limit), [], 0
        for size in [*pieces, len(sent)]:
            piece = sent[position : position + size]
            position += len(piece)
            if piece:
                theirs.sendall(piece)
                assert buffer.fill(ours)
            while (pdu := buffer.take()) is not None:
                taken_pdus.append(bytes(pdu))
        assert buffer.is_empty
    return taken_pdus


@given(
    st.lists(st.binary(min_size=1, max_size=64), min_size=1, max_size=6),
    st.lists(st.integers(1, 40), max_size=30),
)
def test_however_the_bytes_are_cut_the_same_pdus_come(
    values: list[bytes], pieces: list[int]
) -> None:
    """The PDUs do not depend on the segments."""
    sent = b"".join(p_data(1, 2, value) for value in values)
    pdus = _received(sent, 70, pieces)
    assert [bytes(f) for pdu in pdus for _, _, f in split(memoryview(pdu))] == values


def test_a_long_pdu_is_refused_before_it_is_there() -> None:
    """A header of six bytes suffices to refuse a long PDU."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack(">BBL", 4, 0, 0xFFFFFFFF))
        buffer = PduBuffer(4096)
        assert buffer.fill(ours)
        with pytest.raises(BadPdu):
            buffer.take()


@given(st.binary(max_size=64))
def test_pdvs_add_up_or_are_refused(pdu: bytes) -> None:
    """The fragments of a PDU fill it, or BadPdu is raised."""
    try:
        pdvs = split(memoryview(pdu))
    except BadPdu:
        return
    assert sum(len(fragment) + 6 for _, _, fragment in pdvs) == len(pdu)


@given(st.binary(max_size=300), st.integers(7, 64))
def test_an_answer_is_cut_to_what_the_peer_takes(value: bytes, limit: int) -> None:
    """No PDU is longer than the limit, and only the last PDV has the flag."""
    sent, pdvs = p_data(3, 0x03, value, limit), []
    while sent:
        length = int.from_bytes(sent[2:6], "big")
        assert length <= limit
        pdvs += split(memoryview(sent)[6 : 6 + length])
        sent = sent[6 + length :]
    assert b"".join(bytes(fragment) for _, _, fragment in pdvs) == value
    assert [control for _, control, _ in pdvs] == [0x01] * (len(pdvs) - 1) + [0x03]
