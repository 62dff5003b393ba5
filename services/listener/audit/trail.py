"""The audit trail: queues events and delivers them in the background."""

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
from veritag.process.backoff import Backoff
from veritag.process.logs import get_logger
from veritag.process.metrics import AUDIT_DROPPED, AUDIT_WAITING
from veritag.settings import Settings

_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
_MAX_QUEUED = 10_000
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_STOP_SECONDS = 3.0


class ChannelQueue:
    """Queues the events of one channel and delivers them in a thread.

    An event that cannot be delivered is tried again. Events beyond a full queue are
    dropped and counted.
    """

    def __init__(self, name: str, channel: Channel, origin: Origin) -> None:
        self._name = name
        self._channel = channel
        self._origin = origin
        self._queue: queue.Queue[Event | None] = queue.Queue()
        self._stopping = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return self._queue.unfinished_tasks  # includes the one in delivery

    def add(self, event: Event) -> None:
        """Queue an event without blocking."""
        # Without a lock: a few events above the limit do no harm.
        if self._queue.qsize() < _MAX_QUEUED:
            self._queue.put(event)
        else:
            AUDIT_DROPPED.inc()

    def stop(self) -> None:
        """Deliver queued events for a few seconds at most."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            self._deliver(event)
            self._queue.task_done()
        self._channel.close()

    def _deliver(self, event: Event) -> None:
        message = syslog_message(event, self._origin)
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        while not self._is_sent(message):
            if self._stopping.wait(backoff.next()):
                AUDIT_DROPPED.inc()
                return

    def _is_sent(self, message: bytes) -> bool:
        try:
            self._channel.send(message)
        except Exception as error:  # noqa: BLE001 - of TLS files, names, network or disk
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
    """The channels of audit messages; none where the settings name none."""

    def __init__(self, queues: Sequence[ChannelQueue]) -> None:
        self._queues = queues
        AUDIT_WAITING.set_function(lambda: max((len(c) for c in queues), default=0))

    @classmethod
    def open(cls, settings: Settings) -> "AuditTrail":
        """Start the channels that the settings name."""
        origin = Origin(
            settings.audit_source_id or socket.gethostname(), settings.audit_site
        )
        queues = []
        if settings.audit_syslog is not None:
            channel = _channel(settings, settings.audit_syslog)
            queues.append(ChannelQueue("syslog", channel, origin))
        if settings.audit_file is not None:
            file = FileChannel(settings.audit_file)
            queues.append(ChannelQueue("file", file, origin))
        return cls(queues)

    @property
    def is_enabled(self) -> bool:
        """Whether there is a channel."""
        return bool(self._queues)

    def add(self, event: Event) -> None:
        """Queue an event for each channel without blocking."""
        for channel_queue in self._queues:
            channel_queue.add(event)

    def stop(self) -> None:
        """Deliver queued events for a few seconds at most."""
        for channel_queue in self._queues:
            channel_queue.stop()


def _channel(settings: Settings, url: str) -> Channel:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    if parts.scheme == "udp":
        return UdpChannel(host, port)
    if parts.scheme == "tcp":
        return StreamChannel(host, port)
    certificate = settings.audit_tls_certificate
    identity = TlsIdentity(certificate) if certificate else None
    return StreamChannel(host, port, PeerTls(settings.audit_tls_ca, identity))
