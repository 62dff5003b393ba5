"""Thumbnails of files for reviewers."""

from pathlib import Path

from veritag.dicom.read_instance import open_instance
from veritag.pixels.tile import Tile, make_picture


def draw_thumbnail(path: Path, size: int, max_frame_mb: int) -> Tile:
    """Return the thumbnail of an instance, of shape (size, size); see `make_tile`.

    Raises
    ------
    RejectError
        If the file holds no usable picture.
    """
    return make_picture(open_instance(path), size, max_frame_mb=max_frame_mb)
