"""The command `veritag compare`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from model_training.runs.commands import Device

REQUIRES = ("torch", "sklearn", "skimage", "matplotlib", "cv2")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    images: Annotated[
        list[Path],
        typer.Option(
            help="Folder with labels.csv (pictures) or manifest.csv (DICOM files).",
            exists=True,
            file_okay=False,
        ),
    ],
    more_images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]",
            help="More paths for --images.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Table with the columns path, modality and region, in place of the "
            "folder's own labels.csv.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of report and results; runs whose results it holds are not "
            "run again.",
            file_okay=False,
        ),
    ] = Path("out/compare"),
    only: Annotated[
        str,
        typer.Option(
            help="Parts, by comma: table3, tsne, variations, k, gamma, constraints, "
            "poison."
        ),
    ] = "",
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="A row of the table, such as idec or 'CAE, k-means'; may be given more "
            "than once. [all]"
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few images, small tiles, few passes.")
    ] = False,
    seeds: Annotated[
        int | None, typer.Option(help="Runs of each method in the table. [3]", min=1)
    ] = None,
    sweep_seeds: Annotated[
        int | None, typer.Option(help="Runs of each point of a sweep. [1]", min=1)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the tiles in pixels, a multiple of 32. [64]", min=32
        ),
    ] = None,
    sweep_size: Annotated[
        int | None, typer.Option(help="The same for the sweeps. [32]", min=32)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Most images of one modality, region and source; 0: all. [150]", min=0
        ),
    ] = None,
    sweep_limit: Annotated[
        int | None, typer.Option(help="The same for the sweeps. [30]", min=0)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Most passes before there are clusters. [12]", min=1),
    ] = None,
    cluster_epochs: Annotated[
        int | None, typer.Option(help="Most passes with clusters. [8]", min=1)
    ] = None,
    clusters: Annotated[
        int | None, typer.Option(help="Number of clusters. [25]", min=2)
    ] = None,
    constraints: Annotated[
        int | None, typer.Option(help="Number of constraints. [2000]", min=2)
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.AUTO,
    threads: Annotated[
        int, typer.Option(help="CPU threads to train with; 0: all.", min=0)
    ] = 0,
    minutes: Annotated[
        float | None,
        typer.Option(help="Begin no further run after so many minutes.", min=0),
    ] = None,
) -> None:
    """Compare clusterings on unseen patients: the paper's Table 3 and its sweeps."""
    from model_training.process.torch_runtime import keep_memory

    keep_memory()
    import torch
    from rich.console import Console

    from model_training.compare.cell import QUICK, SWEEPS, CellBudget
    from model_training.compare.run import (
        REPORT,
        ComparisonRequest,
        result_table,
        run_comparison,
    )

    if threads:
        torch.set_num_threads(threads)
    changes = {
        "seeds": seeds,
        "sweep_seeds": sweep_seeds,
        "size": size,
        "sweep_size": sweep_size,
        "limit": limit,
        "sweep_limit": sweep_limit,
        "epochs": epochs,
        "cluster_epochs": cluster_epochs,
        "clusters": clusters,
        "constraints": constraints,
    }
    budget = replace(
        QUICK if quick else CellBudget(),
        **{name: value for name, value in changes.items() if value is not None},
    )
    request = ComparisonRequest(
        images=(*images, *(more_images or ())),
        labels=labels,
        out=out,
        only=tuple(filter(None, only.replace(" ", "").split(","))) or SWEEPS,
        methods=tuple(method or ()),
        budget=budget,
        device=device.value,
        minutes=minutes,
    )
    store = run_comparison(request)
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(result_table(store))
    typer.echo(out / REPORT)
