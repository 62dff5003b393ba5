"""The command `veritag evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

REQUIRES = ("torch", "sklearn", "onnx", "onnxruntime", "cv2", "jinja2")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


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
            help="CSV with the columns path, modality and region, whose values replace "
            "those in the files; paths are relative to its folder.",
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
        typer.Option("--with-research", help="Include images for research only."),
    ] = False,
) -> None:
    """Evaluate a bundle on known images: its clusters, and the tags that it would flag."""
    from model_training.evaluation.evaluate import run_evaluate
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
