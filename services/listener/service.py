"""The process of the listener, with its helpers and the indexer as children."""

import threading
import time
from collections.abc import Callable, Iterable

from services.listener.acceptor import Acceptor
from services.listener.child import HelperProcess
from services.listener.memory import settle_memory
from veritag.process.health import HealthServer
from veritag.process.lifecycle import (
    claim,
    end_with_parent,
    stop_signals,
    take_uids_as_they_are,
)
from veritag.process.logs import configure_logging, get_logger
from veritag.process.metrics import SPOOL_FREE_BYTES
from veritag.settings import Settings
from veritag.storage.spool import Spool


def run_listener(
    settings: Settings, *, with_indexer: bool, parent: int | None = None
) -> None:
    """Receive until SIGTERM or SIGINT; nothing here knows of database or broker.

    Parameters
    ----------
    with_indexer
        Also keep an indexer running as a child process.
    parent
        The listener that this one helps, on the same port and spool; end with it.

    Raises
    ------
    ConfigurationError
        If a port is taken or the spool cannot be used.
    """
    configure_logging(settings, "listener")
    take_uids_as_they_are()
    stop = threading.Event()
    stop_signals(stop)
    spool = Spool(settings.spool_dir, settings.disk_reserve_mb)
    if parent is not None:
        end_with_parent(parent, stop)
        _receive(settings, spool, stop, lambda _: ())
        return
    with claim(spool, "listener", stop):
        leftovers = spool.sweep()
        if leftovers:
            get_logger().info("leftovers_removed", count=leftovers)
        indexer = (
            [HelperProcess("indexer", "services.indexer", "index")]
            if with_indexer
            else []
        )
        _receive(
            settings, spool, stop, lambda port: [*indexer, *_helpers(settings, port)]
        )


def _receive(
    settings: Settings,
    spool: Spool,
    stop: threading.Event,
    beside: Callable[[Acceptor], Iterable[HelperProcess]],
) -> None:
    """Receive, with children beside, until told to stop."""
    acceptor = Acceptor(settings, spool)
    checks = {"spool": spool.problem, "dicom": acceptor.problem}
    health = HealthServer(settings.http_host, settings.listener_http_port, checks)
    SPOOL_FREE_BYTES.set_function(spool.free_bytes)
    http_port = health.start()
    acceptor.start()
    children = [*beside(acceptor)]
    for child in children:
        child.start()
    get_logger().info(
        "listening",
        port=acceptor.port,
        http_port=http_port,
        ae_title=settings.ae_title,
        reception=acceptor.reception,
    )
    settle_memory()
    stop.wait()
    started = time.monotonic()
    for child in children:
        child.ask_to_stop()
    acceptor.stop(settings.stop_grace_seconds)
    for child in children:
        spent = time.monotonic() - started
        child.wait(max(1.0, settings.stop_grace_seconds - spent))


def _helpers(settings: Settings, acceptor: Acceptor) -> list[HelperProcess]:
    """Return the other listeners on our ports (SO_REUSEPORT)."""
    ports = {"VERITAG_DICOM_PORT": str(acceptor.port)}
    if acceptor.tls_port is not None:
        ports["VERITAG_DICOM_TLS_PORT"] = str(acceptor.tls_port)
    first = settings.helper_http_port
    return [
        HelperProcess(
            f"listener {number + 2}",
            "services.listener",
            "listen",
            "--no-indexer",
            environment={
                **ports,
                "VERITAG_LISTENER_HTTP_PORT": str(first + number if first else 0),
            },
        )
        for number in range(settings.listener_processes - 1)
    ]
