"""What pynetdicom's association lacks for a server that faces a hospital's network.

A Data Set that does not end goes to disk, not into memory (see `buffer`); nothing is
believed of a PDU that was not checked (see `upper_layer`); every read and write has a
timeout, so that no thread waits for ever; and idle threads wait (see `waiting`).

These classes override internals of pynetdicom 3.0; its version is pinned.
"""

import secrets
import socket
import time
from typing import Any, cast

from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.transport import AssociationServer, RequestHandler

from services.listener.buffer import BufferingDIMSE
from services.listener.upper_layer import ASSOCIATE_LIMIT, BoundedSocket, PromptDUL
from services.listener.waiting import TURN, Checkpoint, WakingQueue
from veritag.logs import get_logger
from veritag.metrics import ASSOCIATIONS_OPEN
from veritag.spool import Spool

# Connections over the limit get an A-ASSOCIATE-RJ; so many more are not even read.
_SPARE_CONNECTIONS = 32
_ABORT_TURNS = 5


class StorageAssociation(Association):
    """An association with an identifier of ours and the classes above."""

    def __init__(self, ae: Any, mode: str) -> None:
        super().__init__(ae, mode)
        self.association_id = secrets.token_hex(8)
        self.dul = self._upper_layer = PromptDUL(self)
        self.dimse = self.buffering = BufferingDIMSE(self)
        checkpoint = Checkpoint(self._has_work)
        checkpoint.set()
        self.dul.to_user_queue = WakingQueue(checkpoint.wake)
        self.dimse.msg_queue = WakingQueue(checkpoint.wake)
        self._reactor_checkpoint = checkpoint
        # Timers belong to the upper layer; set them again on the new one.
        self.acse_timeout = self.ae.acse_timeout
        self.network_timeout = self.ae.network_timeout
        self._serving = False

    def _has_work(self) -> bool:
        return not (self.dimse.msg_queue.empty() and self.dul.to_user_queue.empty())

    @property
    def is_receiving(self) -> bool:
        """Tell whether a message is on its way in, or its answer on its way out."""
        return (
            self.dimse.message is not None
            or not self.dimse.msg_queue.empty()
            or self._serving
            or not self.dul.to_provider_queue.empty()
        )

    def end(self) -> None:
        """End an association with A-ABORT, a mere connection by closing it."""
        established = self.is_established
        if established:
            self.abort(block=False)
            self._let_it_out()
        # The thread that sends may wait for the rest of a PDU, and would for long.
        self._upper_layer.hang_up()
        if established:
            self.kill()

    def _let_it_out(self) -> None:
        for _ in range(_ABORT_TURNS):
            time.sleep(TURN)
            if self.dul.to_provider_queue.empty():
                return

    def _serve_request(self, msg: Any, context_id: int) -> None:
        self._serving = True
        try:
            context = self._accepted_cx.get(context_id)
            if isinstance(msg, C_STORE) and msg.MessageID is not None and context:
                self._serve_store(msg, context)
            elif msg.is_valid_request:
                super()._serve_request(msg, context_id)
            else:
                # pynetdicom would leave the peer without an answer until its timeout.
                self.abort()
        finally:
            self._serving = False

    def _serve_store(self, request: C_STORE, context: PresentationContext) -> None:
        """Serve a C-STORE whatever SOP Class it names; pynetdicom goes by that."""
        try:
            StorageServiceClass(self).SCP(request, context)
        except Exception:  # noqa: BLE001 - whatever it was, the sender must hear of it
            get_logger().exception(
                "association_failed", association_id=self.association_id
            )
            self.abort()

    def _run_reactor(self) -> None:
        ASSOCIATIONS_OPEN.inc()
        try:
            super()._run_reactor()
        finally:
            ASSOCIATIONS_OPEN.dec()
            self.buffering.forget()


class StorageRequestHandler(RequestHandler):
    """Makes a `StorageAssociation` of a connection."""

    def _create_association(self) -> StorageAssociation:
        assoc = StorageAssociation(self.ae, MODE_ACCEPTOR)
        server = cast("StorageServer", self.server)
        assoc._server = server  # noqa: SLF001
        assoc.buffering.spool = server.spool
        # pynetdicom finds its acceptors by this name.
        assoc.name = f"AcceptorThread@{assoc.association_id}"
        connection = BoundedSocket(assoc, client_socket=self.request)
        connection.limit = max(ASSOCIATE_LIMIT, self.ae.maximum_pdu_size)
        assoc.set_socket(connection)
        acceptor = assoc.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = self.server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        # Replaced when the association is requested, see `contexts_for`.
        acceptor.supported_contexts = list(self.server.contexts)
        assoc.requestor.address_info = self.remote
        self._bind(assoc)
        return assoc

    def _bind(self, assoc: StorageAssociation) -> None:
        handlers: Any  # a pair for interventions, a list of pairs for notifications
        for event, handlers in self.server._handlers.items():  # noqa: SLF001
            if event.is_intervention:
                if handlers:
                    assoc.bind(event, *handlers)
            else:
                for function, arguments in handlers:
                    assoc.bind(event, function, arguments)


class StorageServer(AssociationServer):
    """Accepts connections, with a timeout on each and without Nagle's delay.

    An association starts threads of its own; to accept it takes none.
    """

    request_queue_size = 128
    spool: Spool

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and set it up."""
        connection, address = super().get_request()
        connection.settimeout(self.ae.network_timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection, address

    def verify_request(self, _request: Any, _client_address: Any) -> bool:
        """Close connections that exceed what may even be rejected politely."""
        most = self.ae.maximum_associations + _SPARE_CONNECTIONS
        return len(self.active_associations) < most

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Log in our form what went wrong with one connection."""
        get_logger().exception("connection_failed")
