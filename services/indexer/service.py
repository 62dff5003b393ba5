"""The indexer process."""

import threading

from services.indexer.indexer import Indexer
from services.indexer.publisher import Publisher
from veritag.messaging.dispatcher import Dispatcher
from veritag.process.health import HealthServer
from veritag.process.lifecycle import claim_spool, end_with_parent, stop_on_signals
from veritag.process.logs import configure_logging, get_logger
from veritag.process.memory import release_memory_later
from veritag.process.metrics import SPOOL_READY
from veritag.records import Records
from veritag.settings import Settings
from veritag.storage.archive import Archive
from veritag.storage.spool import Spool, make_folder


def run_indexer(settings: Settings, parent: int | None = None) -> None:
    """Index until SIGTERM or SIGINT.

    Parameters
    ----------
    parent
        Process id after whose end the indexer ends too: a listener that was killed
        starts again with a new indexer.

    Raises
    ------
    ConfigurationError
        If a port is taken, or spool, database or broker are configured wrongly.
    """
    configure_logging(settings, "indexer")
    stopping = threading.Event()
    stop_on_signals(stopping)
    spool = Spool(settings.spool_dir, settings.disk_reserve_mb)
    with claim_spool(spool, "indexer", stopping):
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
            end_with_parent(parent, stopping)
        get_logger().info("indexing", http_port=http_port)
        release_memory_later()
        indexer.run(stopping)
        dispatcher.close()
        records.close()
