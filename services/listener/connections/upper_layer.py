"""Socket and upper layer (PS3.8) of an association, hardened against hostile peers.

- The length of a PDU is checked before it is read: the peer states it in four bytes, and
  pynetdicom would collect up to 4 GiB (PS3.8 section D.1 permits a limit).
- The association ends at once when a peer closes without a request, as the probe of a
  load balancer does; pynetdicom would wait for the ACSE timeout.

These classes override internals of pynetdicom 3.0, whose version is pinned:
`AssociationSocket.ready`, `recv` and `_shutdown_socket`; of `DULServiceProvider` the methods
`_is_transport_event`, `_read_pdu_data`, `receive_pdu` and `run_reactor`, and the attributes
`_run_loop_delay` and `_kill_thread`, which `run_reactor` reads in each loop.
"""

import contextlib
import queue
import socket
import threading
import time
from typing import Any

from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.transport import AssociationSocket

from services.listener.connections.wakeups import (
    POLL_SECONDS,
    WakeSignal,
    WakingQueue,
    is_readable,
)
from veritag.process.logs import get_logger

# An A-ASSOCIATE-RQ with 128 contexts and all transfer syntaxes has about 400 kB.
ASSOCIATE_LIMIT = 1 << 20
_STOP_POLL_SECONDS = 0.001
_ESTABLISHED, _AWAITING_CLOSE = "Sta6", "Sta13"  # PS3.8 table 9-5
_MAX_UNANSWERED = 4


class PduTooLong(OSError):
    """A PDU longer than the announced maximum."""


class BoundedSocket(AssociationSocket):
    """A socket that reads no more than `limit` bytes for one PDU.

    Attributes
    ----------
    unread
        Bytes that were read ahead; `recv` returns them first.
    """

    limit = ASSOCIATE_LIMIT
    unread = b""

    @property
    def ready(self) -> bool:
        """Whether bytes, or the end of the connection, can be read."""
        if self.unread:
            return True
        if self.socket is None or not self._is_connected:
            return False
        return is_readable(self.socket, 0.0)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read a number of bytes into one buffer, fewer if the peer closes."""
        if nr_bytes > self.limit:
            # Evt19: invalid PDU; the state machine answers with A-ABORT.
            self.event_queue.put("Evt19")
            raise PduTooLong(f"PDU of {nr_bytes} bytes, limit {self.limit}")
        if self.socket is None:
            return bytearray()
        buffer = bytearray(nr_bytes)
        ahead, self.unread = self.unread[:nr_bytes], self.unread[nr_bytes:]
        count = len(ahead)
        buffer[:count] = ahead
        deadline = time.monotonic() + (self.assoc.network_timeout or 0.0)
        with memoryview(buffer) as view:
            while count < nr_bytes:
                # The timeout of the socket starts again with each byte.
                if time.monotonic() > deadline:
                    raise TimeoutError("a PDU takes too long")
                received = self.socket.recv_into(view[count:])
                if not received:
                    break
                count += received
        del buffer[count:]
        return buffer

    def _shutdown_socket(self) -> None:
        """Close also after a failed shutdown, as when the peer has closed already."""
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()


class UpperLayer(DULServiceProvider):
    """An upper layer that blocks until an event, and notices an early close."""

    is_receiving = False
    _ended = False
    _aborting = False

    def __init__(self, assoc: Any) -> None:
        self._wake = WakeSignal()
        self._killed = False
        super().__init__(assoc)
        self.to_provider_queue = WakingQueue(self._wake.set)

    @property
    def _run_loop_delay(self) -> float:
        """Seconds for which the reactor sleeps; the wait for events is in here.

        `run_reactor` reads it before each sleep. `stop_dul` reads it in other threads.
        """
        if threading.current_thread() is not self:
            return _STOP_POLL_SECONDS
        if self._has_enough():
            self._wake.wait(None)  # until an answer is to be sent
        elif not (isinstance(self.socket, BoundedSocket) and self.socket.unread):
            self._wake.wait(self.socket.socket if self.socket else None)
        return 0.0

    @_run_loop_delay.setter
    def _run_loop_delay(self, _seconds: float) -> None:
        pass

    def _has_enough(self) -> bool:
        """Whether so many requests are unanswered that no more are read.

        Asynchronous operations are not negotiated (PS3.7 section D.3.3.3). A peer that
        does not wait for answers could fill the memory.
        """
        established = self.state_machine.current_state == _ESTABLISHED
        return established and self.assoc.dimse.msg_queue.qsize() >= _MAX_UNANSWERED

    def _is_transport_event(self) -> bool:
        return not self._has_enough() and super()._is_transport_event()

    @property
    def _kill_thread(self) -> bool:
        return self._killed

    @_kill_thread.setter
    def _kill_thread(self, killed: bool) -> None:
        self._killed = killed
        self._wake.set()

    def run_reactor(self) -> None:
        """Run until killed, whatever the peer sends."""
        try:
            while not self._killed:
                self._run_until_error()
        finally:
            self._wake.close()

    def _run_until_error(self) -> None:
        try:
            super().run_reactor()
            self._killed = True
        except InvalidEventError:
            # Both ends acted at the same moment, as with an answer and an A-ABORT: an event
            # that the present state does not have is ignored (PS3.8 table 9-10, blank).
            get_logger().debug("event_ignored")
            self._drop_unsendable()
        except Exception as error:  # noqa: BLE001 - pynetdicom raises anything for a bad value
            get_logger().warning("pdu_not_understood", error=type(error).__name__)
            self._abort_once()

    def _drop_unsendable(self) -> None:
        """Drop the primitives to be sent over a connection that is about to be closed.

        pynetdicom would try the first one again without a pause.
        """
        if self.state_machine.current_state == _AWAITING_CLOSE:
            with contextlib.suppress(queue.Empty):
                while True:
                    self.to_provider_queue.get(block=False)

    def _abort_once(self) -> None:
        """Send an A-ABORT for an invalid PDU; hang up if that was tried before."""
        self._ended = True
        # A failed action of the state machine has set `_kill_thread`.
        self._killed, self._aborting = self._aborting, True
        if self._killed:
            self.hang_up()
        else:
            self.event_queue.put("Evt19")

    def _read_pdu_data(self) -> None:
        super()._read_pdu_data()
        # No PDU although the socket was readable: a close, or an invalid PDU.
        self._ended = self._recv_pdu.empty()

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        """Return the next primitive, None when there is none and will be none."""
        if not wait:
            return super().receive_pdu(wait=False)
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        primitive: Any = None
        while primitive is None and not self._ended and time.monotonic() < deadline:
            primitive = super().receive_pdu(wait=True, timeout=POLL_SECONDS)
        if primitive is None:
            time.sleep(POLL_SECONDS)  # the other thread may send an A-ABORT
            self.hang_up()
        return primitive

    def hang_up(self) -> None:
        """Shut the connection down, which ends a read that blocks in another thread."""
        connection = self.socket.socket if self.socket else None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
