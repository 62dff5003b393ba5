"""Logs: one JSON line per event, with ids and without patient data.

Event names are constant, values are keywords: `log.info("instance_stored", digest=...)`.
"""

import logging
import sys
from typing import Any

import structlog
from structlog.typing import EventDict

from veritag.settings import Settings

# At lower levels these libraries log parts of Data Sets or payloads.
_QUIET = {
    "pynetdicom": logging.CRITICAL,
    "pydicom": logging.ERROR,
    "kombu": logging.WARNING,
    "celery": logging.WARNING,
    "alembic": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "uvicorn": logging.WARNING,
}


def _processors(process: str) -> list[Any]:
    def add_process(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return [
        structlog.contextvars.merge_contextvars,
        add_process,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def configure_logging(settings: Settings, process: str) -> None:
    """Write the events of structlog and of the standard library as JSON lines to stderr."""
    level = logging.getLevelName(settings.log_level.upper())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=_processors(process),
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, minimum in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, minimum))
    structlog.configure(
        processors=[
            *_processors(process),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def get_logger() -> Any:
    """Return a logger whose methods take an event name and keywords."""
    return structlog.get_logger()
