"""PDUs as they lie in one reusable buffer (PS3.8 section 9.3), nothing copied.

A PDU is looked at only when it is there whole, and taken only as long as was announced.
"""

import socket
import struct
from collections.abc import Iterator

A_ASSOCIATE_RQ, P_DATA_TF = 0x01, 0x04
HEADER = 6
_PDV_HEADER = struct.Struct(">LBB")
_PDU_HEADER = struct.Struct(">BBL")
# Of the length of a PDV, the context and the control header are two bytes.
_LEAST_PDV = 2
# Room for the beginning of the next PDU.
_AHEAD = 1 << 16


class BadPdu(ValueError):
    """A PDU that cannot be what it says."""


class PduBuffer:
    """What came in and was not yet used.

    Parameters
    ----------
    limit
        Longest PDU in bytes, its header not counted (PS3.8 section D.1.1).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    @property
    def is_empty(self) -> bool:
        """Whether everything that came was used."""
        return self._start == self._end

    def fill(self, connection: socket.socket, *, whole: bool = False) -> bool:
        """Wait for more bytes and take what there is; return False at the end.

        Views that `take` has returned are no longer valid.

        Parameters
        ----------
        whole
            Leave it to the system to wait for the rest of a PDU that has begun; for
            sockets that block.

        Raises
        ------
        OSError
        """
        if not self._buffer:  # who never sends a message takes no memory
            self._buffer = bytearray(HEADER + self._limit + _AHEAD)
            self._view = memoryview(self._buffer)
        if self._start:
            rest = self._view[self._start : self._end]
            self._view[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        missing = self._missing() if whole else 0
        free = self._view[self._end :]
        if missing:
            count = connection.recv_into(free, missing, socket.MSG_WAITALL)
        else:
            count = connection.recv_into(free)
        self._end += count
        return count > 0

    def _missing(self) -> int:
        """Return how many bytes the PDU lacks that has begun, 0 if none has."""
        there = self._end - self._start
        if there < HEADER:
            return 0
        _, _, length = _PDU_HEADER.unpack_from(self._buffer, self._start)
        return HEADER + int(length) - there

    def next_type(self) -> int | None:
        """Return the type of the next PDU, None when nothing is there."""
        return None if self.is_empty else self._buffer[self._start]

    def take(self) -> memoryview | None:
        """Take the next PDU without its header, None while it is not there whole.

        Raises
        ------
        BadPdu
            If it is longer than the limit; then nothing of it was waited for.
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
        """Take all that is there, whole or not."""
        rest = bytes(self._view[self._start : self._end])
        self._start = self._end = 0
        return rest


def split(pdu: memoryview) -> list[tuple[int, int, memoryview]]:
    """Return context id, message control header and fragment of each PDV.

    PS3.8 section 9.3.5.1 and annex E.

    Raises
    ------
    BadPdu
        If the lengths do not add up.
    """
    found, position = [], 0
    while position < len(pdu):
        if position + HEADER > len(pdu):
            raise BadPdu("a PDV is cut off")
        length, context_id, control = _PDV_HEADER.unpack_from(pdu, position)
        end = position + 4 + length
        if length < _LEAST_PDV or end > len(pdu):
            raise BadPdu("a PDV reaches beyond its PDU")
        found.append((context_id, control, pdu[position + HEADER : end]))
        position = end
    if not found:
        raise BadPdu("a P-DATA-TF PDU holds no PDV")
    return found


def p_data(context_id: int, control: int, value: bytes, most: int = 0) -> bytes:
    """Return one P-DATA-TF PDU with one PDV for each `most` bytes; 0: no limit."""
    return b"".join(
        _PDU_HEADER.pack(P_DATA_TF, 0, len(part) + HEADER)
        + _PDV_HEADER.pack(len(part) + _LEAST_PDV, context_id, flags)
        + part
        for part, flags in _parts(value, control, most - HEADER if most else 0)
    )


def _parts(value: bytes, control: int, most: int) -> Iterator[tuple[bytes, int]]:
    """Cut a value; all but the last fragment lose the mark of the last."""
    step = most if most > 0 else max(1, len(value))
    for start in range(0, max(1, len(value)), step):
        is_last = start + step >= len(value)
        yield value[start : start + step], control if is_last else control & ~0x02
