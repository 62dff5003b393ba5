"""The command `veritag train`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

REQUIRES = ("torch", "sklearn", "onnx", "onnxruntime", "cv2")


class RecipeName(StrEnum):
    """Names in `model_training.runs.recipes`; a test holds the two together."""

    VERITAG = "veritag"
    LARGE = "large"
    CONTRASTIVE = "contrastive"
    PAPER = "paper"
    CONSTRAINED = "constrained"
    IDEC = "idec"
    DEC = "dec"
    CAE = "cae"


class Precision(StrEnum):
    """What layers calculate in while they are trained."""

    FP32 = "fp32"
    BF16 = "bf16"


class Device(StrEnum):
    """Where to train."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    more_images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]", help="More paths for --images.", exists=True
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data directory of a Veritag, whose archive is learnt from; default: "
            "the configured one, where neither --images nor --phantoms is given.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of DICOM files, or with labels.csv or manifest.csv.",
            exists=True,
        ),
    ] = None,
    phantoms: Annotated[
        int,
        typer.Option(
            help="Made-up patients of every phantom kind to learn, too.", min=0
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to become the bundle; default: one named by its id among the "
            "bundles of the data directory."
        ),
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.AUTO,
    recipe: Annotated[
        RecipeName,
        typer.Option(
            help="What is trained how: our best, or the paper's setting and its kin."
        ),
    ] = RecipeName.VERITAG,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Most passes of the encoder alone; default: the recipe's.", min=1
        ),
    ] = None,
    cluster_epochs: Annotated[
        int | None,
        typer.Option(help="Most passes with clusters; default: the recipe's.", min=0),
    ] = None,
    constraints: Annotated[
        int | None,
        typer.Option(help="Pairs drawn from the tags; default: the recipe's.", min=0),
    ] = None,
    size: Annotated[
        int, typer.Option(help="Side of the tiles in pixels, a multiple of 32.", min=32)
    ] = 64,
    clusters: Annotated[int, typer.Option(help="Number of clusters.", min=2)] = 25,
    views: Annotated[
        int | None,
        typer.Option(
            help="Varied copies of each image in the profiles; default: the recipe's.",
            min=0,
        ),
    ] = None,
    restyle: Annotated[
        float | None,
        typer.Option(
            help="Share of images shown as other devices would show them, 0 to 1: for "
            "a bundle that is to judge devices it has not learnt from; default: the "
            "recipe's.",
            min=0,
            max=1,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on where an interrupted run of the same images and settings ended."
        ),
    ] = True,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 1,
    threads: Annotated[
        int, typer.Option(help="CPU threads to train with; 0: all.", min=0)
    ] = 0,
    precision: Annotated[
        Precision,
        typer.Option(
            help="What layers calculate in while they are trained: bf16 for GPUs."
        ),
    ] = Precision.FP32,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile", help="Compile layers first: minutes that long runs win back."
        ),
    ] = False,
    half: Annotated[
        bool,
        typer.Option(
            "--half", help="Let the bundle's model calculate in float16, for GPUs."
        ),
    ] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option(help="Folder for losses of each pass, to watch in TensorBoard."),
    ] = None,
    with_research: Annotated[
        bool,
        typer.Option(
            "--with-research", help="Also learn from images for research use only."
        ),
    ] = False,
    without: Annotated[
        typer.FileText | None,
        typer.Option(
            help="File of patient keys of labels.csv or manifest.csv, one a line, that "
            "are kept out for a check of your own."
        ),
    ] = None,
    note: Annotated[
        str, typer.Option(help="A remark for the model card and the lineage.")
    ] = "",
    pictures: Annotated[
        bool, typer.Option(help="Show images of the snapshot in the report.")
    ] = True,
) -> None:
    """Learn a bundle from images: snapshot, training, calibration, check, export."""
    from model_training.process.torch_runtime import keep_memory

    keep_memory()
    from model_training.runs.recipes import chosen_recipe
    from model_training.runs.torchrun_worker import train_along
    from model_training.runs.train_bundle import TrainingRequest, run_training
    from veritag.settings import load_settings

    config = chosen_recipe(
        recipe.value,
        size=size,
        clusters=clusters,
        epochs=epochs,
        cluster_epochs=cluster_epochs,
        constraints=constraints,
        views=views,
        restyle=restyle,
        precision=precision.value,
        compile=compiled,
        half=half,
        seed=seed,
    )
    request = TrainingRequest(
        config=config,
        images=(*(images or ()), *(more_images or ())),
        data=data,
        phantoms=phantoms,
        out=out,
        device=device.value,
        threads=threads,
        with_research=with_research,
        without=frozenset(without.read().split()) if without else frozenset(),
        with_tiles=pictures,
        note=note,
        resume=resume,
        tensorboard=tensorboard,
    )
    if train_along(request):  # torchrun started us; the first process does the rest
        return
    bundle = run_training(request, load_settings())
    typer.echo(bundle.path)
