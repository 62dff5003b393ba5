"""Checks of an A-ASSOCIATE-RQ before its decoding."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import AllStoragePresentationContexts
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ

from services.listener.connections.associate_request import (
    ABORT,
    HEADER,
    LIMIT_EXCEEDED,
    MAX_REQUEST_BYTES,
    BadRequest,
    calling_ae_title,
    check,
    length_of,
)
from tests.integration.listener.wire import CT_IMAGE_STORAGE, associate_request

FIXED = HEADER + 68
OFFER = (CT_IMAGE_STORAGE, ["1.2.840.10008.1.2"])


def item(kind: int, body: bytes = b"", length: int | None = None) -> bytes:
    """Encode an item, with a false length if one is given."""
    return struct.pack(">BBH", kind, 0, len(body) if length is None else length) + body


def request(items: bytes) -> bytes:
    """Encode an A-ASSOCIATE-RQ around items."""
    fixed = associate_request("PEER", "VERITAG")[HEADER:FIXED]
    return struct.pack(">BBL", 1, 0, len(fixed + items)) + fixed + items


def test_what_modalities_ask_for_passes() -> None:
    """The largest valid request, 128 contexts with all transfer syntaxes, passes."""
    syntaxes = [str(uid) for uid in ALL_TRANSFER_SYNTAXES]
    contexts = AllStoragePresentationContexts[:128]
    offers = [(str(context.abstract_syntax), syntaxes) for context in contexts]
    encoded = associate_request("CT1", "VERITAG", *offers)
    assert length_of(encoded) == len(encoded)
    check(encoded)
    assert calling_ae_title(encoded) == "CT1"


HOSTILE = {
    "item beyond the end": item(0x10, b"1.2", length=9),
    "item cut off": item(0x10, b"1.2") + b"\x20\x00",
    "context with a lying item": item(0x20, bytes(4) + item(0x30, b"1.2", length=99)),
    "user item beyond its holder": item(0x50, item(0x51, b"", length=0xFFFF)),
    "129 contexts": item(0x20, bytes(4) + item(0x30, b"1.2")) * 129,
    "many empty contexts": item(0x20) * 10_000,
    "many transfer syntaxes": item(0x20, bytes(4) + item(0x40) * 10_000),
    "many user items": item(0x50, item(0x55) * 10_000),
    "two application contexts": item(0x10, b"1.2") * 2,
    "two user informations": item(0x50) * 2,
    "many unknown items": item(0x99) * 10_000,
}


@pytest.mark.parametrize("items", HOSTILE.values(), ids=HOSTILE)
def test_hostile_items_are_turned_away(items: bytes) -> None:
    """Contradictory lengths and excessive numbers are not decoded."""
    with pytest.raises(BadRequest):
        check(request(items))


@pytest.mark.parametrize(
    "head",
    [
        b"GET / ",
        b"\x16\x03\x01\x02\x00\x01",
        struct.pack(">BBL", 4, 0, 100),
        struct.pack(">BBL", 1, 0, 0xFFFFFFFF),
        struct.pack(">BBL", 1, 0, MAX_REQUEST_BYTES + 1),
        struct.pack(">BBL", 1, 0, 67),
        b"\x02",
    ],
    ids=["http", "tls", "p-data", "4 GiB", "too long", "too short", "first byte"],
)
def test_what_is_no_request_is_known_by_its_header(head: bytes) -> None:
    """A wrong header is refused before more bytes are read."""
    with pytest.raises(BadRequest):
        length_of(head)


@given(st.binary(max_size=300))
def test_any_items_pass_or_are_turned_away(items: bytes) -> None:
    """Any bytes pass or raise BadRequest."""
    try:
        check(request(items))
    except BadRequest:
        return
    # What passes tiles the request exactly.
    position = 0
    while position < len(items):
        position += 4 + struct.unpack_from(">H", items, position + 2)[0]
    assert position == len(items)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_does_no_harm(place: int, value: int) -> None:
    """A valid request with one changed byte passes or raises BadRequest."""
    encoded = bytearray(associate_request("CT1", "VERITAG", OFFER, OFFER))
    encoded[place % len(encoded)] = value
    try:
        length_of(encoded)
        check(encoded)
    except BadRequest:
        return
    assert encoded[0] == 1


def test_the_answers_are_those_of_the_standard() -> None:
    """A-ABORT by the service-user; A-ASSOCIATE-RJ transient, local limit exceeded."""
    abort, rejection = A_ABORT_RQ(), A_ASSOCIATE_RJ()
    abort.decode(ABORT)
    rejection.decode(LIMIT_EXCEEDED)
    assert abort.source == 0
    assert (rejection.result, rejection.source) == (2, 3)
    assert rejection.reason_str == "Local limit exceeded"
