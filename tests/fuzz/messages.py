"""DIMSE messages, and the PDVs that carry them (PS3.7 section 6.3, PS3.8 annex E)."""

import struct
from dataclasses import dataclass, field

from tests.fuzz.association import CT, ECHO_CONTEXT, VERIFICATION, pdu

COMMAND_LAST, COMMAND, DATA_LAST, DATA = 3, 1, 2, 0
C_STORE_RQ, C_ECHO_RQ = 0x0001, 0x0030
NO_DATA_SET = 0x0101
# Message ID of the C-ECHO after a case, whose answer shows that the case was read.
FENCE = 0xFEED

Element = tuple[int, bytes]


@dataclass
class Pdv:
    """A presentation data value; `length` replaces its true length."""

    context: int
    header: int
    fragment: bytes
    length: int | None = None

    def encode(self) -> bytes:
        """Return its bytes."""
        length = len(self.fragment) + 2 if self.length is None else self.length
        return struct.pack(">LBB", length, self.context, self.header) + self.fragment


@dataclass
class Message:
    """A message as it is sent, with its known properties."""

    pdvs: list[Pdv] = field(default_factory=list)

    def encode(self) -> bytes:
        """Return a P-DATA-TF PDU for each PDV."""
        return b"".join(pdu(4, pdv.encode()) for pdv in self.pdvs)


def element(tag: int, value: bytes, length: int | None = None) -> bytes:
    """Return an element in Implicit VR Little Endian."""
    length = len(value) if length is None else length
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, length) + value


def message_id(number: int) -> int:
    """Return the Message ID of a case, never that of the fence."""
    return number % FENCE


def store_elements(sop_class: bytes, sop_instance: bytes, number: int) -> list[Element]:
    """Return the elements of a C-STORE-RQ without the group length."""
    return [
        (0x00000002, even(sop_class)),
        (0x00000100, struct.pack("<H", C_STORE_RQ)),
        (0x00000110, struct.pack("<H", message_id(number))),
        (0x00000700, b"\0\0"),
        (0x00000800, b"\0\0"),
        (0x00001000, even(sop_instance)),
    ]


def even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def command(elements: list[Element]) -> bytes:
    """Return a command set with its group length."""
    body = b"".join(element(tag, value) for tag, value in elements)
    return element(0, struct.pack("<L", len(body))) + body


def echo(number: int) -> bytes:
    """Return a C-ECHO-RQ in one PDU."""
    elements = [
        (0x00000002, even(VERIFICATION.encode())),
        (0x00000100, struct.pack("<H", C_ECHO_RQ)),
        (0x00000110, struct.pack("<H", number)),
        (0x00000800, struct.pack("<H", NO_DATA_SET)),
    ]
    return pdu(4, Pdv(ECHO_CONTEXT, COMMAND_LAST, command(elements)).encode())


def store(
    uid: bytes, data: bytes, context: int, number: int, size: int = 16000
) -> Message:
    """Return a valid C-STORE-RQ with its Data Set in fragments of so many bytes."""
    first = Pdv(
        context, COMMAND_LAST, command(store_elements(CT.encode(), uid, number))
    )
    return Message([first, *fragments(data, context, size)])


def fragments(data: bytes, context: int, size: int) -> list[Pdv]:
    """Return the PDVs of a Data Set."""
    starts = range(0, max(1, len(data)), size)
    parts = [Pdv(context, DATA, data[start : start + size]) for start in starts]
    parts[-1].header = DATA_LAST
    return parts
