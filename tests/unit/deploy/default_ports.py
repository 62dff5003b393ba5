"""The HTTP port of each process by default."""

from veritag.settings import Settings

PORT_SETTINGS = {
    "listener": "listener_http_port",
    "indexer": "indexer_http_port",
    "worker": "worker_http_port",
    "scheduler": "scheduler_http_port",
    "trainer": "trainer_http_port",
    "delivery": "delivery_http_port",
    "review": "review_port",
}
PROCESSES = tuple(PORT_SETTINGS)


def default_port(process: str) -> int:
    """Return the default of the process's HTTP port."""
    return int(Settings.model_fields[PORT_SETTINGS[process]].default)
