"""Audit messages as syslog (RFC 5424), and the channels that take them.

Over UDP (RFC 5426), TCP with octet counting (RFC 6587 section 3.4.1) or TLS (RFC 5425);
PS3.15 sections A.6 and A.7. Or to a file, one message to a line.
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
_BOM = b"\xef\xbb\xbf"  # RFC 5424 section 6.4: what follows is UTF-8

_SECONDS = 5.0


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
    """Something that takes messages, opened when the first one is sent."""

    def send(self, message: bytes) -> None:
        """Send one; raises OSError if that fails, and is closed then."""

    def close(self) -> None:
        """Let go of what is open."""


class UdpChannel:
    """One datagram for each message; lost ones are lost."""

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)

    def send(self, message: bytes) -> None:
        """Send one."""
        found = socket.getaddrinfo(*self._where, type=socket.SOCK_DGRAM)
        family, kind, number, _, address = found[0]
        with socket.socket(family, kind, number) as datagrams:
            datagrams.sendto(message, address)

    def close(self) -> None:
        """Nothing stays open."""


class StreamChannel:
    """A connection that is made again when it is lost.

    What lay in the peer's or the system's buffers at that moment is lost too: syslog
    knows no acknowledgment (RFC 6587 section 1).
    """

    def __init__(self, host: str, port: int, tls: PeerTls | None = None) -> None:
        self._where = (host, port)
        self._tls = tls
        self._connection: socket.socket | None = None

    def send(self, message: bytes) -> None:
        """Send one, over a new connection if the old one has ended."""
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
        connection = socket.create_connection(self._where, timeout=_SECONDS)
        if self._tls is None:
            return connection
        try:
            context = client_context(self._tls)
            return context.wrap_socket(connection, server_hostname=self._where[0])
        except OSError:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _has_ended(connection: socket.socket) -> bool:
    """Tell whether the peer has closed; of what else it may send there is no use."""
    connection.setblocking(False)
    try:
        return not connection.recv(4096)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(_SECONDS)


class FileChannel:
    """Appends lines to a file, and to a new one when that was rotated away."""

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
