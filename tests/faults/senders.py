"""Storage SCUs that send an instance again until the response is 0x0000."""

import random
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.ledger import MISMATCH, SUCCESS, Ledger
from tests.faults.load import Instance, Load, Task, Way, contexts
from tests.integration.listener.wire import Peer, Rejected

# Errors of a connection whose peer is killed.
_LOST = (OSError, AssertionError, Rejected, struct.error, KeyError, IndexError)
_MOST_PER_ASSOCIATION = 30
_PAUSES = 0.05, 0.4


@dataclass
class Pace:
    """Hands out the tasks at a steady rate.

    Parameters
    ----------
    seconds
        In which all are to be handed out.
    """

    load: Load
    seconds: float
    handed_out: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        tasks = list(self.load.tasks())
        self.total = len(tasks)
        self._tasks: Iterator[Task] = iter(tasks)
        self._begun = time.monotonic()

    def next(self) -> Task | None:
        """Wait for the time of the next task and return it; None after the last one."""
        with self._lock:
            task = next(self._tasks, None)
            if task is None:
                return None
            due = self._begun + self.seconds * self.handed_out / self.total
            self.handed_out += 1
        if task.together is None:
            time.sleep(max(0.0, due - time.monotonic()))
        return task


class Meeting:
    """Lets the sendings of one group begin at the same time."""

    def __init__(self) -> None:
        self._arrived: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    def wait(self, group: int | None) -> None:
        """Wait for another sender of the group, with a time limit."""
        if group is None:
            return
        with self._lock:
            first = group not in self._arrived
            event = self._arrived.setdefault(group, threading.Event())
        if first:
            event.wait(1.0)
        else:
            event.set()


class Sender(threading.Thread):
    """One Storage SCU."""

    def __init__(
        self, name: str, port: int, pace: Pace, ledger: Ledger, meeting: Meeting
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.given_up = threading.Event()
        self.failure: Exception | None = None
        self._port, self._pace, self._ledger = port, pace, ledger
        self._meeting = meeting
        self._random = random.Random(name)
        self._contexts = contexts()
        self._peer: Peer | None = None
        self._left = 0

    def run(self) -> None:
        """Send until no task is left or the event is set."""
        try:
            while (task := self._pace.next()) is not None:
                instance = self._pace.load.make(task)
                self._meeting.wait(task.together)
                while not self._done(task, instance):
                    if self.given_up.wait(self._random.uniform(*_PAUSES)):
                        return
            self._release()
        except Exception as error:  # noqa: BLE001 - reported by the check at the end
            self.failure = error

    def _done(self, task: Task, instance: Instance) -> bool:
        """Send once; return whether the response is final."""
        try:
            status = self._send(task, instance)
        except _LOST:
            self._ledger.unanswered()
            self._drop()
            return False
        self._ledger.answered(instance.digest, status)
        wanted = MISMATCH if task.way is Way.WRONG else SUCCESS
        return status in {wanted, SUCCESS}

    def _send(self, task: Task, instance: Instance) -> int:
        peer = self._associated()
        self._left -= 1
        digest, uid = instance.digest, instance.sop_instance_uid
        self._ledger.begin(digest, task.number, uid, altered=task.altered)
        pair = (instance.sop_class_uid, [instance.transfer_syntax_uid])
        context = 2 * self._contexts.index(pair) + 1
        return peer.store(
            instance.data, instance.sop_class_uid, instance.named, context=context
        ).status

    def _associated(self) -> Peer:
        if self._left <= 0:
            self._release()
        if self._peer is None:
            peer = Peer(self._port, calling=self.name[:16])
            self._peer = peer
            peer.associate(*self._contexts)
            # One object per association, as many modalities do, or many.
            self._left = self._random.choice((1, 1, 5, _MOST_PER_ASSOCIATION))
        return self._peer

    def _release(self) -> None:
        if self._peer is not None:
            try:
                self._peer.release()
            except _LOST:
                self._ledger.unanswered()
            self._drop()

    def _drop(self) -> None:
        peer, self._peer, self._left = self._peer, None, 0
        if peer is not None:
            peer.socket.close()
