"""The delivery process: a thread for commitment, and one for each destination."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.delivery.commitment_check import CommitmentCheck
from services.delivery.commitment_reports import CommitmentReports
from services.delivery.destination_filter import DestinationFilter
from services.delivery.forwarder import Forwarder
from services.delivery.gauges import set_commitment_gauges, set_destination_gauges
from services.delivery.receivers import receiver_of
from veritag.errors import RetryableError
from veritag.peers.peer import Peer
from veritag.peers.tls import client_context
from veritag.process.health import HealthServer
from veritag.process.lifecycle import (
    availability_check,
    claim_spool,
    disable_pydicom_validation,
    retry_until_available,
    stop_on_signals,
)
from veritag.process.logs import configure_logging, get_logger
from veritag.process.memory import release_memory_later
from veritag.records import Records
from veritag.records.delivery.destinations import sync_destinations
from veritag.settings import Settings
from veritag.storage.archive import Archive
from veritag.storage.commitment_folder import CommitmentFolder
from veritag.storage.spool import Spool

_GAUGE_SECONDS = 5.0

Work = Callable[[threading.Event], None]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the threads share."""

    settings: Settings
    spool: Spool
    archive: Archive
    records: Records


def run_delivery(settings: Settings, *, forwarding: bool) -> None:
    """Report and forward until SIGTERM or SIGINT.

    Parameters
    ----------
    forwarding
        Also forward instances, not only report storage commitment.

    Raises
    ------
    ConfigurationError
        If a port is taken, or spool, database or TLS files cannot be used.
    """
    configure_logging(settings, "delivery")
    disable_pydicom_validation()
    _require_tls_files(settings)
    stopping = threading.Event()
    stop_on_signals(stopping)
    spool = Spool(settings.spool_dir)
    with claim_spool(spool, "delivery", stopping):
        records = Records.open(settings.records_url)
        checks = {"records": availability_check(records.ping)}
        health = HealthServer(settings.http_host, settings.delivery_http_port, checks)
        http_port = health.start()
        get_logger().info("delivering", http_port=http_port)
        parts = _Parts(settings, spool, Archive(settings.archive_dir), records)
        if retry_until_available(records.migrate, stopping):
            _work(parts, forwarding, stopping)
        records.close()


def _work(parts: _Parts, forwarding: bool, stopping: threading.Event) -> None:
    destinations = [p for p in parts.settings.peers if p.forward and forwarding]
    works: list[Work] = [_commitment_reports(parts).run]

    def prepare() -> None:
        works.extend(forwarder.run for forwarder in _forwarders(parts, destinations))

    if forwarding and not retry_until_available(prepare, stopping):
        return
    # Daemons: one that hangs in a send must not keep the process beyond the grace.
    threads = [
        threading.Thread(target=work, args=(stopping,), daemon=True) for work in works
    ]
    for thread in threads:
        thread.start()
    release_memory_later()
    _watch(parts.records, {peer.name for peer in destinations}, stopping)
    _join(threads, parts.settings.stop_grace_seconds)


def _commitment_reports(parts: _Parts) -> CommitmentReports:
    settings = parts.settings
    folder = CommitmentFolder(settings.spool_dir)
    folder.prepare()
    # Of several peers with one AE title the first gets the reports.
    receivers = {
        peer.ae_title: receiver_of(peer, settings) for peer in settings.peers[::-1]
    }
    check = CommitmentCheck(parts.spool, parts.archive, parts.records)
    return CommitmentReports(
        folder, parts.records, check, receivers, settings.commitment_hours
    )


def _forwarders(parts: _Parts, peers: Iterable[Peer]) -> list[Forwarder]:
    by_name = {peer.name: peer for peer in peers}
    since = {name: peer.since for name, peer in by_name.items()}
    ids = sync_destinations(parts.records, since)
    return [
        Forwarder(
            ids[name],
            name,
            receiver_of(peer, parts.settings),
            parts.records,
            parts.archive,
            DestinationFilter(peer, parts.records, parts.archive),
            parts.settings.forward_attempts,
        )
        for name, peer in by_name.items()
    ]


def _watch(records: Records, names: set[str], stopping: threading.Event) -> None:
    """Update the gauges until `stopping` is set."""
    while not stopping.is_set():
        try:
            set_destination_gauges(records, names)
            set_commitment_gauges(records)
        except RetryableError as error:
            get_logger().warning("records_unavailable", reason=str(error))
        stopping.wait(_GAUGE_SECONDS)


def _join(threads: Iterable[threading.Thread], grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    for thread in threads:
        thread.join(max(0.1, deadline - time.monotonic()))


def _require_tls_files(settings: Settings) -> None:
    for peer in settings.peers:
        receiver = receiver_of(peer, settings)
        if receiver.tls is not None:
            client_context(receiver.tls)
