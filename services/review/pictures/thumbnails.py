"""Pictures of instances as PNG, drawn on demand from the archive."""

import hashlib
import threading
from functools import lru_cache, partial
from typing import Annotated, Literal, TypeAlias

import cv2
from fastapi import APIRouter, Depends, Header, HTTPException, Response

from services.review.dependencies import Id, PicturesDep, RecordsDep, proxy_reviewer
from veritag.dicom.small_native_files import is_small_native
from veritag.errors import RejectError
from veritag.pixels.decoding_pool import DecodingPool
from veritag.pixels.decoding_process import DecodingLimits
from veritag.pixels.preprocessing import VERSION
from veritag.pixels.thumbnail import draw_thumbnail
from veritag.pixels.thumbnail_store import ThumbnailStore
from veritag.records.review.study import instance_location
from veritag.storage.archive import Archive

SMALL = 256
Size: TypeAlias = Literal["256", "1024"]
CACHED = 512

router = APIRouter(dependencies=[Depends(proxy_reviewer)])


class Pictures:
    """Draws pictures, a few at a time, and keeps the small ones.

    Parameters
    ----------
    threads
        How many are decoded at a time: a large frame takes its whole size in memory.
    kept
        Small pictures of what the archive no longer holds.
    limits
        Of the processes in which all is read that is large or compressed.
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
        self._confined = DecodingPool(limits, draw_thumbnail.__module__)
        self._turn = threading.BoundedSemaphore(threads)
        self._small = lru_cache(maxsize=CACHED)(self._draw)

    def close(self) -> None:
        """End the processes that decode."""
        self._confined.close()

    def png(self, archive_key: str, size: int) -> bytes:
        """Return the PNG; raises RejectError where there is no picture."""
        return (self._small if size == SMALL else self._draw)(archive_key, size)

    def _draw(self, archive_key: str, size: int) -> bytes:
        path = self._archive.path(archive_key)
        if not path.exists() and (kept := self._kept.read(archive_key)) is not None:
            return kept
        job = partial(draw_thumbnail, path, size, self._max_frame_mb)
        with self._turn:
            picture = job() if is_small_native(path) else self._confined.call(job)
        _, png = cv2.imencode(".png", picture)
        return png.tobytes()


@router.get("/pictures/{instance_id}/{size}.png", response_class=Response)
def picture(
    instance_id: Id,
    size: Size,
    records: RecordsDep,
    pictures: PicturesDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the picture of an instance, or a card that says why there is none."""
    location = instance_location(records, instance_id)
    if location is None:
        raise HTTPException(404, "There is no such instance.")
    etag = _etag(location.archive_key, int(size))
    headers = {"ETag": etag, "Cache-Control": "private, max-age=86400"}
    if if_none_match == etag:
        return Response(status_code=304, headers=headers)
    try:
        return Response(
            pictures.png(location.archive_key, int(size)), 200, headers, "image/png"
        )
    except RejectError:
        return Response(
            _NO_PICTURE, 200, {"Cache-Control": "no-store"}, "image/svg+xml"
        )


def _etag(archive_key: str, size: int) -> str:
    drawn = f"{archive_key}/{size}/{VERSION}"
    return f'"{hashlib.sha256(drawn.encode()).hexdigest()[:32]}"'


_NO_PICTURE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128">
<rect width="128" height="128" fill="#2a3136"/>
<text x="64" y="68" fill="#c9d2d7" font-family="sans-serif" font-size="13" text-anchor="middle">no picture</text>
</svg>
"""
