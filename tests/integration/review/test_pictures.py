"""Pictures of instances."""

import cv2
import httpx
import numpy as np
import pytest

from tests.integration.review.testbed import ReviewTestbed
from veritag.pixels.thumbnail_store import ThumbnailStore
from veritag.records.review.study import instance_location
from veritag.storage.archive import Archive


def test_a_picture_is_a_png_of_the_size_asked_for(client: httpx.Client) -> None:
    """A thumbnail shows the anatomy at 256 pixels."""
    answer = client.get("/pictures/1/256.png")
    assert answer.headers["content-type"] == "image/png"
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert drawn is not None
    assert drawn.shape == (256, 256)
    assert drawn.std() > 10


def test_a_known_picture_is_not_sent_again(client: httpx.Client) -> None:
    """A browser may cache a picture, a proxy may not; a repeated request gets 304."""
    first = client.get("/pictures/1/256.png")
    assert first.headers["cache-control"].startswith("private, max-age=")
    etag = first.headers["etag"]
    again = client.get("/pictures/1/256.png", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


def test_an_instance_without_picture_gets_a_card(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """A file that cannot be drawn is shown as a card, never as a broken image."""
    location = instance_location(day.records, 2)
    assert location is not None
    path = Archive(day.data_dir / "archive").path(location.archive_key)
    path.write_bytes(path.read_bytes()[:700])
    answer = client.get("/pictures/2/256.png")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] == "no-store"


def test_what_the_archive_let_go_of_is_still_shown(
    client: httpx.Client, day: ReviewTestbed
) -> None:
    """The stored small picture is shown for every size; without it a card."""
    location = instance_location(day.records, 2)
    assert location is not None
    shown = client.get("/pictures/2/256.png").content
    Archive(day.data_dir / "archive").remove([location.archive_key])
    kept = ThumbnailStore(day.data_dir / "pictures")
    assert "svg" in client.get("/pictures/2/1024.png").headers["content-type"]
    kept.keep(location.archive_key, shown)
    assert client.get("/pictures/2/1024.png").content == shown


@pytest.mark.parametrize(
    ("path", "status"),
    [("999999", 404), ("0", 422), ("x", 422), ("9" * 30, 422)],
)
def test_an_unknown_instance_has_no_picture(
    client: httpx.Client, path: str, status: int
) -> None:
    """Unknown and invalid instance numbers are refused."""
    assert client.get(f"/pictures/{path}/256.png").status_code == status


def test_only_the_offered_sizes_are_drawn(client: httpx.Client) -> None:
    """Other sizes than 256 and 1024 are refused."""
    assert client.get("/pictures/1/1024.png").status_code == 200
    assert client.get("/pictures/1/99999.png").status_code == 422
