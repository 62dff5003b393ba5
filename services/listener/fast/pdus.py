"""PDUs in one reusable buffer (PS3.8 section 9.3), without copies.

A PDU is read only when it is complete, and only up to the announced maximum length.
"""

import socket
import struct
from collections.abc import Iterator

A_ASSOCIATE_RQ, P_DATA_TF = 0x01, 0x04
HEADER = 6
_PDV_HEADER = struct.Struct(">LBB")
_PDU_HEADER = struct.Struct(">BBL")
# Presentation context ID and message control header, part of the length of a PDV.
_MIN_PDV_LENGTH = 2
# Space for the beginning of the next PDU.
_READ_AHEAD = 1 << 16


class BadPdu(ValueError):
    """A PDU with contradictory lengths, or one that is too long or too late."""


class PduBuffer:
    """Received bytes that are not used yet.

    Parameters
    ----------
    limit
        Longest PDU in bytes, without its header (PS3.8 section D.1.1).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    @property
    def is_empty(self) -> bool:
        """Whether all received bytes are used."""
        return self._start == self._end

    def fill(self, connection: socket.socket, *, whole: bool = False) -> bool:
        """Wait for more bytes and read those that are there; return False at the end.

        Views that `take` has returned are no longer valid.

        Parameters
        ----------
        whole
            Let one system call wait for the rest of a PDU that has begun; for blocking
            sockets only.

        Raises
        ------
        OSError
            If the connection is lost, or its timeout passes.
        """
        if not self._buffer:  # an association without messages takes no memory
            self._buffer = bytearray(HEADER + self._limit + _READ_AHEAD)
            self._view = memoryview(self._buffer)
        if self._start:
            unused = self._view[self._start : self._end]
            self._view[: len(unused)] = unused
            self._start, self._end = 0, len(unused)
        missing = self._missing() if whole else 0
        free = self._view[self._end :]
        if missing:
            count = connection.recv_into(free, missing, socket.MSG_WAITALL)
        else:
            count = connection.recv_into(free)
        self._end += count
        return count > 0

    def _missing(self) -> int:
        """Return the missing bytes of a PDU that has begun, 0 if none has."""
        count = self._end - self._start
        if count < HEADER:
            return 0
        _, _, length = _PDU_HEADER.unpack_from(self._buffer, self._start)
        return HEADER + int(length) - count

    def next_type(self) -> int | None:
        """Return the type of the next PDU, None when the buffer is empty."""
        return None if self.is_empty else self._buffer[self._start]

    def take(self) -> memoryview | None:
        """Remove and return the next PDU without its header, None while it is incomplete.

        Raises
        ------
        BadPdu
            If it is longer than the limit, as soon as its header is there.
        """
        if self._end - self._start < HEADER:
            return None
        _, _, length = _PDU_HEADER.unpack_from(self._buffer, self._start)
        if length > self._limit:
            raise BadPdu(f"PDU of {length} bytes, limit {self._limit}")
        first = self._start + HEADER
        if first + length > self._end:
            return None
        self._start = first + length
        return self._view[first : self._start]

    def rest(self) -> bytes:
        """Remove and return all bytes, of complete PDUs or not."""
        unused = bytes(self._view[self._start : self._end])
        self._start = self._end = 0
        return unused


def split(pdu: memoryview) -> list[tuple[int, int, memoryview]]:
    """Return context id, message control header and fragment of each PDV.

    PS3.8 section 9.3.5.1 and annex E.

    Raises
    ------
    BadPdu
        If the lengths do not add up.
    """
    pdvs, position = [], 0
    while position < len(pdu):
        if position + HEADER > len(pdu):
            raise BadPdu("a PDV is truncated")
        length, context_id, control = _PDV_HEADER.unpack_from(pdu, position)
        end = position + 4 + length
        if length < _MIN_PDV_LENGTH or end > len(pdu):
            raise BadPdu("a PDV reaches beyond its PDU")
        pdvs.append((context_id, control, pdu[position + HEADER : end]))
        position = end
    if not pdvs:
        raise BadPdu("a P-DATA-TF PDU has no PDV")
    return pdvs


def p_data(context_id: int, control: int, value: bytes, limit: int = 0) -> bytes:
    """Return P-DATA-TF PDUs of `limit` bytes at most, with a PDV each; 0: no limit."""
    return b"".join(
        _PDU_HEADER.pack(P_DATA_TF, 0, len(part) + HEADER)
        + _PDV_HEADER.pack(len(part) + _MIN_PDV_LENGTH, context_id, flags)
        + part
        for part, flags in _parts(value, control, limit - HEADER if limit else 0)
    )


def _parts(value: bytes, control: int, limit: int) -> Iterator[tuple[bytes, int]]:
    """Cut a value; only the last part keeps the flag of the last fragment."""
    step = limit if limit > 0 else max(1, len(value))
    for start in range(0, max(1, len(value)), step):
        is_last = start + step >= len(value)
        yield value[start : start + step], control if is_last else control & ~0x02
