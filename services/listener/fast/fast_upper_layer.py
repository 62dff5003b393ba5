"""An upper layer that handles C-STORE in the thread that reads the network.

pynetdicom copies every byte six times, makes objects of each PDU and Data Sets of each
command, and passes each message through two threads. Here the fragments of a Data Set go
from one reusable buffer to the spool file, and the same thread sends the answer.
pynetdicom handles all else: negotiation, release, abort, every other message, and C-STORE
requests that are unusual.

It depends on these internals of pynetdicom 3.0, which `pynetdicom_check` verifies:

- `DULServiceProvider.run_reactor` calls `_read_pdu_data` in this thread when the socket is
  readable, and the state machine handles the events that it puts in `event_queue`.
- `AssociationSocket.recv` is the only way to the socket, so that bytes in
  `BoundedSocket.unread` are read next.
- `Association._accepted_cx` maps context IDs to contexts; `dimse.message` is None between
  messages.
"""

import socket
import time
from typing import Any, cast

from pynetdicom.pdu import A_ASSOCIATE_AC

from services.listener.connections.upper_layer import BoundedSocket, UpperLayer
from services.listener.connections.wakeups import use_kernel_timeout
from services.listener.fast.incoming_store import IncomingStore
from services.listener.fast.negotiation_cache import decode_request, use_encoded_items
from services.listener.fast.pdus import (
    A_ASSOCIATE_RQ,
    P_DATA_TF,
    BadPdu,
    PduBuffer,
    p_data,
    split,
)
from services.listener.fast.preallocated_file import PreallocatedFile
from services.listener.fast.store_messages import encode_response, read_request
from services.listener.handlers import Reception
from services.listener.store_rules import AcceptedContext
from veritag.storage.spool import Spool

_COMMAND, _LAST = 0x01, 0x02  # PS3.8 annex E.2
_ESTABLISHED = "Sta6"  # PS3.8 table 9-5
_COMMAND_LIMIT = 1 << 16


class FastUpperLayer(UpperLayer):
    """An upper layer that handles C-STORE itself."""

    def __init__(self, reception: Reception, spool: Spool, assoc: Any) -> None:
        super().__init__(assoc)
        self._reception = reception
        self._next_file = PreallocatedFile(spool)
        self._has_stored = self._blocks = False
        self._pdus = PduBuffer(assoc.ae.maximum_pdu_size)
        self._command = bytearray()
        self._store: IncomingStore | None = None
        self._context_id = 0

    @property
    def _is_alone(self) -> bool:
        """Whether no other association is receiving, so that the disk is free."""
        return len(self._reception.receiving) == 1

    @property
    def _bounded_socket(self) -> BoundedSocket:
        return cast(BoundedSocket, self.socket)

    @property
    def _connection(self) -> socket.socket:
        return cast(socket.socket, self._bounded_socket.socket)

    @property
    def is_receiving(self) -> bool:  # type: ignore[override]
        """Whether a message is being received."""
        return self._store is not None or bool(self._command)

    def run_reactor(self) -> None:
        """Run until killed."""
        try:
            super().run_reactor()
        finally:
            self._reset()
            self._next_file.discard()

    def _decode_pdu(self, bytestream: bytearray) -> Any:
        if bytestream[0] == A_ASSOCIATE_RQ:
            return decode_request(bytes(bytestream)), "Evt6"
        return super()._decode_pdu(bytestream)

    def _send(self, pdu: Any) -> None:
        if isinstance(pdu, A_ASSOCIATE_AC):
            use_encoded_items(pdu)
        super()._send(pdu)

    def _read_pdu_data(self) -> None:
        if not self._is_idle():
            super()._read_pdu_data()
            return
        try:
            self._read_pdus()
        except BadPdu:
            self._end("Evt19")  # invalid PDU: A-ABORT (PS3.8 table 9-10, AA-8)
        except (TimeoutError, BlockingIOError):  # the latter from SO_RCVTIMEO
            self._end("Evt19")  # an incomplete message: A-ABORT
        except OSError:
            self._end("Evt17")  # the transport connection is closed

    def _is_idle(self) -> bool:
        """Whether the association is established and pynetdicom has no message begun."""
        return (
            self.state_machine.current_state == _ESTABLISHED
            and not self._bounded_socket.unread
            and self.assoc.dimse.message is None
        )

    def _read_pdus(self) -> None:
        """Handle PDUs until none follows, or one is for pynetdicom."""
        pdus, connection = self._pdus, self._connection
        if not self._has_stored:  # once: it costs two system calls
            self._blocks = use_kernel_timeout(connection, self.assoc.network_timeout)
        while True:
            # For the whole PDU: single bytes must not keep the thread.
            deadline = time.monotonic() + (self.assoc.network_timeout or 0.0)
            while (pdu := pdus.take()) is None:
                if pdus.is_empty and not self._awaits_pdu(connection):
                    return
                if time.monotonic() > deadline:
                    raise BadPdu("a PDU takes too long")
                if not pdus.fill(connection, whole=self._blocks):
                    self._end("Evt17")
                    return
                if pdus.next_type() != P_DATA_TF:  # release, abort, or invalid
                    self._hand_over(b"")
                    return
            if not self._handle_pdu(pdu):
                return
            if pdus.next_type() not in (None, P_DATA_TF):
                self._hand_over(b"")
                return

    def _awaits_pdu(self, connection: Any) -> bool:
        """Whether to read the next PDU, rather than let pynetdicom check its queues."""
        if self._killed or not self.to_provider_queue.empty():
            return False
        return self.is_receiving or self._wake.wait(connection)

    def _handle_pdu(self, pdu: memoryview) -> bool:
        """Handle the PDVs of a PDU; return False when pynetdicom must continue."""
        self._idle_timer.restart()  # as pynetdicom does in its loop
        pdvs = split(pdu)
        for index, (context_id, control, fragment) in enumerate(pdvs):
            if control & _COMMAND:
                is_handled = self._add_command(context_id, control, fragment)
            else:
                is_handled = self._add_data(control, fragment)
            if not is_handled:
                later = (p_data(c, h, bytes(f)) for c, h, f in pdvs[index + 1 :])
                self._hand_over(self._unhandled(context_id, control, fragment, *later))
                return False
        return True

    def _add_command(self, context_id: int, control: int, fragment: memoryview) -> bool:
        if self._store is not None:
            raise BadPdu("a command within a Data Set")
        self._command += fragment
        if len(self._command) > _COMMAND_LIMIT:
            raise BadPdu("a command that does not end")
        if not control & _LAST:
            return True
        # A message that pynetdicom has not answered comes first: responses keep order.
        request = read_request(self._command)
        context = self.assoc._accepted_cx.get(context_id)  # noqa: SLF001
        if request is None or context is None or cast(Any, self.assoc).is_busy:
            return False
        self._command.clear()
        self._context_id = context_id
        accepted = AcceptedContext(
            str(context.abstract_syntax), str(context.transfer_syntax[0])
        )
        self._store = IncomingStore(
            self._reception, self._next_file, self.assoc, request, accepted
        )
        self._reception.receiving.add(self)
        self._store.begin()
        return True

    def _add_data(self, control: int, fragment: memoryview) -> bool:
        store = self._store
        if store is None:
            return False
        is_last = bool(control & _LAST)
        store.write(fragment)
        if not is_last and self._is_alone:
            store.start_writeback()
        if is_last:
            self._complete(store)
        return True

    def _complete(self, store: IncomingStore) -> None:
        try:
            self._answer(store)
        finally:  # also when the peer closed before the answer: the instance is stored
            self._store = None
            self._reception.receiving.discard(self)
            store.account()
        # While the peer prepares its next request; after one instance none may follow.
        if self._has_stored and store.is_stored:
            self._next_file.prepare()
        self._has_stored = store.is_stored

    def _answer(self, store: IncomingStore) -> None:
        # 0x0000 is a promise: the file is synced, renamed, and its folder synced before it.
        status, comment = store.finish()
        response = encode_response(store.request, status, comment)
        limit = self.assoc.requestor.maximum_length or 0
        pdus = p_data(self._context_id, _COMMAND | _LAST, response, limit)
        try:
            self._connection.sendall(pdus)
        except OSError as error:
            raise ConnectionError("the peer does not read its answer") from error

    def _unhandled(
        self, context_id: int, control: int, fragment: memoryview, *later: bytes
    ) -> bytes:
        """Return as PDUs what pynetdicom must read: the complete command, then `later`."""
        value = bytes(self._command) if control & _COMMAND else bytes(fragment)
        self._command.clear()
        return p_data(context_id, control, value) + b"".join(later)

    def _hand_over(self, unhandled: bytes) -> None:
        """Let pynetdicom continue; it reads the given bytes first."""
        self._reset()
        self._bounded_socket.unread += unhandled + self._pdus.rest()
        super()._read_pdu_data()

    def _end(self, event: str) -> None:
        self._ended = True
        self._reset()
        self.event_queue.put(event)

    def _reset(self) -> None:
        """Discard a message that is not complete."""
        store, self._store = self._store, None
        self._reception.receiving.discard(self)
        self._command.clear()
        if store is not None:
            store.discard()
