"""Retention: deletes archived files after some days and keeps their records.

A thumbnail of each image stays for the review pages. The scheduler runs it in small
batches; every step may be repeated.
"""

import time
from collections.abc import Sequence

from veritag.errors import ArchiveUnavailable, RejectError
from veritag.pixels.decoding_pool import DecodingPool
from veritag.pixels.decoding_process import DecodingLimits
from veritag.pixels.thumbnail import DRAWING_MODULES, draw_thumbnail
from veritag.pixels.thumbnail_store import SIZE, ThumbnailStore
from veritag.process.logs import get_logger
from veritag.process.metrics import REMOVED, REMOVED_BYTES
from veritag.records import Records
from veritag.records.reception.retention import (
    RemovableInstance,
    mark_for_removal,
    removable_instances,
    remove_marked,
)
from veritag.settings import Settings
from veritag.storage.archive import Archive

log = get_logger()

BATCH = 64
# Limit per round: the scheduler settles series in the same thread.
DRAWING_SECONDS = 5.0


class Retention:
    """Deletes files older than `retain_days`; with 0 it deletes none."""

    def __init__(self, settings: Settings, records: Records) -> None:
        self._days = settings.retain_days
        self._max_frame_mb = settings.max_frame_mb
        self._records = records
        self._archive = Archive(settings.archive_dir)
        self._pictures = ThumbnailStore(settings.pictures_dir)
        self._decoding = DecodingPool(DecodingLimits.of(settings), *DRAWING_MODULES)

    def round(self) -> int:
        """Delete a batch of files; return how many, 0 while the archive is unavailable.

        Raises
        ------
        RecordsUnavailable
            If the database does not answer; the next round continues.
        """
        if not self._days:
            return 0
        try:
            # Files that a crash left marked come first.
            return self._remove() or self._begin()
        except ArchiveUnavailable as error:
            log.warning("retention_waits", reason=str(error))
            return 0

    def _begin(self) -> int:
        candidates = removable_instances(self._records, self._days, BATCH)
        if not candidates:
            return 0
        kept = self._keep_pictures(candidates)
        mark_for_removal(self._records, [one.instance_id for one in kept], self._days)
        return self._remove()

    def _keep_pictures(
        self, candidates: Sequence[RemovableInstance]
    ) -> list[RemovableInstance]:
        """Store thumbnails within the time limit; return the finished rows, at least one."""
        done: list[RemovableInstance] = []
        deadline = time.monotonic() + DRAWING_SECONDS
        try:
            for one in candidates:
                if done and time.monotonic() > deadline:
                    break
                if one.has_picture:
                    self._keep_picture(one.archive_key)
                done.append(one)
        except OSError as error:
            raise ArchiveUnavailable(
                f"the thumbnails cannot be stored: {error.strerror}"
            ) from error
        return done

    def _keep_picture(self, key: str) -> None:
        """Store the thumbnail; an image that cannot be drawn has none."""
        if self._pictures.read(key) is not None or self._archive.size(key) is None:
            return
        try:
            path = self._archive.path(key)
            png = self._decoding.call(draw_thumbnail, path, SIZE, self._max_frame_mb)
        except RejectError as error:
            log.warning("picture_not_kept", archive_key=key, reason=str(error))
            return
        self._pictures.keep(key, png)

    def _remove(self) -> int:
        removed = remove_marked(self._records, self._remove_files, BATCH)
        if removed:
            REMOVED.inc(len(removed))
            REMOVED_BYTES.inc(sum(one.size for one in removed))
            ids = [one.instance_id for one in removed]
            log.info("instances_removed", instance_ids=ids, retain_days=self._days)
        return len(removed)

    def _remove_files(self, keys: Sequence[str]) -> None:
        """Delete files; raise an error before the first one if the archive is absent."""
        for key in keys:
            # Raises if the folder of the key is missing, as on an empty mount point.
            self._archive.size(key)
        self._archive.remove(keys)

    def close(self) -> None:
        """End the decoding process."""
        self._decoding.close()
