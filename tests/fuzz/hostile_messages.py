"""Messages with faults in their command sets or PDVs."""

import struct
from random import Random

from tests.fuzz.association import CT, pdu
from tests.fuzz.messages import (
    NO_DATA_SET,
    Element,
    Message,
    Pdv,
    command,
    element,
    even,
    fragments,
    store_elements,
)
from tests.fuzz.mutate import EDGES, HOSTILE_NAMES, changed, edge_near


def hostile_command(rng: Random, uid: bytes, number: int) -> bytes:
    """Return a command set with one or several faults."""
    elements = store_elements(CT.encode(), uid, number)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_COMMAND_HARMS)(rng, elements)
    encoded = command(elements)
    if rng.random() < 0.1:
        encoded = changed(rng, encoded)
    if rng.random() < 0.1:
        encoded = (
            element(0, struct.pack("<L", edge_near(rng, len(encoded), 4)))
            + encoded[12:]
        )
    if rng.random() < 0.05:
        encoded = encoded[12:]
    return encoded


def _pick(rng: Random, elements: list[Element]) -> int:
    return rng.randrange(len(elements)) if elements else 0


def _drop(rng: Random, elements: list[Element]) -> None:
    if elements:
        del elements[_pick(rng, elements)]


def _again(rng: Random, elements: list[Element]) -> None:
    if elements:
        elements.insert(_pick(rng, elements), rng.choice(elements))


def _swap(rng: Random, elements: list[Element]) -> None:
    rng.shuffle(elements)


def _length(rng: Random, elements: list[Element]) -> None:
    """Give a value a length that its VR does not permit."""
    if elements:
        at = _pick(rng, elements)
        size = rng.choice((0, 1, 2, 3, 4, 6, 8, 1000, 70_000))
        elements[at] = elements[at][0], rng.randbytes(size)


def _field(rng: Random, elements: list[Element]) -> None:
    kinds = (0x0000, 0x0001, 0x8001, 0x0010, 0x0020, 0x0021, 0x0030, 0x8030, 0x0FFF,
             0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150, 0xFFFF)  # fmt: skip
    _put(elements, 0x00000100, struct.pack("<H", rng.choice(kinds)))


def _no_data_set(rng: Random, elements: list[Element]) -> None:
    _put(elements, 0x00000800, struct.pack("<H", rng.choice((NO_DATA_SET, 1, 0x102))))


def _uid(rng: Random, elements: list[Element]) -> None:
    tag = rng.choice((0x00000002, 0x00001000, 0x00001000))
    _put(elements, tag, even(rng.choice(HOSTILE_NAMES)))


def _unexpected_element(rng: Random, elements: list[Element]) -> None:
    tags = (0x00000003, 0x00000120, 0x00000600, 0x00000900, 0x00000902, 0x00001005,
            0x00001008, 0x00001030, 0x00001031, 0x00010000, 0x00080018, 0x7FE00010,
            0xFFFEE000, 0xFFFFFFFF)  # fmt: skip
    value = rng.choice((b"", b"\0\0", rng.randbytes(rng.choice(EDGES[:9]))))
    elements.insert(_pick(rng, elements), (rng.choice(tags), value))


def _crowd(rng: Random, elements: list[Element]) -> None:
    count = rng.choice((10, 300, 3000))
    elements += [(0x00001100 + n, b"") for n in range(count)]


def _put(elements: list[Element], tag: int, value: bytes) -> None:
    for at, (present, _) in enumerate(elements):
        if present == tag:
            elements[at] = tag, value


_COMMAND_HARMS = (_drop, _again, _swap, _length, _length, _field, _no_data_set,
                  _uid, _uid, _unexpected_element, _crowd)  # fmt: skip


def hostile_pdvs(rng: Random, message: Message) -> bytes:
    """Return PDUs of a message whose PDVs have one or several faults."""
    pdvs = list(message.pdvs)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_PDV_HARMS)(rng, pdvs)
    pdus = _packed(rng, pdvs)
    if rng.random() < 0.1:
        pdus = changed(rng, pdus)
    if rng.random() < 0.1:
        pdus = _with_unexpected_pdu(rng, pdus)
    return pdus


def _packed(rng: Random, pdvs: list[Pdv]) -> bytes:
    """Return the PDVs in one PDU each, all in one, or in a PDU with a false length."""
    if rng.random() < 0.4:
        body = b"".join(pdv.encode() for pdv in pdvs)
        lies = rng.random() < 0.3
        return pdu(4, body, edge_near(rng, len(body), 4) if lies else None)
    return b"".join(pdu(4, pdv.encode()) for pdv in pdvs)


def _with_unexpected_pdu(rng: Random, data: bytes) -> bytes:
    """Insert a misplaced PDU, or one of an unknown type."""
    kind = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 0x55, 0xFF))
    body = rng.randbytes(rng.choice((0, 4, 4, 68, 200)))
    at = rng.choice((0, len(data)))
    return data[:at] + pdu(kind, body) + data[at:]


def _one(rng: Random, pdvs: list[Pdv]) -> Pdv:
    return rng.choice(pdvs) if pdvs else Pdv(1, 0, b"")


def _pdv_length(rng: Random, pdvs: list[Pdv]) -> None:
    pdv = _one(rng, pdvs)
    pdv.length = edge_near(rng, len(pdv.fragment) + 2, 4)


def _context(rng: Random, pdvs: list[Pdv]) -> None:
    _one(rng, pdvs).context = rng.choice((0, 2, 3, 5, 7, 9, 11, 13, 254, 255))


def _header(rng: Random, pdvs: list[Pdv]) -> None:
    _one(rng, pdvs).header = rng.choice((0, 1, 2, 3, 4, 0x80, 0xFF, 0xFC))


def _empty(rng: Random, pdvs: list[Pdv]) -> None:
    at = rng.randrange(len(pdvs) + 1)
    pdvs[at:at] = [Pdv(1, rng.choice((0, 1, 2, 3)), b"")] * rng.choice((1, 1, 50))


def _shuffle(rng: Random, pdvs: list[Pdv]) -> None:
    rng.shuffle(pdvs)


def _command_again(rng: Random, pdvs: list[Pdv]) -> None:
    pdvs.insert(rng.randrange(len(pdvs) + 1), _one(rng, pdvs))


def _less(rng: Random, pdvs: list[Pdv]) -> None:
    if pdvs:
        del pdvs[rng.randrange(len(pdvs))]


def _crumbs(rng: Random, pdvs: list[Pdv]) -> None:
    """Split a PDV into pieces of a few bytes."""
    if not pdvs:
        return
    at, size = rng.randrange(len(pdvs)), rng.choice((1, 2, 7, 64))
    pdv = pdvs[at]
    parts = fragments(pdv.fragment[:600], pdv.context, size)
    for part in parts:
        part.header = pdv.header & ~2 & 0xFF
    parts[-1].header = pdv.header
    pdvs[at : at + 1] = parts


_PDV_HARMS = (_pdv_length, _context, _header, _empty, _shuffle, _command_again, _less,
              _crumbs, _crumbs)  # fmt: skip
