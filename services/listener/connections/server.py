"""Accepts connections, and makes an association of each that asks for one.

These classes override internals of pynetdicom 3.0; its version is pinned.
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
    PromptDUL,
)
from veritag.process.logs import get_logger
from veritag.storage.spool import Spool

# A peer that vanishes without a word is noticed by its silence within a minute, and by
# what it does not acknowledge within the network timeout.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
_USER_TIMEOUT = "TCP_USER_TIMEOUT"  # milliseconds; Linux only
# So many connections are accepted before those that wait are attended to.
_BATCH = 64
_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BREATH_SECONDS = 0.05
# Where the Application Entity sets no limit of its own.
_ACSE_SECONDS = 30.0


class StorageRequestHandler(RequestHandler):
    """Makes a `StorageAssociation` of a guest whose request is there."""

    request: PendingConnection  # where socketserver has the socket itself
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
        assoc.when_over = partial(server.audit.ended, assoc)
        # pynetdicom finds its acceptors by this name.
        assoc.name = f"AcceptorThread@{assoc.association_id}"
        connection = BoundedSocket(assoc, client_socket=self.request.connection)
        connection.unread = bytes(self.request.request)
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
    """Accepts connections on one port and lets them wait in a `PendingConnections`.

    Attributes
    ----------
    tls
        Where its contexts come from; None on a plain port.
    """

    request_queue_size = 1024
    spool: Spool
    upper_layer: Callable[[Any], PromptDUL] = PromptDUL
    admission: Admission
    refusals: Refusals
    audit: ReceptionAudit
    tls: TlsContexts | None = None

    def __init__(self, *args: Any, share_port: bool = False, **more: Any) -> None:
        self._shares_port = share_port
        super().__init__(*args, **more)
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._ended.set()
        self._next_look = 0.0

    def server_bind(self) -> None:
        """Bind to our port, together with others of our processes where so set."""
        if self._shares_port:
            listening = cast("socket.socket", self.socket)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Accept and attend until `shutdown`."""
        self._ended.clear()
        with selectors.DefaultSelector() as selector:
            listening = cast("socket.socket", self.socket)
            listening.setblocking(False)
            selector.register(listening, selectors.EVENT_READ)
            seconds = self.ae.acse_timeout or _ACSE_SECONDS
            self.lobby = PendingConnections(
                selector, self.refusals, seconds, self._admit
            )
            try:
                while not self._stopping.is_set():
                    self._turn(selector, poll_interval)
            finally:
                self.lobby.close()
                self._ended.set()

    def _turn(self, selector: selectors.BaseSelector, poll_interval: float) -> None:
        for key, _ in selector.select(poll_interval):
            try:
                if key.data is None:
                    self._accept_some()
                else:
                    self.lobby.attend(key.data)
            except Exception:  # noqa: BLE001 - no one connection may end all the others
                get_logger().exception("connection_failed")
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + poll_interval
            self._look_around()

    def _look_around(self) -> None:
        self.lobby.dismiss_late()
        if self.tls is not None:
            self.tls.refresh()
        self.service_actions()

    def _accept_some(self) -> None:
        for _ in range(_BATCH):
            try:
                connection, address = self.get_request()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self.lobby.make_room()
                    time.sleep(_BREATH_SECONDS)
                    return
                continue  # the peer has gone already
            self._receive(connection, address)

    def _receive(self, connection: socket.socket, address: Any) -> None:
        host = str(address[0])
        try:
            if self.admission.allows(host):
                context = self.tls.current if self.tls else None
                self.lobby.welcome(connection, address, context)
                return
            self.refusals.refuse("host", host=host)
        except OSError:
            pass  # it has gone already
        connection.close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and set it up."""
        connection, address = cast("socket.socket", self.socket).accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        timeout = int(1000 * (self.ae.network_timeout or 0))
        for name, value in {**_KEEPALIVE, _USER_TIMEOUT: timeout}.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return connection, address

    def _admit(self, guest: PendingConnection) -> Refusal | None:
        try:
            return self.admission.enter(guest.host, lambda: self._begin(guest))
        except Exception:  # noqa: BLE001 - as when the system has no more threads
            get_logger().exception("connection_failed")
            return Refusal("other", LIMIT_EXCEEDED)

    def _begin(self, guest: PendingConnection) -> StorageAssociation:
        guest.connection.settimeout(self.ae.network_timeout)
        handler: Any = StorageRequestHandler
        association: StorageAssociation = handler(
            guest, guest.address, self
        ).association
        return association

    def shutdown(self) -> None:
        """Accept no more and close what waits; associations go on."""
        self._stopping.set()
        self._ended.wait()
        self.server_close()
