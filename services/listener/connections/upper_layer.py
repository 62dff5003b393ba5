"""The socket and the upper layer (PS3.8) of an association, made for rough company.

- A PDU length is checked before anything is read: the peer states it in four bytes and
  pynetdicom would collect up to 4 GiB (PS3.8 section D.1 lets us limit it).
- A connection that says nothing, or closes without a word, as the probe of a load
  balancer does, ends at once in place of waiting for the association timeout.

These classes override internals of pynetdicom 3.0; its version is pinned.
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
    TURN,
    WakeSignal,
    WakingQueue,
    is_readable,
)
from veritag.process.logs import get_logger

# An A-ASSOCIATE-RQ with 128 contexts and all transfer syntaxes has about 400 kB.
ASSOCIATE_LIMIT = 1 << 20
_STOP_LOOK = 0.001
_ESTABLISHED, _AWAITING_CLOSE = "Sta6", "Sta13"  # PS3.8 table 9-5
_MOST_WAITING = 4


class PduTooLong(OSError):
    """A PDU longer than we announced."""


class BoundedSocket(AssociationSocket):
    """A socket that reads no more than `limit` bytes for one PDU.

    Attributes
    ----------
    unread
        What was read ahead and is to be read again.
    """

    limit = ASSOCIATE_LIMIT
    unread = b""

    @property
    def ready(self) -> bool:
        """Whether something can be read."""
        if self.unread:
            return True
        if self.socket is None or not self._is_connected:
            return False
        return is_readable(self.socket, 0.0)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes into one buffer, fewer if the peer closes."""
        if nr_bytes > self.limit:
            # Evt19: invalid PDU; the state machine answers with A-ABORT.
            self.event_queue.put("Evt19")
            raise PduTooLong(f"PDU of {nr_bytes} bytes, limit {self.limit}")
        if self.socket is None:
            return bytearray()
        buffer = bytearray(nr_bytes)
        got = len(again := self.unread[:nr_bytes])
        buffer[:got], self.unread = again, self.unread[got:]
        deadline = time.monotonic() + (self.assoc.network_timeout or 0.0)
        with memoryview(buffer) as view:
            while got < nr_bytes:
                if time.monotonic() > deadline:  # byte for byte holds a thread, too
                    raise TimeoutError("a PDU takes too long")
                count = self.socket.recv_into(view[got:])
                if not count:
                    break
                got += count
        del buffer[got:]
        return buffer

    def _shutdown_socket(self) -> None:
        """Close also where there is nothing left to shut down, the peer having gone."""
        if self.socket is not None:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()


class PromptDUL(DULServiceProvider):
    """An upper layer that waits for events.

    It also notices when the peer goes before it has said anything.
    """

    is_receiving = False
    _ended = False
    _aborting = False

    def __init__(self, assoc: Any) -> None:
        self._bell = WakeSignal()
        self._killed = False
        super().__init__(assoc)
        self.to_provider_queue = WakingQueue(self._bell.ring)

    @property
    def _run_loop_delay(self) -> float:
        """Seconds that the reactor sleeps between two looks; our wait is before it."""
        if threading.current_thread() is not self:
            return _STOP_LOOK
        if self._has_enough():
            self._bell.wait(None)  # until an answer is on its way out
        elif not (isinstance(self.socket, BoundedSocket) and self.socket.unread):
            self._bell.wait(self.socket.socket if self.socket else None)
        return 0.0

    @_run_loop_delay.setter
    def _run_loop_delay(self, _seconds: float) -> None:
        pass

    def _has_enough(self) -> bool:
        """Whether more requests wait than are read without having been answered.

        Asynchronous operations are not negotiated (PS3.7 section D.3.3.3); who does not
        wait for answers could fill the memory.
        """
        established = self.state_machine.current_state == _ESTABLISHED
        return established and self.assoc.dimse.msg_queue.qsize() >= _MOST_WAITING

    def _is_transport_event(self) -> bool:
        return not self._has_enough() and super()._is_transport_event()

    @property
    def _kill_thread(self) -> bool:
        return self._killed

    @_kill_thread.setter
    def _kill_thread(self, killed: bool) -> None:
        self._killed = killed
        self._bell.ring()

    def run_reactor(self) -> None:
        """Run until killed, whatever the peer sends."""
        try:
            while not self._killed:
                self._run_until_trouble()
        finally:
            self._bell.close()

    def _run_until_trouble(self) -> None:
        try:
            super().run_reactor()
            self._killed = True
        except InvalidEventError:
            # Two ends have acted at the same moment, as an answer and an A-ABORT: what
            # has no place in the present state is left out (PS3.8 table 9-10, blank).
            get_logger().debug("event_left_out")
            self._forget_unsendable()
        except Exception as error:  # noqa: BLE001 - whatever a value made pynetdicom raise
            get_logger().warning("pdu_not_understood", error=type(error).__name__)
            self._abort_once()

    def _forget_unsendable(self) -> None:
        """Forget what waits to be sent over a connection that is about to be closed.

        It would be tried again and again, as fast as the processor can.
        """
        if self.state_machine.current_state == _AWAITING_CLOSE:
            with contextlib.suppress(queue.Empty):
                while True:
                    self.to_provider_queue.get(block=False)

    def _abort_once(self) -> None:
        """Send an A-ABORT for an invalid PDU, or hang up if that was tried before."""
        self._ended = True
        # The state machine, whose action has failed, has killed this thread.
        self._killed, self._aborting = self._aborting, True
        if self._killed:
            self.hang_up()
        else:
            self.event_queue.put("Evt19")

    def _read_pdu_data(self) -> None:
        super()._read_pdu_data()
        # Nothing came of what was readable: the peer has closed, or sent rubbish.
        self._ended = self._recv_pdu.empty()

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        """Return the next primitive, None when there is none or none will come."""
        if not wait:
            return super().receive_pdu(wait=False)
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        primitive: Any = None
        while primitive is None and not self._ended and time.monotonic() < deadline:
            primitive = super().receive_pdu(wait=True, timeout=TURN)
        if primitive is None:
            time.sleep(TURN)  # an A-ABORT may be on its way
            self.hang_up()
        return primitive

    def hang_up(self) -> None:
        """Close the connection under the thread that may wait for more of a PDU."""
        connection = self.socket.socket if self.socket else None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
