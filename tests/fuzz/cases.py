"""Cases by number: the same seed and number always make the same bytes."""

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from tests.fuzz.association import CONTEXTS, hostile_request, pdu, plain_items, request
from tests.fuzz.data_sets import encode, hostile_data_set, identity
from tests.fuzz.hostile_messages import hostile_command, hostile_pdvs
from tests.fuzz.messages import (
    COMMAND_LAST,
    FENCE,
    Message,
    Pdv,
    echo,
    fragments,
    store,
)
from tests.fuzz.mutate import changed

P_DATA = 4
LONGEST_PDU = 131_072


@dataclass(frozen=True)
class Case:
    """What is sent in one go.

    Attributes
    ----------
    fresh
        On a new connection without an association.
    fenced
        Whether a C-ECHO must follow to learn that all was taken in.
    cuts
        Where the bytes are split into segments.
    """

    number: int
    kind: str
    stream: bytes
    fresh: bool = False
    fenced: bool = False
    cuts: tuple[int, ...] = ()

    def segments(self) -> Iterator[bytes]:
        """Yield the bytes as they are handed to TCP."""
        starts = [0, *self.cuts]
        for start, stop in zip(starts, [*self.cuts, len(self.stream)], strict=True):
            yield self.stream[start:stop]

    def complete_data_sets(self) -> list[str]:
        """Return the digests of the Data Sets that the bytes hold to their end."""
        # A false length may extend into the next message.
        sent = self.stream + (echo(FENCE) if self.fenced else b"")
        readings = [assembled(sent, strict=strict) for strict in (True, False)]
        return [digest(data) for reading in readings for data in reading]


def digest(data: bytes) -> str:
    """Return a short digest."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def assembled(stream: bytes, *, strict: bool) -> list[bytes]:
    """Return the Data Sets in a stream of PDUs: a second reader, for comparison.

    Parameters
    ----------
    strict
        Let a command begin a message anew, also in the middle of a Data Set.
    """
    digests, data = [], bytearray()
    for pdv in _pdvs(stream):
        header, fragment = pdv[1], pdv[2:]
        if header & 1:
            if strict:
                data.clear()
        else:
            data += fragment
            if header & 2:
                digests.append(bytes(data))
                data.clear()
    return digests


def _pdvs(stream: bytes) -> Iterator[bytes]:
    """Yield context id, header and fragment of PDVs that are all there."""
    while len(stream) >= 6:
        kind, length = struct.unpack_from(">BxL", stream)
        body, stream = stream[6 : 6 + length], stream[6 + length :]
        while kind == P_DATA and len(body) >= 6:
            size = struct.unpack_from(">L", body)[0]
            if size < 2 or len(body) < 4 + size:
                break
            yield body[4 : 4 + size]
            body = body[4 + size :]


def uid_of(seed: int, number: int) -> bytes:
    """Return the SOP Instance UID of a case."""
    return f"2.25.{seed}.{number}".encode()


def make_case(seed: int, number: int) -> Case:
    """Return the case of a number."""
    rng = Random(seed << 40 | number)
    dice = rng.random()
    kind = next(kind for share, kind in _SHARES if dice < share)
    return KINDS[kind](rng, number, uid_of(seed, number))


def _cuts(rng: Random, size: int) -> tuple[int, ...]:
    """Return where to split: mostly nowhere, sometimes at every byte."""
    dice = rng.random()
    if dice > 0.12 or size < 2:
        return ()
    if dice < 0.01:
        start = rng.randrange(size)
        return (
            tuple(range(start, min(size, start + 60)))[1:] if size > start + 1 else ()
        )
    return tuple(sorted({rng.randrange(1, size) for _ in range(rng.choice((1, 2, 5)))}))


def _raw(rng: Random, number: int, _uid: bytes) -> Case:
    plain = request(plain_items())
    choices = (
        rng.randbytes(rng.choice((1, 5, 6, 7, 100, 3000))),
        pdu(rng.randrange(256), rng.randbytes(rng.choice((0, 4, 68, 300)))),
        pdu(rng.randrange(9), b"", rng.choice((1, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF))),
        plain[: rng.randrange(len(plain))],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes.fromhex("16030100c8010000c40303") + rng.randbytes(190),
        changed(rng, plain),
    )
    stream = rng.choice(choices)
    return Case(number, "raw", stream, fresh=True, cuts=_cuts(rng, len(stream)))


def _associate(rng: Random, number: int, _uid: bytes) -> Case:
    stream = hostile_request(rng)
    return Case(number, "associate", stream, fresh=True, cuts=_cuts(rng, len(stream)))


def _plain(rng: Random, number: int, uid: bytes) -> Message:
    context = rng.choice(tuple(CONTEXTS))
    data = encode(identity(uid), CONTEXTS[context])
    return store(uid, data, context, number, rng.choice((16000, 16000, 100)))


def _pdv(rng: Random, number: int, uid: bytes) -> Case:
    stream = hostile_pdvs(rng, _plain(rng, number, uid))
    return Case(number, "pdv", stream, fenced=True, cuts=_cuts(rng, len(stream)))


def _command(rng: Random, number: int, uid: bytes) -> Case:
    context = rng.choice((1, 1, 3, 5, 7, 9, 11))
    first = Pdv(context, COMMAND_LAST, hostile_command(rng, uid, number))
    message = Message([first])
    if rng.random() < 0.8:
        data = encode(identity(uid), CONTEXTS.get(context, ""))
        message.pdvs += fragments(data, context, 16000)
    stream = message.encode()
    return Case(number, "command", stream, fenced=True, cuts=_cuts(rng, len(stream)))


def _data_set(rng: Random, number: int, uid: bytes) -> Case:
    context = rng.choice(tuple(CONTEXTS))
    data = hostile_data_set(rng, uid, CONTEXTS[context])
    size = rng.choice((16000, 16000, 16000, 1000, LONGEST_PDU - 6))
    stream = store(uid, data, context, number, size).encode()
    return Case(number, "data set", stream, cuts=_cuts(rng, len(stream)))


def _right(rng: Random, number: int, uid: bytes) -> Case:
    stream = _plain(rng, number, uid).encode()
    return Case(number, "right", stream, cuts=_cuts(rng, len(stream)))


Make = Callable[[Random, int, bytes], Case]

KINDS: dict[str, Make] = {
    "raw": _raw,
    "associate": _associate,
    "pdv": _pdv,
    "command": _command,
    "right": _right,
    "data set": _data_set,
}
# Up to which draw of 0 to 1 a case is of the kind. Most leave their association alive,
# for a new one takes longer than a case.
_SHARES = (
    (0.01, "raw"),
    (0.04, "associate"),
    (0.12, "pdv"),
    (0.24, "command"),
    (0.30, "right"),
    (1.00, "data set"),
)
