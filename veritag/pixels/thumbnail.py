"""Thumbnails of files for reviewers, drawn in a decoding process."""

from pathlib import Path

DRAWING_MODULES = (
    "cv2",
    "veritag.dicom.read_instance",
    "veritag.pixels.thumbnail",
    "veritag.pixels.tile",
)
"""Modules that a decoding process needs to draw thumbnails."""


def draw_thumbnail(path: Path, size: int, max_frame_mb: int) -> bytes:
    """Return the thumbnail of an instance as PNG of size x size pixels; see `make_tile`.

    Raises
    ------
    RejectError
        If the file holds no usable picture.
    """
    # Imported here: the parent imports this module too, and does not decode.
    import cv2

    from veritag.dicom.read_instance import open_instance
    from veritag.pixels.tile import make_picture

    picture = make_picture(open_instance(path), size, max_frame_mb=max_frame_mb)
    _, png = cv2.imencode(".png", picture)
    return png.tobytes()
