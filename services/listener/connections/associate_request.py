"""The A-ASSOCIATE-RQ before anybody decodes it (PS3.8 section 9.3.2).

pynetdicom makes objects of every item that it finds, ten bytes of which can so cost a
kilobyte and many microseconds. Here the items are only counted and their lengths
compared, so that what is decoded is what an honest requestor can send.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache

# Lengths in bytes: of the PDU header, and of what stands before the first item.
HEADER = 6
_FIXED = 68
_ASSOCIATE_RQ = 0x01
_APPLICATION_CONTEXT, _PRESENTATION_CONTEXT, _USER_INFORMATION = 0x10, 0x20, 0x50
_ITEM = struct.Struct(">BxH")

# 128 contexts with all transfer syntaxes and their extended negotiation: 400 kB.
LONGEST = 1 << 20
# PS3.8 section 9.3.2.2: odd identifiers from 1 to 255.
MOST_CONTEXTS = 128
# PS3.6 defines about 60 transfer syntaxes.
_MOST_SUB_ITEMS = 128
# Roles and extended negotiation may come for each SOP Class.
_MOST_USER_ITEMS = 1024
_MOST_REMEMBERED = 1 << 16

# A-ABORT as action AA-1 sends it (PS3.8 table 9-9): by the service-user, no reason.
ABORT = bytes.fromhex("07000000000400000000")
# A-ASSOCIATE-RJ: transient, by the service-provider, local limit exceeded.
LIMIT_EXCEEDED = bytes.fromhex("03000000000400020302")


class BadRequest(ValueError):
    """Not an A-ASSOCIATE-RQ, or none that is decoded."""


def length_of(request: bytes | bytearray) -> int:
    """Return how long the PDU is with its header, once that is known.

    Raises
    ------
    BadRequest
        If the header is that of something else, or of something too long.
    """
    if request and request[0] != _ASSOCIATE_RQ:
        raise BadRequest("not an A-ASSOCIATE-RQ")
    if len(request) < HEADER:
        return HEADER
    length = int.from_bytes(request[2:HEADER], "big")
    if not _FIXED <= length <= LONGEST:
        raise BadRequest(f"an A-ASSOCIATE-RQ of {length} bytes")
    return HEADER + length


def caller(request: bytes | bytearray) -> str:
    """Return the calling AE title as it stands there."""
    return request[HEADER + 20 : HEADER + 36].decode("latin-1").strip(" \0")


def check(request: bytes | bytearray) -> None:
    """Look whether items and lengths are such as can be decoded.

    Raises
    ------
    BadRequest
        If they are not, and why.
    """
    if len(request) <= _MOST_REMEMBERED:
        _check_once(bytes(request))
    else:
        _check(request)


def _check(request: bytes | bytearray) -> None:
    view = memoryview(request)
    kinds = []
    for kind, body in _items(view[HEADER + _FIXED :]):
        kinds.append(kind)
        if kind == _PRESENTATION_CONTEXT:
            _require(_count(body[4:]) <= _MOST_SUB_ITEMS, "too many transfer syntaxes")
        elif kind == _USER_INFORMATION:
            _require(_count(body) <= _MOST_USER_ITEMS, "too many user items")
        _require(len(kinds) <= MOST_CONTEXTS + 8, "too many items")
    contexts = kinds.count(_PRESENTATION_CONTEXT)
    _require(contexts <= MOST_CONTEXTS, "too many presentation contexts")
    for kind in (_APPLICATION_CONTEXT, _USER_INFORMATION):
        _require(kinds.count(kind) <= 1, "an item that may come once came again")


# A modality asks with the same bytes each time.
_check_once = lru_cache(maxsize=64)(_check)


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise BadRequest(otherwise)


def _count(items: memoryview) -> int:
    return sum(1 for _ in _items(items))


def _items(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Walk items that stand one after the other, and nothing after the last."""
    position = 0
    while position < len(view):
        start = position + _ITEM.size
        _require(start <= len(view), "an item is cut off")
        kind, length = _ITEM.unpack_from(view, position)
        position = start + length
        _require(position <= len(view), "an item reaches beyond what holds it")
        yield kind, view[start:position]
