"""The images of a run, from folders, the archive of a running Veritag, and phantoms."""

import warnings
from pathlib import Path

from rich.progress import Progress

from model_training.runs.training_request import TrainingRequest
from model_training.snapshots.archive.archive_snapshot import service_snapshot
from model_training.snapshots.image_sampling import SamplingConfig
from model_training.snapshots.image_sources import image_entries
from model_training.snapshots.phantom_snapshot import phantom_count, phantom_snapshot
from model_training.snapshots.snapshot import Snapshot, join_snapshots, take_snapshot
from model_training.snapshots.snapshot_check import require_images
from veritag.pixels.preprocessing import Preprocessing
from veritag.settings import Settings


def collect_images(
    request: TrainingRequest, settings: Settings, progress: Progress
) -> Snapshot:
    """Return the images to learn from; print what was left out and why.

    Parameters
    ----------
    settings
        Settings with the data directory of the archive.

    Raises
    ------
    StopError
        If there is not a single image.
    """
    preprocessing = Preprocessing(size=request.config.size)
    parts = []
    folders = list(request.images)
    if request.from_archive:
        archive = _archive(request, settings, preprocessing, progress)
        if archive is not None:
            parts.append(archive)
        else:
            # A copy of an archive without records is read like any folder of files.
            folders.append(settings.archive_dir)
    if folders:
        parts.append(_folders(folders, request, preprocessing, progress))
    if request.phantoms:
        parts.append(_phantoms(request.phantoms, preprocessing, progress))
    snapshot = parts[0] if len(parts) == 1 else join_snapshots(parts)
    for reason, count in snapshot.left_out.items():
        progress.console.print(f"left out {count}: {reason}", highlight=False)
    require_images(snapshot)
    return snapshot


def _archive(
    request: TrainingRequest,
    settings: Settings,
    preprocessing: Preprocessing,
    progress: Progress,
) -> Snapshot | None:
    bar = progress.add_task("reading the archive", total=None)
    return service_snapshot(
        settings,
        preprocessing,
        config=SamplingConfig(seed=request.config.seed),
        on_total=lambda n: progress.update(bar, total=n),
        on_step=lambda n: progress.advance(bar, n),
    )


def _folders(
    folders: list[Path],
    request: TrainingRequest,
    preprocessing: Preprocessing,
    progress: Progress,
) -> Snapshot:
    entries = [
        entry
        for folder in folders
        for entry in image_entries(folder, with_research=request.with_research)
        if entry.patient not in request.without
    ]
    bar = progress.add_task("reading images", total=len(entries))
    with warnings.catch_warnings():
        # pydicom warns of every irregular value; unusable files are counted instead.
        warnings.simplefilter("ignore")
        return take_snapshot(
            entries, preprocessing, on_step=lambda n: progress.advance(bar, n)
        )


def _phantoms(
    patients: int, preprocessing: Preprocessing, progress: Progress
) -> Snapshot:
    bar = progress.add_task("drawing phantoms", total=phantom_count(patients))
    return phantom_snapshot(
        patients, preprocessing, on_step=lambda n: progress.advance(bar, n)
    )
