"""A connection whose every PDU is checked as it is read."""

import contextlib
import socket
import struct
import time

# A connection that we have closed for writing must end within this.
HANG_SECONDS = 30.0

SUCCESS, C_STORE_RSP, C_ECHO_RSP = 0x0000, 0x8001, 0x8030
A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA, A_RELEASE_RP, A_ABORT = 2, 3, 4, 6, 7
STORE_STATUSES = {0x0000, 0xA700, 0xA900, 0xC000, 0x0122, 0x0124}


class Violation(Exception):
    """An answer that the listener must not send, or a missing one."""


class Connection:
    """A connection whose every PDU is checked as it is read."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=HANG_SECONDS
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self.cases = 0

    def send(self, data: bytes) -> bool:
        """Send; return whether the peer still takes it."""
        self.socket.settimeout(HANG_SECONDS)
        try:
            self.socket.sendall(data)
        except (ConnectionError, TimeoutError):
            return False
        return True

    def read(self, seconds: float) -> tuple[int, bytes] | None:
        """Return kind and body of the next PDU; (0, b"") at the end, None if quiet.

        Raises
        ------
        Violation
            If it is no PDU that a Storage SCP sends.
        """
        deadline = time.monotonic() + seconds
        while (pdu := self._take()) is None:
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                return None
            self.socket.settimeout(seconds)
            try:
                more = self.socket.recv(1 << 16)
            except TimeoutError:
                return None
            except ConnectionError:
                return 0, b"reset"
            if not more:
                if self._buffer:
                    raise Violation(f"the last PDU ends early: {self._buffer[:40]!r}")
                return 0, b""
            self._buffer += more
        return pdu

    def _take(self) -> tuple[int, bytes] | None:
        if len(self._buffer) < 6:
            return None
        kind, length = struct.unpack_from(">BxL", self._buffer)
        if kind not in (2, 3, 4, 6, 7) or length > 1 << 17:
            raise Violation(f"no PDU of a Storage SCP: {bytes(self._buffer[:40])!r}")
        if len(self._buffer) < 6 + length:
            return None
        body = bytes(self._buffer[6 : 6 + length])
        del self._buffer[: 6 + length]
        if kind in (3, 6, 7) and length != 4:
            raise Violation(f"PDU type {kind} of {length} bytes")
        return kind, body

    def drain(self) -> tuple[list[int], str]:
        """Close our half and read to the end; return statuses, and how it ended.

        Raises
        ------
        Violation
            If the listener does not end the connection in time.
        """
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        statuses: list[int] = []
        end = "closed"
        while True:
            pdu = self.read(HANG_SECONDS)
            if pdu is None:
                raise Violation(f"open {HANG_SECONDS:.0f} s after our end was closed")
            kind, body = pdu
            if kind == 0:
                self.socket.close()
                return statuses, "reset" if body else end
            if kind == P_DATA:
                statuses += [s for f, _, s in responses(body) if f == C_STORE_RSP]
            end = {3: "rejected", 6: "released", 7: "aborted"}.get(kind, end)


def responses(body: bytes) -> list[tuple[int, int, int]]:
    """Return command field, message id and status of each response in a P-DATA-TF.

    Raises
    ------
    Violation
        If it is anything but whole, right responses (PS3.7 section 9.3).
    """
    dimse = []
    while body:
        if len(body) < 6:
            raise Violation(f"a PDV ends early: {body!r}")
        length, _, header = struct.unpack_from(">LBB", body)
        if header != 3 or len(body) < 4 + length:
            raise Violation(f"no whole command in a PDV: {body[:80]!r}")
        dimse.append(_response(body[6 : 4 + length]))
        body = body[4 + length :]
    return dimse


def _response(command: bytes) -> tuple[int, int, int]:
    elements, at, last = {}, 0, -1
    while at < len(command):
        group, number, length = struct.unpack_from("<HHL", command, at)
        tag = group << 16 | number
        if tag <= last or length % 2 or at + 8 + length > len(command):
            raise Violation(f"a command set that is wrong: {command!r}")
        elements[tag], at, last = (
            command[at + 8 : at + 8 + length],
            at + 8 + length,
            tag,
        )
    try:
        if struct.unpack("<L", elements[0])[0] != len(command) - 12:
            raise Violation(f"a wrong group length: {command!r}")
        field_, number, status, kind = (
            struct.unpack("<H", elements[tag])[0]
            for tag in (0x100, 0x120, 0x900, 0x800)
        )
    except (KeyError, struct.error) as error:
        raise Violation(f"a response that lacks something: {command!r}") from error
    if kind != 0x0101 or field_ not in (C_STORE_RSP, C_ECHO_RSP):
        raise Violation(f"an answer to nothing that we sent: {command!r}")
    if field_ == C_STORE_RSP and status not in STORE_STATUSES:
        raise Violation(f"status 0x{status:04X}")
    return field_, number, status
