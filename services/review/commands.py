"""`veritag review`: the pages and the JSON API."""

import signal

import typer

REQUIRES = ("fastapi", "jinja2", "multipart", "uvicorn", "cv2")


def register(app: typer.Typer) -> None:
    """Add this room's commands."""
    app.command("review")(review)


def review() -> None:
    """Serve the review pages and the JSON API until SIGTERM."""
    import uvicorn

    from services.review.app import create_app
    from veritag.logs import configure_logging, get_logger
    from veritag.settings import load_settings

    settings = load_settings()
    configure_logging(settings, "review")
    # uvicorn stops cleanly on SIGTERM and then raises it again for whoever was there
    # before: nobody, so that the exit status is 0.
    signal.signal(signal.SIGTERM, lambda *_: None)
    get_logger().info(
        "review_started", host=settings.review_host, port=settings.review_port
    )
    uvicorn.run(
        create_app(settings),
        host=settings.review_host,
        port=settings.review_port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(settings.stop_grace_seconds),
    )
