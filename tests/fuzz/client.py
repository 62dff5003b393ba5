"""Sends cases and reads what the listener says, and whether it may say that."""

import contextlib
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.fuzz.association import IMPLICIT, plain_items, request
from tests.fuzz.cases import Case, digest, make_case
from tests.fuzz.data_sets import encode, identity
from tests.fuzz.messages import echo, store

# Nothing came for so long: the case is over, or the listener waits for more of it.
QUIET_SECONDS = 1.0
# A connection that we have closed for writing must end within this.
HANG_SECONDS = 30.0
CASES_PER_ASSOCIATION = 400
FENCE = 0xFEED

SUCCESS, C_STORE_RSP, C_ECHO_RSP = 0x0000, 0x8001, 0x8030
A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA, A_RELEASE_RP, A_ABORT = 2, 3, 4, 6, 7
STORE_STATUSES = {0x0000, 0xA700, 0xA900, 0xC000, 0x0122, 0x0124}


class Violation(Exception):
    """The listener said what it must not say, or nothing where it must."""


@dataclass
class Outcome:
    """How a case ended.

    Attributes
    ----------
    stored
        How many instances were answered 0x0000.
    sure
        Whether every answer was read: the association went on.
    """

    case: Case
    stored: int = 0
    statuses: list[int] = field(default_factory=list)
    end: str = "answered"
    sure: bool = True


@dataclass
class Ledger:
    """What a client has seen."""

    kinds: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged: list[tuple[int, int, bool, list[str]]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def note(self, outcome: Outcome) -> None:
        """Add an outcome; Data Sets are kept only where one may be in the spool."""
        case = outcome.case
        self.kinds[case.kind] += 1
        self.ends[outcome.end] += 1
        self.statuses.update(outcome.statuses)
        if outcome.stored or not outcome.sure:
            found = case.complete_data_sets()
            self.acknowledged.append((case.number, outcome.stored, outcome.sure, found))

    def add(self, other: "Ledger") -> None:
        """Take in what another client has seen."""
        self.kinds += other.kinds
        self.ends += other.ends
        self.statuses += other.statuses
        self.acknowledged += other.acknowledged
        self.violations += other.violations


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
        while (found := self._take()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
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
        return found

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
            found = self.read(HANG_SECONDS)
            if found is None:
                raise Violation(f"open {HANG_SECONDS:.0f} s after our end was closed")
            kind, body = found
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
    found = []
    while body:
        if len(body) < 6:
            raise Violation(f"a PDV ends early: {body!r}")
        length, _, header = struct.unpack_from(">LBB", body)
        if header != 3 or len(body) < 4 + length:
            raise Violation(f"no whole command in a PDV: {body[:80]!r}")
        found.append(_response(body[6 : 4 + length]))
        body = body[4 + length :]
    return found


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


class Client:
    """Sends cases one after the other, on one association for as long as it lives."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._seed = seed
        self._open: Connection | None = None
        self.ledger = Ledger()

    def run(self, number: int) -> None:
        """Send the case of a number and note how it ended."""
        case = make_case(self._seed, number)
        try:
            self.ledger.note(self.send(case))
        except (Violation, OSError, struct.error) as error:
            text = f"case {self._seed}/{number} ({case.kind}): {error!r}"
            self.ledger.violations.append(text)
            self.close()

    def send(self, case: Case) -> Outcome:
        """Send a case; return how it ended.

        Raises
        ------
        Violation
            If the listener answered what it must not, or nothing.
        """
        return self._fresh(case) if case.fresh else self._associated(case)

    def close(self) -> None:
        """End what is open."""
        if self._open is not None:
            self._open.socket.close()
            self._open = None

    def _fresh(self, case: Case) -> Outcome:
        connection = Connection(self._port)
        for segment in case.segments():
            if not connection.send(segment):
                break
        outcome = Outcome(case)
        if case.number % 4:
            connection.read(QUIET_SECONDS)
        outcome.statuses, outcome.end = connection.drain()
        return outcome

    def _associated(self, case: Case) -> Outcome:
        connection = self._association()
        for segment in case.segments():
            if not connection.send(segment):
                break
        if case.fenced:
            connection.send(echo(FENCE))
        outcome = Outcome(case)
        if self._listen(connection, outcome):
            connection.cases += 1
            if connection.cases < CASES_PER_ASSOCIATION:
                return outcome
        self._open = None
        if outcome.end == "answered":
            more, outcome.end = connection.drain()
            outcome.statuses += more
        connection.socket.close()
        outcome.stored = outcome.statuses.count(SUCCESS)
        # An abort overtakes an answer, and who hangs up misses one: the instance may
        # be stored although nobody was told. A sender would send it again.
        outcome.sure = False
        return outcome

    def _listen(self, connection: Connection, outcome: Outcome) -> bool:
        """Read until the case is answered; return whether the association is clean."""
        while (found := connection.read(QUIET_SECONDS)) is not None:
            kind, body = found
            if kind != P_DATA:
                outcome.end = {0: "reset" if body else "closed", 6: "released",
                               7: "aborted"}.get(kind, f"PDU {kind}")  # fmt: skip
                return False
            for field_, number, status in responses(body):
                if field_ == C_STORE_RSP:
                    outcome.statuses.append(status)
                    outcome.stored += status == SUCCESS
                if number == FENCE or not outcome.case.fenced:
                    return True
        return False

    def _association(self) -> Connection:
        if self._open is None:
            self._open = Connection(self._port)
            self._open.send(request(plain_items()))
            found = self._open.read(HANG_SECONDS)
            if found is None or found[0] != A_ASSOCIATE_AC:
                raise Violation(f"an honest association was answered by {found!r}")
        return self._open


def honest_store(port: int, number: int) -> tuple[str, float]:
    """Send one right instance on an association of its own; return digest and seconds.

    Raises
    ------
    Violation
        If it is not answered 0x0000.
    """
    uid = f"2.25.77.{number}".encode()
    data = encode(identity(uid), IMPLICIT)
    started = time.monotonic()
    connection = Connection(port)
    try:
        connection.send(request(plain_items(), calling=b"HONEST"))
        found = connection.read(HANG_SECONDS)
        if found is None or found[0] != A_ASSOCIATE_AC:
            raise Violation(f"an honest association was answered by {found!r}")
        connection.send(store(uid, data, 1, number).encode())
        found = connection.read(HANG_SECONDS)
        if found is None or found[0] != P_DATA or responses(found[1])[0][2] != SUCCESS:
            raise Violation(f"an honest instance was answered by {found!r}")
    finally:
        connection.socket.close()
    return digest(data), time.monotonic() - started
