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
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any

# Timers and signs that nobody rings for are looked at so often.
TURN = 0.1


def is_readable(connection: socket.socket, seconds: float) -> bool:
    """Tell whether something, or the end, can be read within so many seconds."""
    return _has_buffered(connection) or bool(_poll((connection,), seconds))


def let_block(connection: socket.socket, seconds: float | None) -> bool:
    """Leave the timeout of a socket to the system; return whether that is possible.

    Python's own timeouts cost a poll() before each read.
    """
    if isinstance(connection, ssl.SSLSocket) or seconds is None:
        return False
    timeout = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
    try:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, option, timeout)
    except OSError:
        return False
    connection.settimeout(None)
    return True


def _has_buffered(connection: socket.socket | None) -> bool:
    """Tell whether TLS has decrypted more than was read; the system knows not of it."""
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0


def _poll(
    sources: Iterable[socket.socket | None], seconds: float
) -> list[socket.socket]:
    """Return the sources that are readable, at an end or in error.

    Not by select(), which knows only the first 1,024 descriptors of a process.
    """
    by_number = {s.fileno(): s for s in sources if s is not None and s.fileno() >= 0}
    poller = select.poll()
    for number in by_number:
        poller.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poller.poll(1000 * seconds)]


class WakeSignal:
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

    def wait(self, connection: socket.socket | None) -> bool:
        """Wait for the bell, for something to read, or for a turn.

        Return whether there is something to read.
        """
        if _has_buffered(connection):
            return True
        found = _poll((self._hears, connection), TURN)
        if self._hears in found:
            with contextlib.suppress(OSError):
                self._hears.recv(4096)
        return connection in found

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


class WakeCheckpoint(threading.Event):
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
