"""The client of a fuzz run, which sends cases and records the answers."""

import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.fuzz.association import IMPLICIT, plain_items, request
from tests.fuzz.cases import Case, digest, make_case
from tests.fuzz.connection import (
    A_ASSOCIATE_AC,
    C_STORE_RSP,
    HANG_SECONDS,
    P_DATA,
    SUCCESS,
    Connection,
    Violation,
    responses,
)
from tests.fuzz.data_sets import encode, identity
from tests.fuzz.messages import FENCE, echo, message_id, store

# Silence after which a case is over, or the listener waits for more of it.
QUIET_SECONDS = 2.0
CASES_PER_ASSOCIATION = 400


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
    """The record of a client."""

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
            data_sets = case.complete_data_sets()
            self.acknowledged.append(
                (case.number, outcome.stored, outcome.sure, data_sets)
            )

    def add(self, other: "Ledger") -> None:
        """Add the record of another client."""
        self.kinds += other.kinds
        self.ends += other.ends
        self.statuses += other.statuses
        self.acknowledged += other.acknowledged
        self.violations += other.violations


class Client:
    """Sends cases one after the other, on one association for as long as it lives."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._seed = seed
        self._open: Connection | None = None
        self.ledger = Ledger()

    def run(self, numbers: Sequence[int]) -> None:
        """Send the cases of some numbers and note how they ended."""
        cases = [make_case(self._seed, number) for number in numbers]
        window = [case for case in cases if not (case.fresh or case.fenced)]
        for case in cases:
            if case.fresh or case.fenced:
                self._note(self._send_alone, [case])
        if window:
            self._note(self._send_together, window)

    def _note(
        self, send: Callable[[list[Case]], list[Outcome]], cases: list[Case]
    ) -> None:
        case = cases[0]
        try:
            for outcome in send(cases):
                self.ledger.note(outcome)
        except (Violation, OSError, struct.error) as error:
            text = f"case {self._seed}/{case.number} ({case.kind}): {error!r}"
            self.ledger.violations.append(text)
            self.close()

    def send(self, case: Case) -> Outcome:
        """Send a case; return its outcome.

        Raises
        ------
        Violation
            If an answer is missing or not allowed.
        """
        return self._fresh(case) if case.fresh else self._associated(case)

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            self._open.socket.close()
            self._open = None

    def _send_alone(self, cases: list[Case]) -> list[Outcome]:
        return [self.send(case) for case in cases]

    def _send_together(self, cases: list[Case]) -> list[Outcome]:
        """Send requests without waiting for responses, which come in order."""
        connection = self._association()
        for case in cases:
            for segment in case.segments():
                connection.send(segment)
        outcomes = []
        for case in cases:
            outcome = Outcome(case)
            outcomes.append(outcome)
            connection.cases += 1
            if self._open is None:
                outcome.end, outcome.sure = "not reached", False
            elif not self._listen(connection, outcome):
                self._finish(connection, outcome)
                outcome.stored = 0  # a late answer may be one to a later case
        if connection.cases >= CASES_PER_ASSOCIATION:
            self.close()
        return outcomes

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
        connection.cases += 1
        if not self._listen(connection, outcome):
            self._finish(connection, outcome)
        elif connection.cases >= CASES_PER_ASSOCIATION:
            self.close()
        return outcome

    def _finish(self, connection: Connection, outcome: Outcome) -> None:
        """Read the rest of an association that has ended."""
        self._open = None
        if outcome.end == "answered":
            more, outcome.end = connection.drain()
            outcome.statuses += more
        connection.socket.close()
        outcome.stored = outcome.statuses.count(SUCCESS)
        # An abort can overtake an answer, and a closed connection loses one: the instance
        # may be stored without an answer. A sender would send it again.
        outcome.sure = False

    def _listen(self, connection: Connection, outcome: Outcome) -> bool:
        """Read until the case is answered; return whether the association is clean."""
        # A valid case is answered, however long that takes.
        patience = HANG_SECONDS if outcome.case.kind == "right" else QUIET_SECONDS
        while (pdu := connection.read(patience)) is not None:
            kind, body = pdu
            if kind != P_DATA:
                outcome.end = {0: "reset" if body else "closed", 6: "released",
                               7: "aborted"}.get(kind, f"PDU {kind}")  # fmt: skip
                return False
            for field_, number, status in responses(body):
                if field_ == C_STORE_RSP:
                    if not outcome.case.fenced and number != message_id(
                        outcome.case.number
                    ):
                        raise Violation(f"an answer to message {number}")
                    outcome.statuses.append(status)
                    outcome.stored += status == SUCCESS
                if number == FENCE or not outcome.case.fenced:
                    return True
        return False

    def _association(self) -> Connection:
        if self._open is None:
            self._open = Connection(self._port)
            self._open.send(request(plain_items()))
            pdu = self._open.read(HANG_SECONDS)
            if pdu is None or pdu[0] != A_ASSOCIATE_AC:
                raise Violation(f"a valid association was answered by {pdu!r}")
        return self._open


def store_valid(port: int, number: int) -> tuple[str, float]:
    """Send one valid instance over a new association; return digest and seconds.

    Raises
    ------
    Violation
        If it is not answered 0x0000.
    """
    uid = f"1.3.6.1.{number}".encode()  # under no seed's root
    data = encode(identity(uid), IMPLICIT)
    started = time.monotonic()
    connection = Connection(port)
    try:
        connection.send(request(plain_items(), calling=b"VALID"))
        pdu = connection.read(HANG_SECONDS)
        if pdu is None or pdu[0] != A_ASSOCIATE_AC:
            raise Violation(f"a valid association was answered by {pdu!r}")
        connection.send(store(uid, data, 1, number).encode())
        pdu = connection.read(HANG_SECONDS)
        if pdu is None or pdu[0] != P_DATA or responses(pdu[1])[0][2] != SUCCESS:
            raise Violation(f"a valid instance was answered by {pdu!r}")
    finally:
        connection.socket.close()
    return digest(data), time.monotonic() - started
