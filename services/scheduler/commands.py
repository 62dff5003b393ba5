"""The command of the scheduler: `veritag schedule`."""

import typer

REQUIRES = ("cv2", "celery")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("schedule")(schedule)


def schedule() -> None:
    """Settle series, publish lost messages again, delete old files, start trainings."""
    from veritag.process.memory import UNNEEDED_PACKAGES, skip_packages

    skip_packages(*UNNEEDED_PACKAGES)  # before structlog is imported
    from services.scheduler.scheduler import run_scheduler
    from veritag.process.logs import configure_logging
    from veritag.settings import load_settings

    settings = load_settings()
    configure_logging(settings, "scheduler")
    raise typer.Exit(run_scheduler(settings))
