"""Sends audit messages by syslog (RFC 5424), and never holds up who writes them.

Over UDP (RFC 5426), TCP with octet counting (RFC 6587 section 3.4.1) or TLS (RFC 5425);
PS3.15 sections A.6 and A.7. Or to a file, one message to a line.
"""

import contextlib
import os
import queue
import socket
import ssl
import threading
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from veritag.audit import Event, Origin, encode
from veritag.logs import get_logger
from veritag.metrics import AUDIT_DROPPED, AUDIT_WAITING
from veritag.settings import Settings
from veritag.tls import Identity, PeerTls, client_context

# Facility 10 (security and authorization), severity 5 (notice) or 4 (warning).
_NOTICE, _WARNING = 10 * 8 + 5, 10 * 8 + 4
_MESSAGE_ID = "DICOM+RFC3881"
_APPLICATION = "veritag"
_BOM = b"\xef\xbb\xbf"  # RFC 5424 section 6.4: what follows is UTF-8

_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
_MOST_WAITING = 10_000
_SECONDS = 5.0
_LEAST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_FAREWELL_SECONDS = 3.0


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


class Courier:
    """Takes events at once and delivers them in a thread, one channel after the other.

    What cannot be delivered waits, and is tried again; more than some thousands are
    dropped and counted.
    """

    def __init__(self, name: str, channel: Channel, origin: Origin) -> None:
        self._name = name
        self._channel = channel
        self._origin = origin
        self._waiting: queue.Queue[Event | None] = queue.Queue(_MOST_WAITING)
        self._stopping = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return self._waiting.unfinished_tasks  # the one under way too

    def tell(self, event: Event) -> None:
        """Hand over an event; returns at once."""
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            AUDIT_DROPPED.inc()

    def stop(self) -> None:
        """Deliver what waits, as far as a few seconds reach."""
        self._stopping.set()
        with contextlib.suppress(queue.Full):  # then it has enough to wake up for
            self._waiting.put_nowait(None)
        self._thread.join(_FAREWELL_SECONDS)

    def _run(self) -> None:
        while (event := self._waiting.get()) is not None:
            self._deliver(event)
            self._waiting.task_done()
        self._channel.close()

    def _deliver(self, event: Event) -> None:
        message, pause = syslog_message(event, self._origin), _LEAST_PAUSE
        while not self._is_sent(message):
            if self._stopping.wait(pause):
                AUDIT_DROPPED.inc()
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_sent(self, message: bytes) -> bool:
        try:
            self._channel.send(message)
        except Exception as error:  # noqa: BLE001 - TLS files, names, networks, disks
            if not self._is_failing:
                reason = str(error) or type(error).__name__
                get_logger().error("audit_fails", channel=self._name, reason=reason)
            self._is_failing = True
            return False
        if self._is_failing:
            get_logger().info("audit_works_again", channel=self._name)
        self._is_failing = False
        return True


class AuditTrail:
    """Everywhere that audit messages go; nowhere where nothing is set."""

    def __init__(self, couriers: Sequence[Courier]) -> None:
        self._couriers = couriers
        AUDIT_WAITING.set_function(lambda: max((len(c) for c in couriers), default=0))

    @classmethod
    def open(cls, settings: Settings) -> "AuditTrail":
        """Start what the settings name."""
        origin = Origin(
            settings.audit_source_id or socket.gethostname(), settings.audit_site
        )
        couriers = []
        if settings.audit_syslog is not None:
            channel = _channel(settings, settings.audit_syslog)
            couriers.append(Courier("syslog", channel, origin))
        if settings.audit_file is not None:
            file = FileChannel(settings.audit_file)
            couriers.append(Courier("file", file, origin))
        return cls(couriers)

    @property
    def is_kept(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self._couriers)

    def tell(self, event: Event) -> None:
        """Hand an event over; returns at once."""
        for courier in self._couriers:
            courier.tell(event)

    def stop(self) -> None:
        """Deliver what waits, as far as a few seconds reach."""
        for courier in self._couriers:
            courier.stop()


def _channel(settings: Settings, url: str) -> Channel:
    where = urlsplit(url)
    host, port = where.hostname or "", where.port or _PORTS[where.scheme]
    if where.scheme == "udp":
        return UdpChannel(host, port)
    if where.scheme == "tcp":
        return StreamChannel(host, port)
    certificate = settings.audit_tls_certificate
    identity = Identity(certificate) if certificate else None
    return StreamChannel(host, port, PeerTls(settings.audit_tls_ca, identity))
