"""Snapshot of the archive of a running Veritag, chosen by its records.

Each tile is made once and kept, so that it outlives its object in the archive.
"""

from collections.abc import Callable
from pathlib import Path

from model_training.process.publish_folder import remove_unpublished
from model_training.snapshots.archive.snapshot_builder import SnapshotBuilder
from model_training.snapshots.archive.snapshot_plan import SnapshotPlan, plan_snapshot
from model_training.snapshots.image_sampling import SamplingConfig
from model_training.snapshots.snapshot import Snapshot
from model_training.snapshots.snapshot_files import SEAL, load_snapshot, prune_snapshots
from model_training.snapshots.tile_store import TileStore
from veritag.pixels.preprocessing import Preprocessing
from veritag.records import Records
from veritag.settings import Settings
from veritag.storage.archive import Archive

TILES_DIR = "tiles"
SNAPSHOTS_DIR = "snapshots"
SNAPSHOTS_KEPT = 3


def service_snapshot(
    settings: Settings,
    preprocessing: Preprocessing,
    *,
    config: SamplingConfig,
    on_total: Callable[[int], None] = lambda _: None,
    on_step: Callable[[int], None] = lambda _: None,
) -> Snapshot | None:
    """Return a snapshot of a running Veritag's archive; None where it has no records.

    Parameters
    ----------
    on_total
        Called once with the number of steps to come.

    Raises
    ------
    StopError, RetryableError
        As `archive_snapshot` does.
    """
    if not settings.has_records:
        return None
    records = Records.open(settings.records_url)
    try:
        records.migrate()
        plan = plan_snapshot(records, config)
        on_total(len(plan))
        return archive_snapshot(
            records,
            Archive(settings.archive_dir),
            settings.data_dir,
            preprocessing,
            config=config,
            plan=plan,
            max_frame_mb=settings.max_frame_mb,
            on_step=on_step,
        )
    finally:
        records.close()


def archive_snapshot(
    records: Records,
    archive: Archive,
    data_dir: Path,
    preprocessing: Preprocessing,
    *,
    config: SamplingConfig,
    plan: SnapshotPlan | None = None,
    max_frame_mb: int = 1024,
    on_step: Callable[[int], None] = lambda _: None,
) -> Snapshot:
    """Return a snapshot of the archive, written to `data_dir` and mapped from there.

    Its rows are in the order of the parts of `split_patients` under the seed of
    `config`, so that each part is a slice and stays mapped.

    Parameters
    ----------
    plan
        By default made here; made before by callers that show the number of steps.

    Raises
    ------
    StopError
        If another run uses the kept tiles, or the disk is full or fails; older
        snapshots are unchanged then.
    RecordsUnavailable
        If the database does not answer.
    ArchiveUnavailable
        If tiles have to be made and the folder of the archive is missing.
    """
    plan = plan or plan_snapshot(records, config)
    builder = SnapshotBuilder(plan, archive, preprocessing, max_frame_mb, on_step)
    parent = data_dir / SNAPSHOTS_DIR
    with TileStore.open(data_dir / TILES_DIR, preprocessing) as store:
        remove_unpublished(parent)
        builder.keep_tiles(records, store)
        place = builder.write(store, parent, config.seed)
        # An old snapshot that was made again counts as the newest.
        (place / SEAL).touch()
        prune_snapshots(parent, SNAPSHOTS_KEPT)
    return load_snapshot(place, verify=False)
