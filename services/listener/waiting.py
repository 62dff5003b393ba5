"""Threads that wait for something to happen, in place of looking every millisecond.

pynetdicom has two threads for an association, and each sleeps for a millisecond between
looks. An open but idle association so takes 4 % of a core, and each message crosses
both threads twice, which adds milliseconds. Here the one waits for its socket or a
bell, the other for a message.
"""

import contextlib
import queue
import select
import socket
import threading
from collections.abc import Callable
from typing import Any

# Timers and signs that nobody rings for are looked at so often.
TURN = 0.1


class Bell:
    """Wakes a thread that waits for a socket."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hears, self._rings = socket.socketpair()
        for end in (self._hears, self._rings):
            end.setblocking(False)

    def ring(self) -> None:
        """Wake who waits, or who will wait next; after `close` nothing happens."""
        with self._lock, contextlib.suppress(BlockingIOError, OSError):
            self._rings.send(b"!")

    def wait(self, connection: socket.socket | None) -> None:
        """Wait for the bell, for something to read, or for a turn."""
        sources = [s for s in (self._hears, connection) if s and s.fileno() >= 0]
        with contextlib.suppress(OSError, ValueError):
            readable, _, _ = select.select(sources, [], [], TURN)
            if self._hears in readable:
                self._hears.recv(4096)

    def close(self) -> None:
        """Free both ends."""
        with self._lock:
            self._hears.close()
            self._rings.close()


class WakingQueue(queue.Queue[Any]):
    """A queue that says when something was put."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake = wake

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put and wake."""
        super().put(item, block, timeout)
        self._wake()


class Checkpoint(threading.Event):
    """The event at which the association's thread stops in each of its turns.

    Parameters
    ----------
    has_work
        Whether something is there for it.
    """

    def __init__(self, has_work: Callable[[], bool]) -> None:
        super().__init__()
        self._has_work = has_work
        self._awake = threading.Event()

    def wake(self) -> None:
        """Let the thread take a turn."""
        self._awake.set()

    def set(self) -> None:
        """Let the thread pass, as pynetdicom means it, and take a turn."""
        super().set()
        self._awake.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait as pynetdicom means it, then until there is work or for a turn."""
        passed = super().wait(timeout)
        if not self._has_work():
            self._awake.wait(TURN)
        self._awake.clear()
        return passed
