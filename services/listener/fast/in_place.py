"""C-STORE handled where its bytes arrive, in the thread that reads the network.

pynetdicom copies every byte six times, makes objects of each PDU and data sets of each
command, and passes each message through two threads. Here the fragments of a Data Set go
from one reusable buffer to the spool file, and the answer is sent at once. All else is
pynetdicom's: negotiation, release, abort, every other message, and whatever is odd about
a C-STORE.

This rests on internals of pynetdicom 3.0; `internals` tells whether they are there.
"""

import socket
import time
from typing import Any, cast

from pynetdicom.pdu import A_ASSOCIATE_AC

from services.listener.connections.upper_layer import BoundedSocket, PromptDUL
from services.listener.connections.wakeups import let_block
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
from services.listener.store_rules import Negotiated
from veritag.storage.spool import Spool

_COMMAND, _LAST = 0x01, 0x02  # PS3.8 annex E.2
_ESTABLISHED = "Sta6"  # PS3.8 table 9-5
_COMMAND_LIMIT = 1 << 16


class InPlaceDUL(PromptDUL):
    """An upper layer that keeps C-STORE to itself."""

    def __init__(self, reception: Reception, spool: Spool, assoc: Any) -> None:
        super().__init__(assoc)
        self._reception = reception
        self._spare = PreallocatedFile(spool)
        self._has_stored = self._blocks = False
        self._pdus = PduBuffer(assoc.ae.maximum_pdu_size)
        self._command = bytearray()
        self._arrival: IncomingStore | None = None
        self._context_id = 0

    @property
    def _is_alone(self) -> bool:
        """Whether no other association keeps disk and processors busy meanwhile."""
        return len(self._reception.arriving) == 1

    @property
    def _wire(self) -> BoundedSocket:
        return cast(BoundedSocket, self.socket)

    @property
    def _connection(self) -> socket.socket:
        return cast(socket.socket, self._wire.socket)

    @property
    def is_receiving(self) -> bool:  # type: ignore[override]
        """Whether a message is on its way in."""
        return self._arrival is not None or bool(self._command)

    def run_reactor(self) -> None:
        """Run until killed."""
        try:
            super().run_reactor()
        finally:
            self._forget()
            self._spare.discard()

    def _decode_pdu(self, bytestream: bytearray) -> Any:
        if bytestream[0] == A_ASSOCIATE_RQ:
            return decode_request(bytes(bytestream)), "Evt6"
        return super()._decode_pdu(bytestream)

    def _send(self, pdu: Any) -> None:
        if isinstance(pdu, A_ASSOCIATE_AC):
            use_encoded_items(pdu)
        super()._send(pdu)

    def _read_pdu_data(self) -> None:
        if not self._is_ours():
            super()._read_pdu_data()
            return
        try:
            self._take_all()
        except BadPdu:
            self._end("Evt19")  # invalid PDU: A-ABORT (PS3.8 table 9-10, AA-8)
        except (TimeoutError, BlockingIOError):
            self._end("Evt19")  # the silence of a peer that owes the rest of a message
        except OSError:
            self._end("Evt17")  # the transport connection is closed

    def _is_ours(self) -> bool:
        """Whether nothing is under way that pynetdicom has begun."""
        return (
            self.state_machine.current_state == _ESTABLISHED
            and not self._wire.unread
            and self.assoc.dimse.message is None
        )

    def _take_all(self) -> None:
        """Take PDUs as long as they come and are ours."""
        pdus, connection = self._pdus, self._connection
        if not self._has_stored:
            self._blocks = let_block(connection, self.assoc.network_timeout)
        while True:
            deadline = time.monotonic() + (self.assoc.network_timeout or 0.0)
            while (pdu := pdus.take()) is None:
                if pdus.is_empty and not self._is_worth_waiting(connection):
                    return
                if time.monotonic() > deadline:
                    raise BadPdu("a PDU takes too long")
                if not pdus.fill(connection, whole=self._blocks):
                    self._end("Evt17")
                    return
                if pdus.next_type() != P_DATA_TF:
                    self._leave(b"")
                    return
            if not self._receive(pdu):
                return
            if pdus.next_type() not in (None, P_DATA_TF):
                self._leave(b"")
                return

    def _is_worth_waiting(self, connection: Any) -> bool:
        """Wait for the next PDU; pynetdicom's turn comes when there is none."""
        if self._killed or not self.to_provider_queue.empty():
            return False
        return self.is_receiving or self._bell.wait(connection)

    def _receive(self, pdu: memoryview) -> bool:
        """Take the PDVs of a PDU; return False when pynetdicom must go on."""
        self._idle_timer.restart()
        pdvs = split(pdu)
        for index, (context_id, control, fragment) in enumerate(pdvs):
            if control & _COMMAND:
                is_taken = self._take_command(context_id, control, fragment)
            else:
                is_taken = self._take_data(control, fragment)
            if not is_taken:
                rest = (p_data(c, h, bytes(f)) for c, h, f in pdvs[index + 1 :])
                self._leave(self._untaken(context_id, control, fragment, *rest))
                return False
        return True

    def _take_command(
        self, context_id: int, control: int, fragment: memoryview
    ) -> bool:
        if self._arrival is not None:
            raise BadPdu("a command within a Data Set")
        self._command += fragment
        if len(self._command) > _COMMAND_LIMIT:
            raise BadPdu("a command that does not end")
        if not control & _LAST:
            return True
        request = read_request(self._command)
        context = self.assoc._accepted_cx.get(context_id)  # noqa: SLF001
        if request is None or context is None or cast(Any, self.assoc).is_busy:
            return False
        self._command.clear()
        self._context_id = context_id
        negotiated = Negotiated(
            str(context.abstract_syntax), str(context.transfer_syntax[0])
        )
        self._arrival = IncomingStore(
            self._reception, self._spare, self.assoc, request, negotiated
        )
        self._reception.arriving.add(self)
        self._arrival.begin()
        return True

    def _take_data(self, control: int, fragment: memoryview) -> bool:
        arrival = self._arrival
        if arrival is None:
            return False
        is_last = bool(control & _LAST)
        arrival.write(fragment)
        if not is_last and self._is_alone:
            arrival.hurry()
        if is_last:
            try:
                self._answer(arrival)
            finally:  # also when the peer has gone without its answer
                self._arrival = None
                self._reception.arriving.discard(self)
                arrival.account()
            # While the peer makes its next request ready; its first may be its only.
            if self._has_stored and arrival.is_stored:
                self._spare.prepare()
            self._has_stored = arrival.is_stored
        return True

    def _answer(self, arrival: IncomingStore) -> None:
        status, comment = arrival.finish()
        response = encode_response(arrival.request, status, comment)
        most = self.assoc.requestor.maximum_length or 0
        pdus = p_data(self._context_id, _COMMAND | _LAST, response, most)
        try:
            self._connection.sendall(pdus)
        except OSError as error:
            raise ConnectionError("the peer does not take its answer") from error

    def _untaken(
        self, context_id: int, control: int, fragment: memoryview, *rest: bytes
    ) -> bytes:
        """Return as PDUs what was read and is not ours: the whole command, then all."""
        value = bytes(self._command) if control & _COMMAND else bytes(fragment)
        self._command.clear()
        return p_data(context_id, control, value) + b"".join(rest)

    def _leave(self, read: bytes) -> None:
        """Let pynetdicom read again what was read already, and go on from there."""
        self._forget()
        self._wire.unread += read + self._pdus.rest()
        super()._read_pdu_data()

    def _end(self, event: str) -> None:
        self._ended = True
        self._forget()
        self.event_queue.put(event)

    def _forget(self) -> None:
        arrival, self._arrival = self._arrival, None
        self._reception.arriving.discard(self)
        self._command.clear()
        if arrival is not None:
            arrival.discard()
