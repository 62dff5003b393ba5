"""One training run as `veritag train` does it, with progress on stderr."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

import veritag
from model_training.bundles.exemplars import write_exemplars
from model_training.bundles.model_card import card_markdown
from model_training.bundles.report import report_html
from model_training.bundles.seal import make_bundle, old_clusters
from model_training.calibration.fit_bundle import (
    FittedBundle,
    fit_bundle,
    prepare,
    training_set,
)
from model_training.network.encoder import inner_side
from model_training.process.progress import progress_bars
from model_training.process.publish_folder import disk_errors
from model_training.process.torch_runtime import choose_device
from model_training.runs.collect_images import collect_images
from model_training.runs.disk_guards import full_disk_reported
from model_training.runs.run_records import recorded_run
from model_training.runs.training_request import TrainingRequest
from model_training.snapshots.reference_set import (
    NO_PATIENTS,
    patients_to_withhold,
    reference_patients,
)
from model_training.snapshots.snapshot import Snapshot, without_patients
from model_training.training.checkpoint import Checkpoint
from model_training.training.distributed import join_ranks
from model_training.training.loop import EpochFigures, train
from model_training.training.stepping import Diverged
from model_training.training.tensorboard import written_to
from model_training.training.training_data import TrainingSet
from veritag.bundles.bundle import ModelBundle, load_bundle
from veritag.bundles.manifest import ClusterProfile
from veritag.errors import ConfigurationError
from veritag.settings import Settings

__all__ = ["TrainingRequest", "run_training", "train_bundle"]

CARD = "MODEL_CARD.md"
REPORT = "report.html"
CHECKPOINT = ".training-checkpoint.pt"


def run_training(request: TrainingRequest, settings: Settings) -> ModelBundle:
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


def train_bundle(request: TrainingRequest, settings: Settings) -> ModelBundle:
    """Do what `run_training` does without a word in the records."""
    device = choose_device(request.device)
    if request.threads:
        torch.set_num_threads(request.threads)
    bundles = request.data / "bundles" if request.data else settings.bundles_dir
    parent = request.out.parent if request.out else bundles
    with disk_errors(f"the folder {parent}"):
        parent.mkdir(parents=True, exist_ok=True)
    with progress_bars() as progress, written_to(request.tensorboard) as write:
        snapshot = _apart(
            collect_images(request, settings, progress), request, settings
        )
        checkpoint = _checkpoint(request, snapshot, parent)
        try:
            learnt = _learn(request, snapshot, device, checkpoint, progress, write)
        except Diverged:
            checkpoint.discard()
            raise
    with full_disk_reported(parent):
        place = _seal(learnt, snapshot, request, parent)
    checkpoint.discard()
    return load_bundle(place)


def _seal(
    learnt: FittedBundle, snapshot: Snapshot, request: TrainingRequest, parent: Path
) -> Path:
    """Make the bundle beside its place and move it there, whole."""
    work = Path(tempfile.mkdtemp(prefix=".training-", dir=parent))
    try:
        sealed = make_bundle(
            learnt,
            snapshot,
            work,
            _lineage(request),
            request.champion,
            write_pages=partial(_write_pages, learnt, snapshot, work, request),
        )
        place = request.out or parent / sealed.bundle_id
        work.chmod(0o755)
        work.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return place


def _apart(
    snapshot: Snapshot, request: TrainingRequest, settings: Settings
) -> Snapshot:
    """Return the snapshot without patients on whom bundles are compared.

    Those that the split leaves unseen stay: they check the run as well.
    """
    frozen = NO_PATIENTS
    if request.from_archive:
        frozen = reference_patients(settings.reference_dir)
    return without_patients(
        snapshot, patients_to_withhold(snapshot.samples, frozen, request.config.seed)
    )


def _checkpoint(
    request: TrainingRequest, snapshot: Snapshot, parent: Path
) -> Checkpoint:
    """Return where the run is kept; what another run left there is of no use to it."""
    key = f"{veritag.__version__}-{request.config.digest()}-{snapshot.digest()}"
    checkpoint = Checkpoint(parent / CHECKPOINT, key)
    if not request.resume:
        checkpoint.discard()
    return checkpoint


def _require_sense(request: TrainingRequest) -> None:
    out = request.out
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"--out {out} exists and is not an empty folder")
    try:
        inner_side(request.config.size, len(request.config.filters))
    except ValueError as error:
        raise ConfigurationError(f"--size: {error}") from None


def _learn(
    request: TrainingRequest,
    snapshot: Snapshot,
    device: str,
    checkpoint: Checkpoint,
    progress: Progress,
    write: Callable[[EpochFigures], None],
) -> FittedBundle:
    config = request.config
    split, remarks = prepare(snapshot, config)
    parts = training_set(snapshot, split, config)
    for remark in (*remarks, *_missing_pairs(parts[0])):
        progress.console.print(remark, highlight=False)
    ranks = join_ranks(device)
    training, held_out = (ranks.firsts_images(part) for part in parts)
    passes = config.epochs + config.cluster_epochs
    bar = progress.add_task(f"training on {device}", total=passes * len(training))

    def tell(figures: EpochFigures) -> None:
        write(figures)
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

    learnt = fit_bundle(snapshot, split, trained, on_step=on_step)
    if training.constraints is not None:
        learnt.figures["constraints"] = training.constraints.report
    return learnt


def _missing_pairs(training: TrainingSet) -> tuple[str, ...]:
    """Return why there are fewer pairs than asked for, nothing where all are there."""
    if training.constraints is None:
        return ()
    shortfall = training.constraints.report["shortfall"]
    return (shortfall,) if shortfall else ()


def _write_pages(
    learnt: FittedBundle,
    snapshot: Snapshot,
    folder: Path,
    request: TrainingRequest,
    clusters: Sequence[ClusterProfile],
) -> None:
    page = report_html(learnt, snapshot, clusters, with_tiles=request.with_tiles)
    (folder / REPORT).write_text(page, encoding="utf-8")
    card = card_markdown(
        learnt,
        snapshot,
        version=veritag.__version__,
        note=request.note,
        with_tiles=request.with_tiles,
    )
    (folder / CARD).write_text(card, encoding="utf-8")
    if request.with_tiles:
        write_exemplars(learnt, snapshot, clusters, folder)


def _lineage(request: TrainingRequest) -> dict[str, Any]:
    return {
        "inputs": {
            "images": len(request.images),
            "archive": request.data is not None,
            "phantoms": request.phantoms,
            "with_research": request.with_research,
            "patients_kept_out": len(request.without),
        },
        "note": request.note,
    }
