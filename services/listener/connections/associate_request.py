"""Checks of an A-ASSOCIATE-RQ before pynetdicom decodes it (PS3.8 section 9.3.2).

pynetdicom makes objects of every item, so that ten bytes can cost a kilobyte and many
microseconds. The checks count the items and compare their lengths, so that only a request
that an honest requestor can send is decoded.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache

# Lengths in bytes: of the PDU header, and of the fields before the first item.
HEADER = 6
_FIXED = 68
_ASSOCIATE_RQ = 0x01
_APPLICATION_CONTEXT, _PRESENTATION_CONTEXT, _USER_INFORMATION = 0x10, 0x20, 0x50
_ITEM = struct.Struct(">BxH")

# 128 contexts with all transfer syntaxes and their extended negotiation: 400 kB.
MAX_REQUEST_BYTES = 1 << 20
# PS3.8 section 9.3.2.2: odd identifiers from 1 to 255.
MAX_CONTEXTS = 128
# PS3.6 defines about 60 transfer syntaxes.
_MAX_SUB_ITEMS = 128
# A role and an extended negotiation are possible for each SOP Class.
_MAX_USER_ITEMS = 1024
_MAX_CACHED_BYTES = 1 << 16

# A-ABORT as action AA-1 sends it (PS3.8 table 9-9): by the service-user, no reason.
ABORT = bytes.fromhex("07000000000400000000")
# A-ASSOCIATE-RJ: transient, by the service-provider, local limit exceeded.
LIMIT_EXCEEDED = bytes.fromhex("03000000000400020302")


class BadRequest(ValueError):
    """Bytes that are no A-ASSOCIATE-RQ, or one that must not be decoded."""


def length_of(request: bytes | bytearray) -> int:
    """Return the length of the PDU with its header; that of the header until it is there.

    Raises
    ------
    BadRequest
        If the header is that of another PDU, or its length is out of range.
    """
    if request and request[0] != _ASSOCIATE_RQ:
        raise BadRequest("not an A-ASSOCIATE-RQ")
    if len(request) < HEADER:
        return HEADER
    length = int.from_bytes(request[2:HEADER], "big")
    if not _FIXED <= length <= MAX_REQUEST_BYTES:
        raise BadRequest(f"an A-ASSOCIATE-RQ of {length} bytes")
    return HEADER + length


def calling_ae_title(request: bytes | bytearray) -> str:
    """Return the calling AE title, unchecked."""
    return request[HEADER + 20 : HEADER + 36].decode("latin-1").strip(" \0")


def check(request: bytes | bytearray) -> None:
    """Check that numbers and lengths of the items allow decoding.

    Raises
    ------
    BadRequest
        If they do not, with the reason.
    """
    if len(request) <= _MAX_CACHED_BYTES:
        _cached_check(bytes(request))
    else:
        _check(request)


def _check(request: bytes | bytearray) -> None:
    view = memoryview(request)
    types = []
    for item_type, body in _items(view[HEADER + _FIXED :]):
        types.append(item_type)
        if item_type == _PRESENTATION_CONTEXT:
            _require(_count(body[4:]) <= _MAX_SUB_ITEMS, "too many transfer syntaxes")
        elif item_type == _USER_INFORMATION:
            _require(_count(body) <= _MAX_USER_ITEMS, "too many user items")
        _require(len(types) <= MAX_CONTEXTS + 8, "too many items")
    contexts = types.count(_PRESENTATION_CONTEXT)
    _require(contexts <= MAX_CONTEXTS, "too many presentation contexts")
    for item_type in (_APPLICATION_CONTEXT, _USER_INFORMATION):
        _require(
            types.count(item_type) <= 1, "an item of which there is one came twice"
        )


# A modality sends the same bytes each time. Only successes are cached: errors are raised.
_cached_check = lru_cache(maxsize=64)(_check)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise BadRequest(problem)


def _count(items: memoryview) -> int:
    return sum(1 for _ in _items(items))


def _items(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield type and body of each item; the items must fill the view exactly."""
    position = 0
    while position < len(view):
        start = position + _ITEM.size
        _require(start <= len(view), "an item is cut off")
        item_type, length = _ITEM.unpack_from(view, position)
        position = start + length
        _require(position <= len(view), "an item is longer than the one around it")
        yield item_type, view[start:position]
