"""Reading of one listed image: its tile, and a sample with its tags and patient."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import cv2
from pydicom import Dataset

from model_training.snapshots.image_sources import ImageEntry, patient_key, station_key
from model_training.snapshots.samples import Sample, numbers_of
from veritag.dicom.read_instance import open_instance
from veritag.dicom.tags import read_tags
from veritag.errors import NoPixels, RejectError, UnusableInstance
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import Tile, make_tile, tile_from_gray
from veritag.terms.concepts import normalize

PICTURES = {".jpg", ".jpeg", ".png"}
THREADS = 4
STATION_KEYWORDS = (
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "DeviceSerialNumber",
)

_CHUNK = 256
"""Images in memory at a time."""
_LONGEST_REASON = 80

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_entry(entry: ImageEntry, preprocessing: Preprocessing) -> tuple[Tile, Sample]:
    """Return the tile and the sample of an image.

    Raises
    ------
    RejectError
        If it cannot be used: no pixels, damaged, or all pixels equal.
    """
    if entry.path.suffix.lower() in PICTURES:
        return _picture(entry, preprocessing)
    return _instance(entry, preprocessing)


def require_contrast(tile: Tile) -> Tile:
    """Return the tile unless all of its pixels are equal.

    Raises
    ------
    UnusableInstance
        If all of its pixels are equal.
    """
    if tile.min() == tile.max():
        raise UnusableInstance("an empty picture")
    return tile


def rejection_reason(error: RejectError) -> str:
    """Return why an image is left out, in words that many images share."""
    if isinstance(error, NoPixels):
        return "NoPixels"
    return f"{type(error).__name__}: {str(error)[:_LONGEST_REASON]}"


def map_in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], *, chunk: int = _CHUNK
) -> Iterator[Result]:
    """Yield the results of `work` in order; memory holds one chunk at a time."""
    remaining = iter(items)
    # Reading and decoding mostly run without the interpreter lock: threads suffice.
    with ThreadPoolExecutor(THREADS) as pool:
        while part := list(islice(remaining, chunk)):
            yield from pool.map(work, part)


def _picture(entry: ImageEntry, preprocessing: Preprocessing) -> tuple[Tile, Sample]:
    try:
        image = cv2.imread(str(entry.path), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        # OpenCV limits the pixels of an image (CV_IO_MAX_IMAGE_PIXELS).
        raise UnusableInstance(
            "a picture over the largest size that is read"
        ) from error
    if image is None:
        raise UnusableInstance("no readable picture")
    tile = tile_from_gray(image, preprocessing)
    return require_contrast(tile), _sample(
        entry, {}, entry.patient or str(entry.path), False
    )


def _instance(entry: ImageEntry, preprocessing: Preprocessing) -> tuple[Tile, Sample]:
    ds = open_instance(entry.path)
    try:
        received = read_tags(ds)
        patient = str(ds.get("PatientID") or ds.get("StudyInstanceUID") or entry.path)
        station = _station(ds, entry.source)
    except Exception as error:
        # pydicom raises any class of error for malformed files.
        raise UnusableInstance(
            f"not readable as DICOM: {type(error).__name__}"
        ) from error
    tile = make_tile(ds, preprocessing)
    normalized = {k: normalize(k, v) for k, v in received.items()}
    sample = _sample(entry, normalized, entry.patient or patient, True)
    return require_contrast(tile), replace(
        sample, station=station, numbers=numbers_of(received)
    )


def _station(ds: Dataset, source: str) -> str:
    maker, *device = (str(ds.get(k) or "").strip() for k in STATION_KEYWORDS)
    return station_key(maker, *device) if any(device) else station_key(source, maker)


def _sample(
    entry: ImageEntry, received: Mapping[str, str | None], patient: str, is_dicom: bool
) -> Sample:
    curated = {k: normalize(k, v) if v else None for k, v in entry.tags.items()}
    tags = {k: v for k, v in {**received, **curated}.items() if v}
    return Sample(
        tags=tags,
        patient=patient_key(entry.source, patient),
        source=entry.source,
        license=entry.license,
        is_dicom=is_dicom,
        station=station_key(entry.source),
    )
