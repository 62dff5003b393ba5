"""The listener process, with its helpers and the indexer as children."""

import threading
import time
from collections.abc import Callable, Sequence

from services.listener.acceptor import Acceptor
from services.listener.helper_processes import HelperProcesses, helper_process
from veritag.process.health import HealthServer
from veritag.process.lifecycle import (
    claim_spool,
    disable_pydicom_validation,
    end_with_parent,
    stop_on_signals,
)
from veritag.process.logs import configure_logging, get_logger
from veritag.process.memory import release_memory
from veritag.process.metrics import SPOOL_FREE_BYTES
from veritag.process.supervised_process import SupervisedProcess
from veritag.settings import Settings
from veritag.storage.spool import Spool


def run_listener(
    settings: Settings, *, with_indexer: bool, parent: int | None = None
) -> None:
    """Receive until SIGTERM or SIGINT, without database and broker.

    Parameters
    ----------
    with_indexer
        Also keep an indexer running as a child process.
    parent
        Process id of the first listener on the same port and spool; end with it.

    Raises
    ------
    ConfigurationError
        If a port is taken or the spool cannot be used.
    """
    configure_logging(settings, "listener")
    disable_pydicom_validation()
    stopping = threading.Event()
    stop_on_signals(stopping)
    spool = Spool(settings.spool_dir, settings.disk_reserve_mb)
    if parent is not None:
        end_with_parent(parent, stopping)
        _receive(settings, spool, stopping, lambda _: ())
        return
    with claim_spool(spool, "listener", stopping):
        # Only with the lock: no other listener receives into this spool.
        leftovers = spool.remove_leftovers()
        if leftovers:
            get_logger().info("leftovers_removed", count=leftovers)
        indexer = (
            [helper_process("indexer", "services.indexer", "index")]
            if with_indexer
            else []
        )
        _receive(
            settings,
            spool,
            stopping,
            lambda acceptor: [*indexer, *_more_listeners(settings, acceptor)],
        )


def _receive(
    settings: Settings,
    spool: Spool,
    stopping: threading.Event,
    helpers_of: Callable[[Acceptor], Sequence[SupervisedProcess]],
) -> None:
    """Receive until `stopping` is set, then stop the acceptor while the helpers end."""
    acceptor = Acceptor(settings, spool)
    checks = {"spool": spool.problem, "dicom": acceptor.problem}
    health = HealthServer(settings.http_host, settings.listener_http_port, checks)
    SPOOL_FREE_BYTES.set_function(spool.free_bytes)
    http_port = health.start()
    acceptor.start()
    helpers = HelperProcesses(helpers_of(acceptor))
    helpers.start()
    get_logger().info(
        "listening",
        port=acceptor.port,
        http_port=http_port,
        ae_title=settings.ae_title,
        reception=acceptor.reception,
    )
    release_memory()
    helpers.watch(stopping)
    started = time.monotonic()
    helpers.terminate()  # they finish what they receive at the same time as we do
    acceptor.stop(settings.stop_grace_seconds)
    spent = time.monotonic() - started
    helpers.wait(max(1.0, settings.stop_grace_seconds - spent))


def _more_listeners(settings: Settings, acceptor: Acceptor) -> list[SupervisedProcess]:
    """Return further listener processes on the same ports (SO_REUSEPORT)."""
    ports = {"VERITAG_DICOM_PORT": str(acceptor.port)}
    if acceptor.tls_port is not None:
        ports["VERITAG_DICOM_TLS_PORT"] = str(acceptor.tls_port)
    first = settings.helper_http_port
    return [
        helper_process(
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
