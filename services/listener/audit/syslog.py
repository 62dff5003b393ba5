"""Audit messages as syslog (RFC 5424), and the channels that carry them.

The channels are UDP (RFC 5426), TCP with octet counting (RFC 6587 section 3.4.1) and TLS
(RFC 5425), by PS3.15 sections A.6 and A.7, and a file with one message per line.
"""

import os
import socket
import ssl
from datetime import UTC
from pathlib import Path
from typing import BinaryIO, Protocol

from services.listener.audit.messages import Event, Origin, encode
from veritag.peers.tls import PeerTls, client_context

# Facility 10 (security and authorization), severity 5 (notice) or 4 (warning).
_NOTICE, _WARNING = 10 * 8 + 5, 10 * 8 + 4
_MESSAGE_ID = "DICOM+RFC3881"
_APPLICATION = "veritag"
_BOM = b"\xef\xbb\xbf"  # RFC 5424 section 6.4: marks UTF-8

_TIMEOUT_SECONDS = 5.0


def syslog_message(event: Event, origin: Origin) -> bytes:
    """Return an event as a SYSLOG-MSG."""
    priority = _WARNING if event.outcome else _NOTICE
    stamp = event.at.astimezone(UTC).isoformat(timespec="milliseconds")
    host = socket.gethostname() or "-"
    header = (
        f"<{priority}>1 {stamp.replace('+00:00', 'Z')} {host} {_APPLICATION} "
        f"{os.getpid()} {_MESSAGE_ID} - "
    )
    return header.encode("ascii", errors="replace") + _BOM + encode(event, origin)


class Channel(Protocol):
    """A destination of messages, opened at the first one."""

    def send(self, message: bytes) -> None:
        """Send a message; after an OSError the channel is closed."""

    def close(self) -> None:
        """Close connection or file."""


class UdpChannel:
    """One datagram per message; a lost one is not noticed."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    def send(self, message: bytes) -> None:
        """Send a message."""
        addresses = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = addresses[0]
        with socket.socket(family, kind, protocol) as datagrams:
            datagrams.sendto(message, address)

    def close(self) -> None:
        """Do nothing: no socket stays open."""


class StreamChannel:
    """A connection that is opened again after a loss.

    Messages in the buffers of kernel or peer at that moment are lost: syslog has no
    acknowledgment (RFC 6587 section 1).
    """

    def __init__(self, host: str, port: int, tls: PeerTls | None = None) -> None:
        self._address = (host, port)
        self._tls = tls
        self._connection: socket.socket | None = None

    def send(self, message: bytes) -> None:
        """Send a message, over a new connection if the old one has ended."""
        if self._connection is not None and _has_ended(self._connection):
            self.close()
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.sendall(b"%d %s" % (len(message), message))
        except OSError:
            self.close()
            raise

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=_TIMEOUT_SECONDS)
        if self._tls is None:
            return connection
        try:
            context = client_context(self._tls)
            return context.wrap_socket(connection, server_hostname=self._address[0])
        except OSError:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _has_ended(connection: socket.socket) -> bool:
    """Whether the peer has closed; bytes that it sends are discarded."""
    connection.setblocking(False)
    try:
        return not connection.recv(4096)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(_TIMEOUT_SECONDS)


class FileChannel:
    """Appends lines to a file, which is opened again after a rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def send(self, message: bytes) -> None:
        """Append one line."""
        if self._file is not None and not self._is_same(self._file):
            self.close()
        if self._file is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            self._file = os.fdopen(os.open(self._path, flags, 0o640), "ab", 0)
        self._file.write(message + b"\n")

    def _is_same(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(file.fileno()))
        except OSError:
            return False

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
