"""Valid and invalid encoded Data Sets (PS3.5 section 7)."""

import struct
import zlib
from random import Random

from tests.fuzz.association import BIG, CT, DEFLATED, IMPLICIT
from tests.fuzz.mutate import EDGES, HOSTILE_NAMES, WIDE_EDGES, changed, edge_near

UNDEFINED = 0xFFFFFFFF
_LONG = (b"OB", b"OW", b"SQ", b"UN", b"UT")
Element = tuple[int, bytes, bytes]


class Encoder:
    """An encoder of elements for a transfer syntax."""

    def __init__(self, syntax: str) -> None:
        self.implicit = syntax == IMPLICIT
        self.order = ">" if syntax == BIG else "<"

    def element(
        self, tag: int, vr: bytes, value: bytes, length: int | None = None
    ) -> bytes:
        """Return an element; `length` replaces its true length."""
        length = len(value) if length is None else length
        head = struct.pack(f"{self.order}HH", tag >> 16, tag & 0xFFFF)
        if self.implicit or tag >> 16 == 0xFFFE:
            return head + struct.pack(f"{self.order}L", length & UNDEFINED) + value
        if vr in _LONG:
            return (
                head
                + struct.pack(f"{self.order}2sHL", vr, 0, length & UNDEFINED)
                + value
            )
        return head + struct.pack(f"{self.order}2sH", vr, length & 0xFFFF) + value

    def nested(self, depth: int, *, ends: bool) -> bytes:
        """Return sequences of undefined length within one another."""
        start = self.element(0x00081115, b"SQ", b"", UNDEFINED)
        start += self.element(0xFFFEE000, b"", b"", UNDEFINED)
        stop = self.element(0xFFFEE00D, b"", b"") + self.element(0xFFFEE0DD, b"", b"")
        return start * depth + (stop * depth if ends else b"")


def identity(uid: bytes, mark: bytes = b"") -> list[Element]:
    """Return the elements of every instance; the Study ID has a mark."""
    return [
        (0x00080016, b"UI", CT.encode() + b"\0"),
        (0x00080018, b"UI", uid + b"\0" * (len(uid) % 2)),
        (0x00080060, b"CS", b"CT"),
        (0x0020000D, b"UI", b"1.2.3\0"),
        (0x0020000E, b"UI", b"1.2.3.4\0"),
        (0x00200010, b"SH", mark + b" " * (len(mark) % 2)),
        (0x00280010, b"US", b"\2\0"),
        (0x00280011, b"US", b"\2\0"),
        (0x7FE00010, b"OW", b"\1\0\2\0\3\0\4\0"),
    ]


def encode(elements: list[Element], syntax: str) -> bytes:
    """Return a Data Set, deflated if the transfer syntax requires it."""
    encoder = Encoder(syntax)
    encoded = b"".join(encoder.element(*one) for one in elements)
    return deflate(encoded) if syntax == DEFLATED else encoded


def deflate(data: bytes) -> bytes:
    """Deflate data by PS3.5 section A.5."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def hostile_data_set(rng: Random, uid: bytes, syntax: str) -> bytes:
    """Return a Data Set with one or several faults, or an unusual valid one."""
    encoder, elements = Encoder(syntax), identity(uid)
    parts = [encoder.element(*one) for one in elements]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_HARMS)(rng, encoder, parts)
    encoded = b"".join(parts)
    if rng.random() < 0.2:
        encoded = changed(rng, encoded)
    if syntax == DEFLATED:
        encoded = _hostile_stream(rng, encoded)
    return encoded


def _hostile_stream(rng: Random, data: bytes) -> bytes:
    """Return a deflated stream: valid, damaged, truncated, none, or a small bomb."""
    dice = rng.random()
    if dice < 0.05:
        data += bytes(rng.choice((1 << 20, 1 << 23)))
    elif dice < 0.1:
        data = bytes(1 << 20) + data
    packed = deflate(data)
    if dice > 0.7:
        packed = changed(rng, packed)
    if dice > 0.9:
        packed = rng.randbytes(rng.choice(EDGES[:12]))
    return packed


def _other_uid(rng: Random, encoder: Encoder, parts: list[bytes]) -> None:
    tag = rng.choice((0x00080016, 0x00080018, 0x00080018, 0x0020000D, 0x0020000E))
    name = rng.choice((*HOSTILE_NAMES, b"1.2.3.999 "))
    parts[rng.randrange(len(parts))] = encoder.element(tag, b"UI", name)


def _drop(rng: Random, _encoder: Encoder, parts: list[bytes]) -> None:
    if len(parts) > 1:
        del parts[rng.randrange(len(parts))]


def _again(rng: Random, _encoder: Encoder, parts: list[bytes]) -> None:
    parts.insert(rng.randrange(len(parts)), rng.choice(parts))


def _shuffle(rng: Random, _encoder: Encoder, parts: list[bytes]) -> None:
    rng.shuffle(parts)


def _lie(rng: Random, encoder: Encoder, parts: list[bytes]) -> None:
    tag = rng.choice((0x00080016, 0x00080018, 0x00080060, 0x00081115, 0x00091001))
    vr = rng.choice((b"UI", b"CS", b"SQ", b"UN", b"OB", b"\0\0", b"ZZ"))
    length = rng.choice((*WIDE_EDGES, edge_near(rng, 6, 4)))
    parts[rng.randrange(len(parts))] = encoder.element(tag, vr, b"1.2.3\0", length)


def _nest(rng: Random, encoder: Encoder, parts: list[bytes]) -> None:
    depth = rng.choice((1, 5, 100, 100, 3000, 10_000 if rng.random() < 0.1 else 2))
    ends = rng.random() < 0.6
    parts.insert(rng.randrange(len(parts)), encoder.nested(depth, ends=ends))


def _crowd(rng: Random, encoder: Encoder, parts: list[bytes]) -> None:
    """Put hundreds of empty elements or items before the UIDs, or after them."""
    count = rng.choice((100, 1000, 10_000 if rng.random() < 0.1 else 10))
    tag = rng.choice((0x00080001, 0x00090010, 0x00080018, 0xFFFEE000, 0xFFFEE0DD))
    parts.insert(rng.randrange(len(parts)), encoder.element(tag, b"LO", b"") * count)


def _foreign(rng: Random, _encoder: Encoder, parts: list[bytes]) -> None:
    """Put misplaced parts in front: a preamble, file meta, a command."""
    front = (
        bytes(128) + b"DICM",
        Encoder("").element(0x00020010, b"UI", b"1.2.840.10008.1.2"),
        Encoder(IMPLICIT).element(0x00000002, b"UI", b"1.2"),
        b"<html>",
        rng.randbytes(64),
    )
    parts.insert(0, rng.choice(front))


def _cut(rng: Random, _encoder: Encoder, parts: list[bytes]) -> None:
    stream = b"".join(parts)
    parts[:] = [stream[: rng.randrange(len(stream) + 1)]]


def _other_encoding(rng: Random, _encoder: Encoder, parts: list[bytes]) -> None:
    other = Encoder(rng.choice((IMPLICIT, BIG, "")))
    parts[0] = other.element(*identity(b"1.2")[0])


def _fragments(rng: Random, encoder: Encoder, parts: list[bytes]) -> None:
    """Append encapsulated Pixel Data with a false offset table (PS3.5 section A.4)."""
    table = rng.randbytes(4 * rng.choice((0, 1, 100)))
    items = [encoder.element(0xFFFEE000, b"", table)]
    count = rng.choice((1, 20, 1000))
    items += [
        encoder.element(0xFFFEE000, b"", rng.randbytes(rng.choice((0, 2))))
    ] * count
    parts.append(encoder.element(0x7FE00010, b"OB", b"".join(items), UNDEFINED))


_HARMS = (_other_uid, _other_uid, _drop, _again, _shuffle, _lie, _lie, _nest, _crowd,
          _foreign, _cut, _other_encoding, _fragments)  # fmt: skip
