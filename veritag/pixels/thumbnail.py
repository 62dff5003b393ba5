"""The picture of a file for people."""

from pathlib import Path

from veritag.dicom.read_instance import open_instance
from veritag.pixels.tile import Tile, make_picture


def draw_file(path: Path, size: int, max_frame_mb: int) -> Tile:
    """Return the picture of an instance, of shape (size, size); see `make_tile`.

    Raises
    ------
    RejectError
        If there is none.
    """
    return make_picture(open_instance(path), size, max_frame_mb=max_frame_mb)
