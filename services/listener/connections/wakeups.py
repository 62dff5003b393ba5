"""Blocking waits for the two threads of an association, which would poll otherwise.

Both threads of pynetdicom sleep for a millisecond between polls. An open but idle
association then takes 4 % of a core, and each message crosses both threads twice, which
adds milliseconds. Here the upper layer waits for its socket or a wake signal, the association
for a message.
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

# Interval at which conditions without a wake signal, such as timers, are polled.
POLL_SECONDS = 0.1


def is_readable(connection: socket.socket, seconds: float) -> bool:
    """Whether data or the end of the connection can be read within these seconds."""
    return _has_buffered(connection) or bool(_poll((connection,), seconds))


def use_kernel_timeout(connection: socket.socket, seconds: float | None) -> bool:
    """Give a socket a timeout of the kernel; return whether that is possible.

    A timeout of Python costs a poll() before each read.
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
    """Whether TLS has decrypted bytes that were not read; poll() does not see them."""
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0


def _poll(
    sources: Iterable[socket.socket | None], seconds: float
) -> list[socket.socket]:
    """Return the sources that are readable, at an end or in error.

    select() would fail for descriptors from 1,024 on.
    """
    by_number = {s.fileno(): s for s in sources if s is not None and s.fileno() >= 0}
    poller = select.poll()
    for number in by_number:
        poller.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poller.poll(1000 * seconds)]


class WakeSignal:
    """Wakes a thread that waits for a socket, by a socket pair of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._receiver, self._sender = socket.socketpair()
        for end in (self._receiver, self._sender):
            end.setblocking(False)

    def set(self) -> None:
        """Wake the thread that waits or waits next; without effect after `close`."""
        # A full buffer (BlockingIOError) holds enough to wake. The lock keeps `close` from
        # freeing the descriptor, which another connection could get, before the send.
        with self._lock, contextlib.suppress(OSError):
            self._sender.send(b"!")

    def wait(self, connection: socket.socket | None) -> bool:
        """Wait for the signal or for data, for POLL_SECONDS at most.

        Return whether there is data, or the end of the connection.
        """
        if _has_buffered(connection):
            return True
        readable = _poll((self._receiver, connection), POLL_SECONDS)
        if self._receiver in readable:
            with contextlib.suppress(OSError):
                self._receiver.recv(4096)
        return connection in readable

    def close(self) -> None:
        """Free both ends."""
        with self._lock:
            self._receiver.close()
            self._sender.close()


class WakingQueue(queue.Queue[Any]):
    """A queue that calls `wake` after each item that is put."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake = wake

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put and wake."""
        super().put(item, block, timeout)
        self._wake()


class WakeCheckpoint(threading.Event):
    """The event for which the association's thread waits once per loop.

    pynetdicom 3.0 clears `Association._reactor_checkpoint` while a request of its own is
    unanswered, and has it set otherwise, so that its loop polls. This one also waits for
    work.

    Parameters
    ----------
    has_work
        Whether a message or a primitive is there for the thread.
    """

    def __init__(self, has_work: Callable[[], bool]) -> None:
        super().__init__()
        self._has_work = has_work
        self._awake = threading.Event()

    def wake(self) -> None:
        """Let the thread run its loop once."""
        self._awake.set()

    def set(self) -> None:
        """Set the event, as pynetdicom expects, and wake the thread."""
        super().set()
        self._awake.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait as pynetdicom expects, then for work, for POLL_SECONDS at most."""
        passed = super().wait(timeout)
        if not self._has_work():
            self._awake.wait(POLL_SECONDS)
        self._awake.clear()
        return passed
