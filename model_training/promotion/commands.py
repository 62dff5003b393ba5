"""The commands of periodic training: `veritag retrain` and `veritag trainer`."""

import os
from pathlib import Path
from typing import Annotated

import typer

REQUIRES = ("torch", "sklearn", "onnx", "onnxruntime", "cv2", "jinja2")

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Data directory of a Veritag; default: the configured one.",
        exists=True,
        file_okay=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("retrain")(run_retraining)
    app.command("trainer")(trainer)


def run_retraining(
    data: DataDir = None,
    run: Annotated[
        int | None,
        typer.Option(help="Number of a requested run.", hidden=True),
    ] = None,
) -> None:
    """Learn from the archive, compare with the bundle in use, promote a better one."""
    from model_training.process.torch_runtime import keep_memory

    keep_memory()
    if data is not None:
        os.environ["VERITAG_DATA_DIR"] = str(data)
    from model_training.promotion.retrain import run_retraining
    from model_training.runs.disk_guards import require_archive
    from veritag.settings import load_settings

    settings = load_settings()
    require_archive(settings)
    result = run_retraining(run, settings)
    typer.echo(f"{result.bundle.path}: {result.decision.outcome}")
    for reason in result.decision.reasons:
        typer.echo(f"  {reason}")


def trainer() -> None:
    """Carry out training runs that the scheduler requests, one at a time."""
    from veritag.process.memory import UNNEEDED_PACKAGES, skip_packages

    skip_packages(*UNNEEDED_PACKAGES)  # before structlog is imported
    from model_training.promotion.trainer import run_trainer
    from veritag.process.logs import configure_logging
    from veritag.settings import load_settings

    settings = load_settings()
    configure_logging(settings, "trainer")
    raise typer.Exit(run_trainer(settings))
