"""`veritag review`: the pages and the JSON API."""

import signal
import socket
from typing import TYPE_CHECKING

import typer

from veritag.errors import ConfigurationError

if TYPE_CHECKING:
    from fastapi import FastAPI

REQUIRES = ("fastapi", "jinja2", "multipart", "uvicorn", "cv2")


def register(app: typer.Typer) -> None:
    """Add the command `review`."""
    app.command("review")(review)


def review() -> None:
    """Serve the review pages and the JSON API until SIGTERM."""
    from veritag.process.memory import (
        UNNEEDED_PACKAGES,
        release_memory_later,
        skip_packages,
    )

    skip_packages(*UNNEEDED_PACKAGES)  # before pydicom and structlog are imported
    from services.review.app import create_app
    from veritag.process.logs import configure_logging, get_logger
    from veritag.settings import load_settings

    settings = load_settings()
    configure_logging(settings, "review")
    log = get_logger()
    listening = _bind(settings.review_host, settings.review_port)
    app = create_app(settings)
    # Not in the lifespan: uvicorn would log a StopError as a traceback.
    app.state.records.try_migrate()
    log.info(
        "review_started",
        host=settings.review_host,
        port=listening.getsockname()[1],
    )
    release_memory_later()
    _serve(app, listening, settings.stop_grace_seconds)
    log.info("review_stopped")


def _serve(app: "FastAPI", listening: socket.socket, grace_seconds: float) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn

    # uvicorn stops cleanly on SIGTERM and then raises the signal again for the handler
    # that was set before; an empty one leaves the exit status at 0.
    signal.signal(signal.SIGTERM, lambda *_: None)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(grace_seconds),
    )
    uvicorn.Server(config).run(sockets=[listening])


def _bind(host: str, port: int) -> socket.socket:
    """Bind the port here, so that a port in use ends with one sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        # Python adds the address to the reason; the message below names it too.
        reason = str(error.strerror).partition(" (while")[0]
        raise ConfigurationError(
            f"cannot serve the review pages on {host}:{port}: {reason}; "
            "choose another VERITAG_REVIEW_PORT or VERITAG_REVIEW_HOST"
        ) from error
