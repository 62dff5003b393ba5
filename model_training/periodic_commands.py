"""The commands `veritag retrain`, `veritag trainer` and `veritag evaluate`."""

import os
from pathlib import Path
from typing import Annotated

import typer

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
    """Add these commands."""
    for command in (retrain, trainer, evaluate):
        app.command(command.__name__)(command)


def retrain(
    data: DataDir = None,
    run: Annotated[
        int | None,
        typer.Option(help="A run that was asked for, by its number.", hidden=True),
    ] = None,
) -> None:
    """Learn from the archive, compare with the bundle in use, promote what is better."""
    from model_training.runtime import keep_memory

    keep_memory()
    if data is not None:
        os.environ["VERITAG_DATA_DIR"] = str(data)
    from model_training.precautions import require_archive
    from model_training.retrain import run_scheduled
    from veritag.settings import load_settings

    settings = load_settings()
    require_archive(settings)
    done = run_scheduled(run, settings)
    typer.echo(f"{done.bundle.path}: {done.decision.outcome}")
    for reason in done.decision.reasons:
        typer.echo(f"  {reason}")


def trainer() -> None:
    """Carry out training runs that the scheduler asks for, one at a time."""
    from model_training.trainer import run_trainer
    from veritag.logs import configure_logging
    from veritag.settings import load_settings

    settings = load_settings()
    configure_logging(settings, "trainer")
    raise typer.Exit(run_trainer(settings))


def evaluate(
    bundle: Annotated[
        str,
        typer.Argument(
            help="Folder name, bundle id or path of a bundle, or `starter`."
        ),
    ],
    more_images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]", help="More paths for --images.", exists=True
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of DICOM files, or with labels.csv or manifest.csv.",
            exists=True,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the columns path, modality and region, whose values stand "
            "over those in the files; paths are relative to its folder.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report as HTML and JSON.", file_okay=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the injected errors.")] = 1,
    with_research: Annotated[
        bool,
        typer.Option("--with-research", help="Also look at images for research only."),
    ] = False,
) -> None:
    """Judge known images by a bundle: how well it sorts them and what it would flag."""
    from model_training.evaluate import run_evaluate
    from veritag.settings import load_settings

    run_evaluate(
        bundle,
        (*(images or ()), *(more_images or ())),
        load_settings(),
        labels=labels,
        out=out,
        seed=seed,
        with_research=with_research,
    )
