"""The TCP servers: accept connections and start an association for each request.

These classes override `AssociationServer` and `RequestHandler` of pynetdicom 3.0, whose
version is pinned. pynetdicom would start two threads for each connection at once.
"""

import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.transport import AssociationServer, RequestHandler

from services.listener.audit.reception import ReceptionAudit
from services.listener.connections.admission import Admission, Refusal, Refusals
from services.listener.connections.associate_request import LIMIT_EXCEEDED
from services.listener.connections.pending_connections import (
    PendingConnection,
    PendingConnections,
)
from services.listener.connections.storage_association import StorageAssociation
from services.listener.connections.tls_contexts import TlsContexts
from services.listener.connections.upper_layer import (
    ASSOCIATE_LIMIT,
    BoundedSocket,
    UpperLayer,
)
from veritag.process.logs import get_logger
from veritag.storage.spool import Spool

# A peer that vanishes is noticed by unanswered keepalives within a minute, and by
# unacknowledged data within the network timeout.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
_USER_TIMEOUT = "TCP_USER_TIMEOUT"  # milliseconds; Linux only
# Connections accepted in a row before pending ones are served.
_ACCEPT_BATCH = 64
_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NO_DESCRIPTORS_PAUSE = 0.05
# Where the Application Entity sets no ACSE timeout.
_ACSE_SECONDS = 30.0


class StorageRequestHandler(RequestHandler):
    """Makes a `StorageAssociation` of a connection with a complete request."""

    request: PendingConnection  # socketserver passes the socket here
    association: StorageAssociation

    def handle(self) -> None:
        """Start the association."""
        self.association = self._create_association()
        self.association.start()

    def _create_association(self) -> StorageAssociation:
        server = cast("StorageServer", self.server)
        assoc = StorageAssociation(self.ae, MODE_ACCEPTOR, server.upper_layer)
        assoc._server = server  # noqa: SLF001
        assoc.buffering.spool = server.spool
        assoc.on_end = partial(server.audit.ended, assoc)
        assoc.name = f"AcceptorThread@{assoc.association_id}"
        connection = BoundedSocket(assoc, client_socket=self.request.connection)
        # The state machine must read the request itself, to go from Sta2 to Sta3.
        connection.unread = bytes(self.request.request)
        connection.limit = max(ASSOCIATE_LIMIT, self.ae.maximum_pdu_size)
        assoc.set_socket(connection)
        acceptor = assoc.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = self.server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        # Replaced at EVT_REQUESTED, see `contexts_for`.
        acceptor.supported_contexts = list(self.server.contexts)
        assoc.requestor.address_info = self.remote
        self._bind(assoc)
        return assoc

    def _bind(self, assoc: StorageAssociation) -> None:
        # A pair for an intervention event, a list of pairs for a notification event.
        handlers: Any
        for event, handlers in self.server._handlers.items():  # noqa: SLF001
            if event.is_intervention:
                if handlers:
                    assoc.bind(event, *handlers)
            else:
                for function, arguments in handlers:
                    assoc.bind(event, function, arguments)


class StorageServer(AssociationServer):
    """Accepts the connections of one port into its `PendingConnections`.

    Attributes
    ----------
    tls
        Source of TLS contexts; None on a plain port.
    """

    request_queue_size = 1024
    spool: Spool
    upper_layer: Callable[[Any], UpperLayer] = UpperLayer
    admission: Admission
    refusals: Refusals
    audit: ReceptionAudit
    tls: TlsContexts | None = None

    def __init__(self, *args: Any, share_port: bool = False, **more: Any) -> None:
        self._shares_port = share_port
        super().__init__(*args, **more)
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._ended.set()
        self._next_upkeep = 0.0

    def server_bind(self) -> None:
        """Bind to the port, which other listener processes may share."""
        if self._shares_port:
            listening = cast("socket.socket", self.socket)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Accept and serve pending connections until `shutdown`."""
        self._ended.clear()
        with selectors.DefaultSelector() as selector:
            listening = cast("socket.socket", self.socket)
            listening.setblocking(False)
            selector.register(listening, selectors.EVENT_READ)
            seconds = self.ae.acse_timeout or _ACSE_SECONDS
            self.pending = PendingConnections(
                selector, self.refusals, seconds, self._admit
            )
            try:
                while not self._stopping.is_set():
                    self._serve_once(selector, poll_interval)
            finally:
                self.pending.close()
                self._ended.set()

    def _serve_once(
        self, selector: selectors.BaseSelector, poll_interval: float
    ) -> None:
        for key, _ in selector.select(poll_interval):
            try:
                if key.data is None:
                    self._accept_some()
                else:
                    self.pending.advance(key.data)
            except Exception:  # noqa: BLE001 - one connection must not end the others
                get_logger().exception("connection_failed")
        if time.monotonic() >= self._next_upkeep:
            self._next_upkeep = time.monotonic() + poll_interval
            self._keep_up()

    def _keep_up(self) -> None:
        self.pending.close_late()
        if self.tls is not None:
            self.tls.refresh()
        self.service_actions()

    def _accept_some(self) -> None:
        for _ in range(_ACCEPT_BATCH):
            try:
                connection, address = self.get_request()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self.pending.make_room()
                    time.sleep(_NO_DESCRIPTORS_PAUSE)
                    return
                continue  # the peer has closed already
            self._receive(connection, address)

    def _receive(self, connection: socket.socket, address: Any) -> None:
        host = str(address[0])
        try:
            if self.admission.allows(host):
                context = self.tls.current if self.tls else None
                self.pending.add(connection, address, context)
                return
            self.refusals.refuse("host", host=host)
        except OSError:
            pass  # the peer has closed already
        connection.close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and set its socket options."""
        connection, address = cast("socket.socket", self.socket).accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        timeout = int(1000 * (self.ae.network_timeout or 0))
        for name, value in {**_KEEPALIVE, _USER_TIMEOUT: timeout}.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return connection, address

    def _admit(self, pending: PendingConnection) -> Refusal | None:
        try:
            return self.admission.admit(pending.host, lambda: self._begin(pending))
        except Exception:  # noqa: BLE001 - such as RuntimeError: can't start new thread
            get_logger().exception("connection_failed")
            return Refusal("other", LIMIT_EXCEEDED)

    def _begin(self, pending: PendingConnection) -> StorageAssociation:
        pending.connection.settimeout(self.ae.network_timeout)
        handler_class: Any = StorageRequestHandler
        handler = handler_class(pending, pending.address, self)
        return cast(StorageAssociation, handler.association)

    def shutdown(self) -> None:
        """Stop accepting and close pending connections; associations continue."""
        self._stopping.set()
        self._ended.wait()
        self.server_close()
