"""The two processes of reception: the listener and, beside it, the indexer."""

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable

from services.listener.acceptor import Acceptor
from services.listener.child import Child
from veritag.health import HealthServer
from veritag.lifecycle import claim, stop_signals, take_uids_as_they_are
from veritag.logs import configure_logging, get_logger
from veritag.metrics import SPOOL_FREE_BYTES, SPOOL_READY
from veritag.settings import Settings
from veritag.spool import Spool, make_folder

_PARENT_SECONDS = 1.0


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
        _watch_parent(parent, stop)
        _receive(settings, spool, stop, lambda _: ())
        return
    with claim(spool, "listener", stop):
        leftovers = spool.sweep()
        if leftovers:
            get_logger().info("leftovers_removed", count=leftovers)
        indexer = [Child("indexer", "index")] if with_indexer else []
        _receive(
            settings, spool, stop, lambda port: [*indexer, *_helpers(settings, port)]
        )


def _receive(
    settings: Settings,
    spool: Spool,
    stop: threading.Event,
    beside: Callable[[Acceptor], Iterable[Child]],
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
    # The collector runs every few seconds; leave out what will never be garbage.
    gc.collect()
    gc.freeze()
    stop.wait()
    started = time.monotonic()
    for child in children:
        child.ask_to_stop()
    acceptor.stop(settings.stop_grace_seconds)
    for child in children:
        spent = time.monotonic() - started
        child.wait(max(1.0, settings.stop_grace_seconds - spent))


def _helpers(settings: Settings, acceptor: Acceptor) -> list[Child]:
    """Return the other listeners on our ports (SO_REUSEPORT)."""
    ports = {"VERITAG_DICOM_PORT": str(acceptor.port)}
    if acceptor.tls_port is not None:
        ports["VERITAG_DICOM_TLS_PORT"] = str(acceptor.tls_port)
    first = settings.helper_http_port
    return [
        Child(
            f"listener {number + 2}",
            "listen",
            "--no-indexer",
            environment={
                **ports,
                "VERITAG_LISTENER_HTTP_PORT": str(first + number if first else 0),
            },
        )
        for number in range(settings.listener_processes - 1)
    ]


def run_indexer(settings: Settings, parent: int | None = None) -> None:
    """Index until SIGTERM or SIGINT.

    Parameters
    ----------
    parent
        End also when this process is no longer our parent: a listener that was
        killed starts again with an indexer of its own.

    Raises
    ------
    ConfigurationError
        If a port is taken, or the spool, database or broker are named wrongly.
    """
    # The listener must not load what these load.
    from services.listener.indexer import Indexer
    from services.listener.publisher import Publisher
    from veritag.archive import Archive
    from veritag.dispatch import Dispatcher
    from veritag.records import Records

    configure_logging(settings, "indexer")
    stop = threading.Event()
    stop_signals(stop)
    spool = Spool(settings.spool_dir, settings.disk_reserve_mb)
    with claim(spool, "indexer", stop):
        make_folder(settings.archive_dir)
        records = Records.open(settings.records_url)
        dispatcher = Dispatcher.open(settings)
        publisher = Publisher(records, dispatcher, settings.linger_seconds)
        indexer = Indexer(
            spool,
            Archive(settings.archive_dir),
            records,
            publisher,
            settings.index_poll_seconds,
        )
        checks = {
            "records": records.ping,
            "broker": dispatcher.ping,
            "spool": indexer.problem,
        }
        health = HealthServer(settings.http_host, settings.indexer_http_port, checks)
        SPOOL_READY.set_function(lambda: len(spool.names()))
        http_port = health.start()
        if parent is not None:
            _watch_parent(parent, stop)
        get_logger().info("indexing", http_port=http_port)
        indexer.run(stop)
        dispatcher.close()
        records.close()


def _watch_parent(parent: int, stop: threading.Event) -> None:
    def watch() -> None:
        while os.getppid() == parent and not stop.wait(_PARENT_SECONDS):
            pass
        stop.set()

    threading.Thread(target=watch, name="parent", daemon=True).start()
