"""One training run as `veritag train` does it, with progress on stderr."""

import shutil
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

import veritag
from model_training.bundling import make_bundle, old_clusters
from model_training.card import card_markdown
from model_training.checkpoint import Checkpoint
from model_training.config import TrainingConfig
from model_training.encoder import inner_side
from model_training.learn import Learnt, learn, prepare, training_set
from model_training.learnable import require_images
from model_training.phantoms import phantom_count, phantom_snapshot
from model_training.recording import recorded_run
from model_training.report import report_html
from model_training.runtime import choose_device
from model_training.snapshot import Snapshot, join, take_snapshot, without
from model_training.sources import Entry, archive_of, entries_of
from model_training.stepping import Diverged
from model_training.train import EpochFigures, train
from veritag.bundle import ModelBundle, load_bundle
from veritag.errors import ConfigurationError
from veritag.preprocessing import Preprocessing
from veritag.settings import Settings

CARD = "MODEL_CARD.md"
REPORT = "report.html"
CHECKPOINT = ".training-checkpoint.pt"


@dataclass(frozen=True)
class Request:
    """What is asked of a run; see `veritag train --help`.

    Attributes
    ----------
    champion
        The bundle whose cluster ids go on; None numbers them from 0.
    excluded
        Keys of patients that are kept out: bundles are compared on their images.
    """

    config: TrainingConfig
    images: tuple[Path, ...] = ()
    data: Path | None = None
    phantoms: int = 0
    out: Path | None = None
    device: str = "auto"
    threads: int = 0
    with_research: bool = False
    with_tiles: bool = True
    note: str = ""
    resume: bool = True
    champion: ModelBundle | None = None
    excluded: frozenset[str] = frozenset()


def run_training(request: Request, settings: Settings) -> ModelBundle:
    """Train, calibrate, check and seal; return the bundle in its place.

    Raises
    ------
    StopError
        If there is nothing to learn from, or too little.
    """
    _require_sense(request)
    if request.data is not None:
        settings = settings.model_copy(update={"data_dir": request.data})
    with recorded_run(settings, asdict(request.config)) as finish:
        bundle = train_bundle(request, settings)
        finish(bundle, bundle.manifest.lineage["snapshot"]["digest"])
    return bundle


def train_bundle(request: Request, settings: Settings) -> ModelBundle:
    """Do what `run_training` does without a word in the records."""
    device = choose_device(request.device)
    if request.threads:
        torch.set_num_threads(request.threads)
    bundles = request.data / "bundles" if request.data else settings.bundles_dir
    parent = request.out.parent if request.out else bundles
    parent.mkdir(parents=True, exist_ok=True)
    with _progress() as progress:
        snapshot = without(_snapshot(request, settings, progress), request.excluded)
        checkpoint = _checkpoint(request, snapshot, parent)
        try:
            learnt = _learn(request, snapshot, device, checkpoint, progress)
        except Diverged:
            checkpoint.discard()
            raise
    work = Path(tempfile.mkdtemp(prefix=".training-", dir=parent))
    try:
        _write_pages(learnt, snapshot, work, request)
        sealed = make_bundle(
            learnt, snapshot, work, _lineage(request), request.champion
        )
        place = request.out or bundles / sealed.bundle_id
        work.chmod(0o755)
        work.rename(place)
        checkpoint.discard()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return load_bundle(place)


def _checkpoint(request: Request, snapshot: Snapshot, parent: Path) -> Checkpoint:
    """Return where the run is kept; what another run left there is of no use to it."""
    key = f"{veritag.__version__}-{request.config.digest()}-{snapshot.digest()}"
    checkpoint = Checkpoint(parent / CHECKPOINT, key)
    if not request.resume:
        checkpoint.discard()
    return checkpoint


def _require_sense(request: Request) -> None:
    out = request.out
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"--out {out} exists and is not an empty folder")
    try:
        inner_side(request.config.size, len(request.config.filters))
    except ValueError as error:
        raise ConfigurationError(f"--size: {error}") from None


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _snapshot(request: Request, settings: Settings, progress: Progress) -> Snapshot:
    preprocessing = Preprocessing(size=request.config.size)
    entries = _entries(request, settings)
    bar = progress.add_task("reading images", total=len(entries))
    with warnings.catch_warnings():
        # pydicom warns of every oddity of every file; what counts is counted.
        warnings.simplefilter("ignore")
        snapshot = take_snapshot(
            entries, preprocessing, on_step=lambda n: progress.advance(bar, n)
        )
    if request.phantoms:
        bar = progress.add_task(
            "drawing phantoms", total=phantom_count(request.phantoms)
        )
        drawn = phantom_snapshot(
            request.phantoms,
            preprocessing,
            on_step=lambda n: progress.advance(bar, n),
        )
        snapshot = join([snapshot, drawn])
    for reason, count in snapshot.left_out.items():
        progress.console.print(f"left out {count}: {reason}", highlight=False)
    require_images(snapshot)
    return snapshot


def _entries(request: Request, settings: Settings) -> list[Entry]:
    folders = list(request.images)
    if request.data is not None:
        folders.append(archive_of(request.data))
    elif not folders and not request.phantoms:
        folders.append(settings.archive_dir)
    return [
        entry
        for folder in folders
        for entry in entries_of(folder, with_research=request.with_research)
    ]


def _learn(
    request: Request,
    snapshot: Snapshot,
    device: str,
    checkpoint: Checkpoint,
    progress: Progress,
) -> Learnt:
    config = request.config
    split, remarks = prepare(snapshot, config)
    for remark in remarks:
        progress.console.print(remark, highlight=False)
    training, held_out = training_set(snapshot, split, config)
    passes = config.epochs + config.cluster_epochs
    bar = progress.add_task(f"training on {device}", total=passes * len(training))

    def tell(figures: EpochFigures) -> None:
        progress.update(bar, description=f"training on {device}: {figures}")
        if not progress.console.is_terminal:
            # A log file shows no bars: a line now and then tells that it goes on.
            progress.console.print(str(figures), highlight=False)

    trained = train(
        training,
        held_out,
        config,
        device=device,
        old_clusters=old_clusters(request.champion, training.tiles),
        checkpoint=checkpoint,
        on_step=lambda n: progress.advance(bar, n),
        on_epoch=tell,
    )
    progress.update(bar, total=len(trained.history) * len(training))
    steps = progress.add_task("clusters", total=3)

    def on_step(name: str) -> None:
        progress.update(steps, description=name, advance=1)

    learnt = learn(snapshot, split, trained, on_step=on_step)
    if training.constraints is not None:
        learnt.figures["constraints"] = training.constraints.report
    return learnt


def _write_pages(
    learnt: Learnt, snapshot: Snapshot, folder: Path, request: Request
) -> None:
    page = report_html(learnt, snapshot, with_tiles=request.with_tiles)
    (folder / REPORT).write_text(page, encoding="utf-8")
    card = card_markdown(
        learnt,
        snapshot,
        version=veritag.__version__,
        note=request.note,
        with_tiles=request.with_tiles,
    )
    (folder / CARD).write_text(card, encoding="utf-8")


def _lineage(request: Request) -> dict[str, Any]:
    return {
        "inputs": {
            "images": len(request.images),
            "archive": request.data is not None,
            "phantoms": request.phantoms,
            "with_research": request.with_research,
        },
        "note": request.note,
    }
