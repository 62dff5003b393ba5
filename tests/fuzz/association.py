"""Valid and invalid association requests (PS3.8 section 9.3.2)."""

import struct
from dataclasses import dataclass
from random import Random

from tests.fuzz.mutate import EDGES, HOSTILE_NAMES, changed, edge_near

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG = "1.2.840.10008.1.2.4.50"
APPLICATION = b"1.2.840.10008.3.1.1.1"

# Presentation context ids of the association that cases are sent on.
CONTEXTS = {1: IMPLICIT, 3: EXPLICIT, 5: BIG, 7: DEFLATED, 9: JPEG}
ECHO_CONTEXT = 11


@dataclass
class Item:
    """An item of a PDU; `length` replaces its true length."""

    kind: int
    body: "bytes | list[Item]"
    prefix: bytes = b""
    length: int | None = None

    def encode(self) -> bytes:
        """Return its bytes."""
        inner = self.body if isinstance(self.body, bytes) else encode_all(self.body)
        value = self.prefix + inner
        length = len(value) if self.length is None else self.length
        return struct.pack(">BBH", self.kind, 0, length & 0xFFFF) + value


def encode_all(items: list[Item]) -> bytes:
    """Return the bytes of items one after the other."""
    return b"".join(item.encode() for item in items)


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Return a PDU; `length` replaces its true length."""
    return struct.pack(">BBL", kind, 0, len(body) if length is None else length) + body


def context(number: int, abstract: bytes, *syntaxes: bytes) -> Item:
    """Return a proposed presentation context."""
    names = [Item(0x40, syntax) for syntax in syntaxes]
    return Item(0x20, [Item(0x30, abstract), *names], bytes([number & 0xFF, 0, 0, 0]))


def plain_items() -> list[Item]:
    """Return the items of the association over which cases are sent."""
    stores = [
        context(number, CT.encode(), syntax.encode())
        for number, syntax in CONTEXTS.items()
    ]
    user = [Item(0x51, struct.pack(">L", 16384)), Item(0x52, b"1.2.3.4")]
    return [
        Item(0x10, APPLICATION),
        *stores,
        context(ECHO_CONTEXT, VERIFICATION.encode(), IMPLICIT.encode()),
        Item(0x50, user),
    ]


def request(
    items: list[Item],
    called: bytes = b"VERITAG",
    calling: bytes = b"FUZZ",
    version: int = 1,
) -> bytes:
    """Return an A-ASSOCIATE-RQ."""
    names = struct.pack(">16s16s32x", called.ljust(16), calling.ljust(16))
    return pdu(1, struct.pack(">HH", version, 0) + names + encode_all(items))


def hostile_request(rng: Random) -> bytes:
    """Return an A-ASSOCIATE-RQ with one or several faults."""
    items = plain_items()
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(_HARMS)(rng, items)
    names = [rng.choice(HOSTILE_NAMES)[:16] for _ in range(2)]
    if rng.random() < 0.6:
        names = [b"VERITAG", b"FUZZ"]
    version = rng.choice((1, 1, 1, 0, 2, 0xFFFF))
    encoded = request(items, names[0], names[1], version)
    if rng.random() < 0.2:
        encoded = changed(rng, encoded)
    if rng.random() < 0.15:
        encoded = pdu(1, encoded[6:], edge_near(rng, len(encoded) - 6, 4))
    return encoded


def _any(rng: Random, items: list[Item]) -> Item:
    """Return an item of any depth."""
    chosen = rng.choice(items) if items else Item(0x10, b"")
    while isinstance(chosen.body, list) and chosen.body and rng.random() < 0.6:
        chosen = rng.choice(chosen.body)
    return chosen


def _lie(rng: Random, items: list[Item]) -> None:
    item = _any(rng, items)
    item.length = edge_near(rng, len(item.encode()) - 4, 2)


def _drop(rng: Random, items: list[Item]) -> None:
    if items:
        del items[rng.randrange(len(items))]


def _again(rng: Random, items: list[Item]) -> None:
    if items:
        items.insert(rng.randrange(len(items)), rng.choice(items))


def _shuffle(rng: Random, items: list[Item]) -> None:
    rng.shuffle(items)


def _kind(rng: Random, items: list[Item]) -> None:
    _any(rng, items).kind = rng.choice((0, 1, 0x10, 0x20, 0x21, 0x40, 0x50, 0x58, 0xFF))


def _value(rng: Random, items: list[Item]) -> None:
    item = _any(rng, items)
    if isinstance(item.body, bytes):
        item.body = rng.choice((*HOSTILE_NAMES, changed(rng, item.body)))


def _id(rng: Random, items: list[Item]) -> None:
    _any(rng, items).prefix = rng.randbytes(rng.choice((0, 1, 3, 4, 4, 5)))


def _crowd(rng: Random, items: list[Item]) -> None:
    """Return hundreds of contexts, some with equal ids, or of transfer syntaxes."""
    many = rng.choice((100, 128, 300))
    if rng.random() < 0.5:
        items[1:1] = [context(2 * n + 1, CT.encode(), b"1.2.3") for n in range(many)]
    else:
        items.insert(1, context(1, CT.encode(), *[IMPLICIT.encode()] * many))


def _user(rng: Random, items: list[Item]) -> None:
    """Return user information of all kinds (PS3.7 annex D.3.3), with false lengths."""
    users = [item for item in items if item.kind == 0x50]
    kind = rng.choice((0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x60))
    size = rng.choice(EDGES[:9])
    inner = struct.pack(">H", rng.choice(EDGES)) + rng.randbytes(size)
    for user in users[:1]:
        if isinstance(user.body, list):
            user.body.insert(rng.randrange(len(user.body) + 1), Item(kind, inner))


_HARMS = (_lie, _lie, _drop, _again, _shuffle, _kind, _value, _value, _id, _crowd,
          _user, _user)  # fmt: skip
