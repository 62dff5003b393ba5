"""Routes of the pictures of instances, as PNG."""

import hashlib
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Depends, Header, HTTPException, Response

from services.review.dependencies import Id, PicturesDep, RecordsDep, proxy_reviewer
from veritag.errors import RejectError
from veritag.pixels.preprocessing import VERSION
from veritag.records.review.study import instance_location

Size: TypeAlias = Literal["256", "1024"]

router = APIRouter(dependencies=[Depends(proxy_reviewer)])


@router.get("/pictures/{instance_id}/{size}.png", response_class=Response)
def picture(
    instance_id: Id,
    size: Size,
    records: RecordsDep,
    pictures: PicturesDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Return the picture of an instance, or a card `no picture`."""
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
