"""Drawing of PNG pictures from archived instances."""

import threading
from functools import lru_cache

from veritag.pixels.decoding_pool import DecodingPool
from veritag.pixels.decoding_process import DecodingLimits
from veritag.pixels.thumbnail import DRAWING_MODULES, draw_thumbnail
from veritag.pixels.thumbnail_store import ThumbnailStore
from veritag.storage.archive import Archive

SMALL = 256
CACHED = 512


class Pictures:
    """Draws pictures, a few at a time, and caches the small ones.

    Parameters
    ----------
    threads
        Number decoded at a time: a large frame takes its whole size in memory.
    kept
        Small pictures of instances that the archive no longer holds.
    limits
        Of the processes that read and draw the files.
    """

    def __init__(
        self,
        archive: Archive,
        kept: ThumbnailStore,
        *,
        threads: int,
        max_frame_mb: int,
        limits: DecodingLimits,
    ) -> None:
        self._archive = archive
        self._kept = kept
        self._max_frame_mb = max_frame_mb
        self._decoding = DecodingPool(limits, *DRAWING_MODULES)
        self._slots = threading.BoundedSemaphore(threads)
        self._small = lru_cache(maxsize=CACHED)(self._draw)

    def close(self) -> None:
        """End the processes that decode."""
        self._decoding.close()

    def png(self, archive_key: str, size: int) -> bytes:
        """Return the PNG.

        Raises
        ------
        RejectError
            If the instance has no picture that can be read.
        """
        return (self._small if size == SMALL else self._draw)(archive_key, size)

    def _draw(self, archive_key: str, size: int) -> bytes:
        path = self._archive.path(archive_key)
        if not path.exists() and (kept := self._kept.read(archive_key)) is not None:
            return kept
        with self._slots:
            return self._decoding.call(draw_thumbnail, path, size, self._max_frame_mb)
