"""One training run, from its images to a sealed bundle, with progress on stderr."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from rich.progress import Progress

import veritag
from model_training.bundles.seal import old_clusters
from model_training.calibration.fit_bundle import FittedBundle, fit_bundle
from model_training.network.encoder import inner_side
from model_training.process.progress import progress_bars
from model_training.process.publish_folder import disk_errors
from model_training.process.torch_runtime import choose_device
from model_training.runs.collect_images import collect_images
from model_training.runs.disk_guards import full_disk_reported
from model_training.runs.run_records import recorded_run
from model_training.runs.training_progress import TrainingProgress, remark, steps_bar
from model_training.runs.training_request import TrainingRequest
from model_training.runs.write_bundle import write_bundle
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
from model_training.training.tensorboard import epoch_writer
from model_training.training.training_data import TrainingSet
from model_training.training.training_sets import split_learnable, training_sets
from veritag.bundles.bundle import ModelBundle, load_bundle
from veritag.errors import ConfigurationError
from veritag.settings import Settings

CHECKPOINT = ".training-checkpoint.pt"
FIT_STEPS = 3
"""Steps that `fit_bundle` reports: profiles, calibration, check."""


def run_training(request: TrainingRequest, settings: Settings) -> ModelBundle:
    """Train, calibrate, check and seal a bundle, and record the run.

    Raises
    ------
    ConfigurationError
        If the folder of the bundle is in use, or its tile size cannot be halved in every stage.
    StopError
        If there are no images, or too few to learn from.
    """
    _require_valid(request)
    if request.data is not None:
        settings = settings.model_copy(update={"data_dir": request.data})
    with recorded_run(settings, asdict(request.config)) as record:
        bundle = train_bundle(request, settings)
        record(bundle, bundle.manifest.lineage["snapshot"]["digest"])
    return bundle


def train_bundle(request: TrainingRequest, settings: Settings) -> ModelBundle:
    """Train, calibrate, check and seal a bundle without recording the run."""
    device = choose_device(request.device)
    if request.threads:
        torch.set_num_threads(request.threads)
    parent = _bundles_folder(request, settings)
    with progress_bars() as progress, epoch_writer(request.tensorboard) as write:
        images = collect_images(request, settings, progress)
        snapshot = _without_reference(images, request, settings)
        checkpoint = _checkpoint(request, snapshot, parent)
        try:
            fitted = _fit(request, snapshot, device, checkpoint, progress, write)
        except Diverged:
            # Resuming from there would diverge again.
            checkpoint.discard()
            raise
    with full_disk_reported(parent):
        place = write_bundle(fitted, snapshot, request, parent)
    # Only now: a run that is interrupted while it seals can be resumed.
    checkpoint.discard()
    return load_bundle(place)


def _require_valid(request: TrainingRequest) -> None:
    out = request.out
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigurationError(f"--out {out} exists and is not an empty folder")
    try:
        inner_side(request.config.size, len(request.config.filters))
    except ValueError as error:
        raise ConfigurationError(f"--size: {error}") from None


def _bundles_folder(request: TrainingRequest, settings: Settings) -> Path:
    """Return the folder in which the bundle's folder is made, created if missing."""
    # --data has bundles of its own, whatever VERITAG_BUNDLE_DIR names.
    bundles = request.data / "bundles" if request.data else settings.bundles_dir
    parent = request.out.parent if request.out else bundles
    with disk_errors(f"the folder {parent}"):
        parent.mkdir(parents=True, exist_ok=True)
    return parent


def _without_reference(
    snapshot: Snapshot, request: TrainingRequest, settings: Settings
) -> Snapshot:
    """Return the snapshot without patients of the reference set that would train.

    Those in its unseen part stay: this run is checked on them as well.
    """
    patients = NO_PATIENTS
    if request.from_archive:
        patients = reference_patients(settings.reference_dir)
    seed = request.config.seed
    withheld = patients_to_withhold(snapshot.samples, patients, seed)
    return without_patients(snapshot, withheld)


def _checkpoint(
    request: TrainingRequest, snapshot: Snapshot, parent: Path
) -> Checkpoint:
    """Return the run's checkpoint, whose key no other version, setting or image has."""
    key = f"{veritag.__version__}-{request.config.digest()}-{snapshot.digest()}"
    checkpoint = Checkpoint(parent / CHECKPOINT, key)
    if not request.resume:
        checkpoint.discard()
    return checkpoint


def _fit(
    request: TrainingRequest,
    snapshot: Snapshot,
    device: str,
    checkpoint: Checkpoint,
    progress: Progress,
    write: Callable[[EpochFigures], None],
) -> FittedBundle:
    """Train the network, then fit clusters, tag model and calibration."""
    config = request.config
    split, remarks = split_learnable(snapshot, config)
    parts = training_sets(snapshot, split, config)
    for text in (*remarks, *_missing_pairs(parts[0])):
        remark(progress, text)
    # With torchrun, the other processes wait for these images in `train_as_worker`.
    ranks = join_ranks(device)
    training, held_out = (ranks.images_from_main(part) for part in parts)
    bar = TrainingProgress(progress, device, config, len(training), write)
    trained = train(
        training,
        held_out,
        config,
        device=device,
        old_clusters=old_clusters(request.champion, training.tiles),
        checkpoint=checkpoint,
        on_step=bar.advance,
        on_epoch=bar.show,
    )
    bar.complete(len(trained.history))
    on_step = steps_bar(progress, "clusters", FIT_STEPS)
    fitted = fit_bundle(snapshot, split, trained, on_step=on_step)
    if training.constraints is not None:
        fitted.figures["constraints"] = training.constraints.report
    return fitted


def _missing_pairs(training: TrainingSet) -> tuple[str, ...]:
    """Return why there are fewer pairs than requested, empty where all are there."""
    if training.constraints is None:
        return ()
    shortfall = training.constraints.report["shortfall"]
    return (shortfall,) if shortfall else ()
