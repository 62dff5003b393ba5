"""Commands of the worker: `veritag work` and `veritag inspect`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

REQUIRES = ("onnxruntime", "cv2", "celery")


class OutputFormat(StrEnum):
    """Output formats of `veritag inspect`."""

    TABLE = "table"
    JSONL = "jsonl"


def register(app: typer.Typer) -> None:
    """Add the worker's commands."""
    app.command("work")(work)
    app.command("inspect")(inspect)


def work() -> None:
    """Inspect instances and settle series, as messages request it."""
    from veritag.process.memory import (
        DECODER_PACKAGES,
        EXTRA_PACKAGES,
        skip_packages,
    )

    # Before pydicom is imported: compressed pixels are decoded in other processes.
    skip_packages(*DECODER_PACKAGES, *EXTRA_PACKAGES)
    from veritag.process.logs import configure_logging
    from veritag.settings import load_settings
    from worker.process import run_worker

    settings = load_settings()
    configure_logging(settings, "worker")
    raise typer.Exit(run_worker(settings))


def inspect(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Files, or folders with all below them.",
            exists=True,
        ),
    ],
    format_: Annotated[
        OutputFormat,
        typer.Option("--format", help="For people, or a line of JSON each."),
    ] = OutputFormat.TABLE,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Bundle to judge by; default: the one in use, else the starter bundle."
        ),
    ] = None,
) -> None:
    """Judge files or folders offline: a verdict per instance, findings per series."""
    from veritag.settings import load_settings
    from worker.offline import run_inspect

    settings = load_settings(**({"bundle_dir": bundle} if bundle else {}))
    run_inspect(settings, paths, as_jsonl=format_ is OutputFormat.JSONL)
