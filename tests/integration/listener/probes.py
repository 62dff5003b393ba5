"""Connections of load balancers, monitors and port scanners, none of which store."""

import socket
import struct
from collections.abc import Callable

from tests.integration.listener.wire import (
    CT_IMAGE_STORAGE,
    IMPLICIT,
    VERIFICATION,
    Peer,
    associate_request,
    echo_command,
    p_data,
    pdv,
)

_LAST_COMMAND = 3  # PS3.8 section E.2


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def _close(port: int) -> None:
    _connect(port).close()


def _reset(port: int) -> None:
    """End the connection with RST."""
    with _connect(port) as connection:
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _half_a_request(port: int) -> None:
    request = associate_request("PROBE", "VERITAG", (CT_IMAGE_STORAGE, [IMPLICIT]))
    with _connect(port) as connection:
        connection.sendall(request[: len(request) // 2])


def _gone_once_associated(port: int) -> None:
    with Peer(port, calling="PROBE").associate((VERIFICATION, [IMPLICIT])):
        pass


def _echo(port: int) -> None:
    with Peer(port, calling="PROBE").associate((VERIFICATION, [IMPLICIT])) as peer:
        peer.socket.sendall(p_data(pdv(echo_command(), 1, _LAST_COMMAND)))
        assert peer.answer().status == 0x0000
        peer.release()


PROBES: dict[str, Callable[[int], None]] = {
    "close": _close,
    "reset": _reset,
    "half a request": _half_a_request,
    "gone once associated": _gone_once_associated,
    "echo": _echo,
}
