"""Builder of a snapshot of the archive: first the kept tiles, then the files."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from model_training.process.publish_folder import publish_folder
from model_training.snapshots.archive.reviewed_tags import apply_decisions
from model_training.snapshots.archive.snapshot_plan import SnapshotPlan
from model_training.snapshots.image_sources import patient_key, station_key
from model_training.snapshots.read_image import (
    map_in_threads,
    rejection_reason,
    require_contrast,
)
from model_training.snapshots.samples import Sample, SampleInterner
from model_training.snapshots.snapshot_files import (
    SnapshotWriter,
    load_snapshot,
    new_snapshot,
)
from model_training.snapshots.split import split_samples
from model_training.snapshots.tile_store import TileStore
from veritag.dicom.read_instance import open_instance
from veritag.errors import ArchiveUnavailable, RejectError, StopError
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import Tile, make_tile
from veritag.records import Records
from veritag.records.training.training_data import (
    DecidedTag,
    LearnableInstance,
    learnable_instances,
)
from veritag.storage.archive import Archive

SOURCE = "archive"
GONE = "no longer in the archive, and no tile was kept"

_ROWS_AT_ONCE = 1024


def sample_of(instance: LearnableInstance, decided: Sequence[DecidedTag]) -> Sample:
    """Return the sample of an instance after the decisions on its series."""
    reviewed = apply_decisions(instance.tags, decided)
    maker, name = instance.manufacturer or "", instance.station_name or ""
    return Sample(
        tags=reviewed.tags,
        patient=patient_key(SOURCE, instance.patient),
        source=SOURCE,
        station=station_key(maker, name) if name else station_key(SOURCE, maker),
        numbers=reviewed.numbers,
        verified=reviewed.verified,
        weight=reviewed.weight,
        received=reviewed.received,
    )


@dataclass
class SnapshotBuilder:
    """Builds one snapshot: `keep_tiles`, then `write`."""

    plan: SnapshotPlan
    archive: Archive
    preprocessing: Preprocessing
    max_frame_mb: int
    on_step: Callable[[int], None]
    samples: list[Sample] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def keep_tiles(self, records: Records, store: TileStore) -> None:
        """Make the tiles that are not kept yet; collect the sample of each instance."""
        intern = SampleInterner()
        self.left_out.update(self.plan.left_out)
        instances = learnable_instances(records, self.plan.ids.tolist())
        while page := list(islice(instances, _ROWS_AT_ONCE)):
            for instance in self._with_tile(page, store):
                decided = self.plan.decided.get(instance.series_id, ())
                self.samples.append(intern(sample_of(instance, decided)))
                self.digests.append(instance.digest)
            self.on_step(len(page))

    def _with_tile(
        self, page: Sequence[LearnableInstance], store: TileStore
    ) -> Iterator[LearnableInstance]:
        """Yield the instances whose tile is kept or can be made now."""
        rows = store.find([instance.digest for instance in page])
        is_kept = rows >= 0
        # A damaged tile is made again like a missing one.
        is_kept[is_kept] = store.read(rows[is_kept])[1]
        missing = [i for i, kept in zip(page, is_kept, strict=True) if not kept]
        failed = self._make_tiles(missing, store)
        self.left_out.update(failed.values())
        yield from (i for i in page if i.instance_id not in failed)

    def _make_tiles(
        self, missing: Sequence[LearnableInstance], store: TileStore
    ) -> dict[int, str]:
        """Make and keep tiles; return instance id to reason where that fails."""
        if missing and not self.archive.root.is_dir():
            # A share that is not mounted must not count its objects as gone.
            raise ArchiveUnavailable(f"there is no archive at {self.archive.root}")
        failed: dict[int, str] = {}
        made: dict[str, Tile] = {}
        outcomes = map_in_threads(self._make_tile, missing)
        for instance, outcome in zip(missing, outcomes, strict=True):
            if isinstance(outcome, str):
                failed[instance.instance_id] = outcome
            else:
                made[instance.digest] = outcome
        store.append(list(made), list(made.values()))
        return failed

    def _make_tile(self, instance: LearnableInstance) -> Tile | str:
        path = self.archive.path(instance.archive_key)
        if not path.exists():
            return GONE
        try:
            ds = open_instance(path)
            tile = make_tile(ds, self.preprocessing, max_frame_mb=self.max_frame_mb)
            return require_contrast(tile)
        except RejectError as error:
            return rejection_reason(error)

    def write(self, store: TileStore, parent: Path, seed: int) -> Path:
        """Write the snapshot in the order of its parts; return its folder."""
        order = _by_part(self.samples, seed)
        with new_snapshot(parent, self.preprocessing) as writer:
            for start in range(0, len(order), _ROWS_AT_ONCE):
                self._write_rows(store, writer, order[start : start + _ROWS_AT_ONCE])
            place = parent / writer.seal(self.left_out)
            # An equal snapshot has the same folder, which may be damaged.
            if not _holds_snapshot(place):
                publish_folder(writer.work, place)
        return place

    def _write_rows(
        self, store: TileStore, writer: SnapshotWriter, rows: Sequence[int]
    ) -> None:
        kept = store.find([self.digests[row] for row in rows])
        tiles, undamaged = store.read(kept)
        if not undamaged.all():
            raise StopError(
                f"the kept tiles in {store.folder} were changed while in use"
            )
        writer.add(tiles, [self.samples[row] for row in rows])


def _by_part(samples: Sequence[Sample], seed: int) -> list[int]:
    """Return the rows in the order training, calibration, new stations, unseen."""
    split = split_samples(samples, seed)
    part = split.calibration + 2 * split.new_stations + 3 * split.unseen
    return [int(row) for row in np.argsort(part, kind="stable")]


def _holds_snapshot(place: Path) -> bool:
    """Return whether a folder holds a valid snapshot; remove an invalid one."""
    if not place.exists():
        return False
    try:
        load_snapshot(place)
    except StopError:
        shutil.rmtree(place)
        return False
    return True
