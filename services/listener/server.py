"""Accepts connections and makes an association of each.

These classes override internals of pynetdicom 3.0; its version is pinned.
"""

import socket
from collections.abc import Callable
from typing import Any, cast

from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.transport import AssociationServer, RequestHandler

from services.listener.association import StorageAssociation
from services.listener.upper_layer import ASSOCIATE_LIMIT, BoundedSocket, PromptDUL
from veritag.logs import get_logger
from veritag.spool import Spool

# Connections over the limit get an A-ASSOCIATE-RJ; so many more are not even read.
_SPARE_CONNECTIONS = 32


class StorageRequestHandler(RequestHandler):
    """Makes a `StorageAssociation` of a connection."""

    def _create_association(self) -> StorageAssociation:
        server = cast("StorageServer", self.server)
        assoc = StorageAssociation(self.ae, MODE_ACCEPTOR, server.upper_layer)
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
    upper_layer: Callable[[Any], PromptDUL] = PromptDUL

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
