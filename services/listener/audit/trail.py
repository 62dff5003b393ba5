"""Takes audit events from whoever has them, and never holds up anybody."""

import queue
import socket
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from services.listener.audit.messages import Event, Origin
from services.listener.audit.syslog import (
    Channel,
    FileChannel,
    StreamChannel,
    UdpChannel,
    syslog_message,
)
from veritag.peers.tls import PeerTls, TlsIdentity
from veritag.process.logs import get_logger
from veritag.process.metrics import AUDIT_DROPPED, AUDIT_WAITING
from veritag.settings import Settings

_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
_MOST_WAITING = 10_000
_LEAST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_FAREWELL_SECONDS = 3.0


class Courier:
    """Takes events at once and delivers them in a thread, one channel after the other.

    What cannot be delivered waits, and is tried again; more than some thousands are
    dropped and counted.
    """

    def __init__(self, name: str, channel: Channel, origin: Origin) -> None:
        self._name = name
        self._channel = channel
        self._origin = origin
        self._waiting: queue.Queue[Event | None] = queue.Queue()
        self._stopping = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return self._waiting.unfinished_tasks  # the one under way too

    def tell(self, event: Event) -> None:
        """Hand over an event; returns at once."""
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put(event)
        else:
            AUDIT_DROPPED.inc()

    def stop(self) -> None:
        """Deliver what waits, as far as a few seconds reach."""
        self._stopping.set()
        self._waiting.put(None)
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
    identity = TlsIdentity(certificate) if certificate else None
    return StreamChannel(host, port, PeerTls(settings.audit_tls_ca, identity))
