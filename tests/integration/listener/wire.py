"""A Storage SCU on the level of bytes, which can also violate the protocol.

PS3.8 section 9.3 for the PDUs, PS3.7 section 6.3 for the command set.
"""

import socket
import struct
from dataclasses import dataclass, field
from typing import Self

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"

_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
Offer = tuple[str, list[str]]


def element(tag: int, value: bytes) -> bytes:
    """Encode an element in Implicit VR Little Endian."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def data_set(sop_class: str, sop_instance: str, *, more: bytes = b"") -> bytes:
    """Encode a minimal Data Set with its UIDs, in Implicit VR Little Endian."""
    return (
        element(0x00080016, sop_class.encode("latin-1"))
        + element(0x00080018, sop_instance.encode("latin-1"))
        + element(0x0020000D, b"1.2.3")
        + element(0x0020000E, b"1.2.3.4")
        + more
    )


def store_command(
    sop_class: str,
    sop_instance: str,
    *,
    message_id: int = 1,
    more: bytes = element(0x00000700, b"\0\0"),
) -> bytes:
    """Encode the command set of a C-STORE-RQ; `more` holds the Priority."""
    return command_set(
        element(0x00000002, sop_class.encode("latin-1"))
        + element(0x00000100, b"\1\0")
        + element(0x00000110, struct.pack("<H", message_id))
        + more
        + element(0x00000800, b"\0\0")
        + element(0x00001000, sop_instance.encode("latin-1"))
    )


def echo_command(message_id: int = 1) -> bytes:
    """Encode the command set of a C-ECHO-RQ (PS3.7 section 9.3.5.1)."""
    return command_set(
        element(0x00000002, VERIFICATION.encode())
        + element(0x00000100, b"\x30\0")
        + element(0x00000110, struct.pack("<H", message_id))
        + element(0x00000800, b"\1\1")
    )


def command_set(elements: bytes) -> bytes:
    """Put Command Group Length (0000,0000) before the elements of a command."""
    return element(0, struct.pack("<L", len(elements))) + elements


def pdv(fragment: bytes, context: int, header: int) -> bytes:
    """Encode a Presentation Data Value; PS3.8 section E.2 for the header."""
    return struct.pack(">LBB", len(fragment) + 2, context, header) + fragment


def p_data(*values: bytes) -> bytes:
    """Encode a P-DATA-TF PDU of several Presentation Data Values."""
    return _pdu(4, b"".join(values))


RELEASE_RQ = struct.pack(">BBL4x", 5, 0, 4)
ABORT = struct.pack(">BBL4x", 7, 0, 4)


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def _pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBL", kind, 0, len(body)) + body


def associate_request(calling: str, called: str, *offers: Offer) -> bytes:
    """Encode an A-ASSOCIATE-RQ; context ids are 1, 3, 5 and so on."""
    contexts = b"".join(
        _item(
            0x20,
            bytes([2 * i + 1, 0, 0, 0])
            + _item(0x30, sop_class.encode())
            + b"".join(_item(0x40, t.encode()) for t in syntaxes),
        )
        for i, (sop_class, syntaxes) in enumerate(offers)
    )
    user = _item(0x51, struct.pack(">L", 16384)) + _item(0x52, b"1.2.3.4")
    titles = (title.encode("latin-1").ljust(16) for title in (called, calling))
    body = struct.pack(">HH16s16s32x", 1, 0, *titles)
    body += _item(0x10, _APPLICATION_CONTEXT) + contexts + _item(0x50, user)
    return _pdu(1, body)


@dataclass
class Rejected(Exception):
    """An A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    result: int
    source: int
    reason: int


@dataclass
class Answer:
    """The elements of a C-STORE-RSP or a C-ECHO-RSP."""

    status: int
    comment: str
    message_id: int = 0
    context: int = 0


@dataclass
class Peer:
    """One connection."""

    port: int
    calling: str = "PEER"
    called: str = "VERITAG"
    accepted: dict[int, str] = field(default_factory=dict)
    max_pdu: int = 0

    def __post_init__(self) -> None:
        """Connect."""
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def associate(self, *offers: Offer) -> Self:
        """Request an association; context ids are 1, 3, 5 and so on."""
        offers = offers or ((CT_IMAGE_STORAGE, [IMPLICIT]),)
        try:
            self._request(*offers)
        except BaseException:
            self.socket.close()
            raise
        return self

    def _request(self, *offers: Offer) -> None:
        self.socket.sendall(associate_request(self.calling, self.called, *offers))
        kind, answer = self.read()
        if kind == 3:
            raise Rejected(*answer[1:4])
        assert kind == 2, f"PDU type {kind} answers the request"
        self._note(answer[68:])

    def _note(self, items: bytes) -> None:
        while items:
            kind, length = struct.unpack_from(">BxH", items)
            body, items = items[4 : 4 + length], items[4 + length :]
            if kind == 0x21 and body[2] == 0:
                self.accepted[body[0]] = body[8:].decode()
            if kind == 0x50:
                self.max_pdu = struct.unpack_from(">4xL", body)[0]

    def store(
        self, data: bytes, sop_class: str, sop_instance: str, *, context: int = 1
    ) -> Answer:
        """Send an instance and wait for the response."""
        self.send_command(sop_class, sop_instance, context)
        self.send_data(data, context, last=True)
        return self.answer()

    def send_command(
        self,
        sop_class: str,
        sop_instance: str,
        context: int = 1,
        more: bytes = element(0x00000700, b"\0\0"),
    ) -> None:
        """Send a C-STORE-RQ without its Data Set; `more` holds the Priority."""
        self.send_pdv(store_command(sop_class, sop_instance, more=more), context, 3)

    def send_data(self, data: bytes, context: int = 1, *, last: bool) -> None:
        """Send fragments of a Data Set."""
        for start in range(0, max(1, len(data)), 16000):
            fragment = data[start : start + 16000]
            end = last and start + 16000 >= len(data)
            self.send_pdv(fragment, context, 2 if end else 0)

    def send_pdv(self, fragment: bytes, context: int, header: int) -> None:
        """Send one fragment; PS3.8 section E.2 for the header."""
        self.socket.sendall(p_data(pdv(fragment, context, header)))

    def answer(self) -> Answer:
        """Wait for a C-STORE-RSP or a C-ECHO-RSP."""
        kind, body = self.read()
        assert kind == 4, f"PDU type {kind} answers the message"
        command, elements = body[6:], {}
        while command:
            group, number, length = struct.unpack_from("<HHL", command)
            elements[group << 16 | number] = command[8 : 8 + length]
            command = command[8 + length :]
        status = struct.unpack("<H", elements[0x00000900])[0]
        comment = elements.get(0x00000902, b"").decode().strip()
        message_id = struct.unpack("<H", elements[0x00000120])[0]
        return Answer(status, comment, message_id, body[4])

    def release(self) -> None:
        """End the association."""
        self.socket.sendall(RELEASE_RQ)
        assert self.read()[0] == 6

    def read(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU; type 0 when the peer has closed."""
        head = self._read(6)
        if len(head) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxL", head)
        return kind, self._read(length)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                more = self.socket.recv(size - len(data))
            except ConnectionResetError:
                break
            if not more:
                break
            data += more
        return data
