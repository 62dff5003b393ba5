"""The command `veritag train`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

REQUIRES = ("torch", "sklearn", "onnx", "onnxruntime", "cv2", "jinja2")

# Headings under which `veritag train --help` lists the options.
DATA, TRAINING, MACHINE, OUTPUT = "Data", "Training", "Machine", "Output"


class RecipeName(StrEnum):
    """Names in `model_training.runs.recipes`, repeated here because that loads torch."""

    VERITAG = "veritag"
    LARGE = "large"
    CONTRASTIVE = "contrastive"


class Precision(StrEnum):
    """Number format in which layers calculate during training."""

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
            rich_help_panel=DATA,
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of DICOM files, or with labels.csv or manifest.csv.",
            exists=True,
            rich_help_panel=DATA,
        ),
    ] = None,
    phantoms: Annotated[
        int,
        typer.Option(
            help="Synthetic patients of every phantom kind to learn from, too.",
            min=0,
            rich_help_panel=DATA,
        ),
    ] = 0,
    with_research: Annotated[
        bool,
        typer.Option(
            "--with-research",
            help="Also learn from images for research use only.",
            rich_help_panel=DATA,
        ),
    ] = False,
    without: Annotated[
        typer.FileText | None,
        typer.Option(
            help="File of patient keys of labels.csv or manifest.csv, one a line, that "
            "are kept out for a check of your own.",
            rich_help_panel=DATA,
        ),
    ] = None,
    recipe: Annotated[
        RecipeName,
        typer.Option(
            help="Network, losses and passes: large for images of many sources.",
            rich_help_panel=TRAINING,
        ),
    ] = RecipeName.VERITAG,
    size: Annotated[
        int,
        typer.Option(
            help="Side of the tiles in pixels, a multiple of 32.",
            min=32,
            rich_help_panel=TRAINING,
        ),
    ] = 64,
    clusters: Annotated[
        int, typer.Option(help="Number of clusters.", min=2, rich_help_panel=TRAINING)
    ] = 25,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Most passes of the encoder alone; default: the recipe's.",
            min=1,
            rich_help_panel=TRAINING,
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
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the split, the weights, the order, the pairs and the "
            "augmentation.",
            rich_help_panel=TRAINING,
        ),
    ] = 1,
    device: Annotated[
        Device, typer.Option(help="Where to train.", rich_help_panel=MACHINE)
    ] = Device.AUTO,
    threads: Annotated[
        int,
        typer.Option(
            help="CPU threads to train with; 0: all.", min=0, rich_help_panel=MACHINE
        ),
    ] = 0,
    precision: Annotated[
        Precision,
        typer.Option(
            help="Number format in which layers calculate during training; bf16 is "
            "for GPUs.",
            rich_help_panel=MACHINE,
        ),
    ] = Precision.FP32,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile layers first: takes minutes, which long runs save later.",
            rich_help_panel=MACHINE,
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            help="Continue an interrupted run of the same images and settings.",
            rich_help_panel=MACHINE,
        ),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to become the bundle; default: one named by its id among the "
            "bundles of the data directory.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Let the bundle's model calculate in float16, for GPUs.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    pictures: Annotated[
        bool,
        typer.Option(
            help="Show images of the snapshot in the report.", rich_help_panel=OUTPUT
        ),
    ] = True,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            help="Folder for losses of each pass, to watch in TensorBoard.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Learn a bundle from images: snapshot, training, calibration, check, export."""
    from model_training.process.torch_runtime import keep_memory

    keep_memory()
    # torch is loaded after the restart, and not for --help.
    from model_training.runs.recipes import chosen_recipe
    from model_training.runs.torchrun_worker import train_as_worker
    from model_training.runs.train_bundle import run_training
    from model_training.runs.training_request import TrainingRequest
    from veritag.settings import load_settings

    config = chosen_recipe(
        recipe.value,
        size=size,
        clusters=clusters,
        epochs=epochs,
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
        resume=resume,
        tensorboard=tensorboard,
    )
    if train_as_worker(request):  # not the first process of torchrun
        return
    bundle = run_training(request, load_settings())
    typer.echo(bundle.path)
