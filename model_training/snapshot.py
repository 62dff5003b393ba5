"""A training snapshot: tiles with tags and patients, frozen under one digest."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray

from model_training.sources import Entry, patient_group, station_key
from veritag.concepts import normalize
from veritag.errors import RejectError, UnusableInstance
from veritag.findings import TagValue
from veritag.preprocessing import Preprocessing
from veritag.tags import read_tags
from veritag.tile import Tile, make_tile, tile_from_gray

PICTURES = {".jpg", ".jpeg", ".png"}
THREADS = 4
NUMERIC_TAGS = ("ImageOrientationPatient", "ExposureTime", "Exposure")
STATION_KEYWORDS = (
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "DeviceSerialNumber",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of one tile.

    Attributes
    ----------
    tags
        Keyword to normalized value; what means nothing that we know is left out.
    patient
        A key without meaning, equal for images of the same patient or object.
    source
        Repository or folder it came from.
    is_dicom
        Whether the picture came from a DICOM file rather than a converted one.
    is_synthetic
        Whether the picture was drawn rather than taken.
    station
        A key without meaning, equal for images of the same device; where the device is
        not told, of the same source.
    numbers
        The numeric tags as received: ImageOrientationPatient (6 direction cosines),
        ExposureTime (1, ms) and Exposure (1, mAs); what is absent is left out.
    verified
        Keywords whose value, or whose absence from `tags`, a reviewer settled.
    weight
        How much it counts in training; what was reviewed counts more.
    received
        Keyword of a verified tag to its normalized value before the review: the
        question to which `tags` holds the answer. Empty for tags that nobody reviewed.
    """

    tags: Mapping[str, str]
    patient: str
    source: str
    license: str = ""
    is_dicom: bool = True
    is_synthetic: bool = False
    station: str = ""
    numbers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    verified: frozenset[str] = frozenset()
    weight: float = 1.0
    received: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Modality and body part, the coarsest description of what is shown."""
        return (
            f"{self.tags.get('Modality', '-')} {self.tags.get('BodyPartExamined', '-')}"
        )


@dataclass(frozen=True)
class Snapshot:
    """Tiles of shape (N, size, size) and what is known of each."""

    tiles: NDArray[np.uint8]
    samples: tuple[Sample, ...]
    preprocessing: Preprocessing
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.samples)

    def values(self, tag: str) -> NDArray[np.str_]:
        """Return the normalized values of a tag, empty where absent, of shape (N,)."""
        return np.array([s.tags.get(tag, "") for s in self.samples], dtype=np.str_)

    def digest(self) -> str:
        """Return a fingerprint of tiles and what is known of them, in whatever order."""
        digests = sorted(
            hashlib.blake2b(tile.tobytes() + _fingerprint(s), digest_size=16).digest()
            for tile, s in zip(self.tiles, self.samples, strict=True)
        )
        return hashlib.blake2b(b"".join(digests), digest_size=16).hexdigest()

    def part(self, chosen: NDArray[np.bool_]) -> "Snapshot":
        """Return the chosen images, a mask of shape (N,)."""
        kept = tuple(s for s, keep in zip(self.samples, chosen, strict=True) if keep)
        return Snapshot(self.tiles[chosen], kept, self.preprocessing, {})

    def summary(self) -> dict[str, Any]:
        """Return what lineage tells of it: digest, counts and sources."""
        sources = Counter((s.source, s.license) for s in self.samples)
        return {
            "digest": self.digest(),
            "images": len(self),
            "patients": len({s.patient for s in self.samples}),
            "synthetic": sum(s.is_synthetic for s in self.samples),
            "kinds": dict(Counter(s.kind for s in self.samples).most_common()),
            "left_out": dict(self.left_out),
            "sources": [
                {"source": source, "license": license_, "images": images}
                for (source, license_), images in sorted(sources.items())
            ],
        }


def _fingerprint(sample: Sample) -> bytes:
    known = [
        dict(sample.tags),
        {k: list(v) for k, v in sample.numbers.items()},
        sorted(sample.verified),
        sample.weight,
        sample.patient,
        sample.station,
    ]
    return json.dumps(known, sort_keys=True).encode()


def take_snapshot(
    entries: Sequence[Entry],
    preprocessing: Preprocessing,
    *,
    on_step: Callable[[int], None] = lambda _: None,
) -> Snapshot:
    """Read images into a snapshot; what cannot be used is counted by its reason."""
    taken: list[tuple[Tile, Sample]] = []
    left_out: Counter[str] = Counter()
    with ThreadPoolExecutor(THREADS) as pool:
        for outcome in pool.map(lambda e: _take(e, preprocessing), entries):
            on_step(1)
            if isinstance(outcome, str):
                left_out[outcome] += 1
            else:
                taken.append(outcome)
    return assemble(taken, preprocessing, left_out)


def assemble(
    taken: Iterable[tuple[Tile, Sample]],
    preprocessing: Preprocessing,
    left_out: Mapping[str, int] | None = None,
) -> Snapshot:
    """Freeze tiles and what is known of them into a snapshot."""
    pairs = list(taken)
    size = preprocessing.size
    tiles = np.empty((len(pairs), size, size), dtype=np.uint8)
    for row, (tile, _) in enumerate(pairs):
        tiles[row] = tile
    samples = tuple(sample for _, sample in pairs)
    return Snapshot(tiles, samples, preprocessing, dict(left_out or {}))


def join(snapshots: Sequence[Snapshot]) -> Snapshot:
    """Return one snapshot of several with the same preprocessing."""
    left_out: Counter[str] = Counter()
    for snapshot in snapshots:
        left_out.update(snapshot.left_out)
    return Snapshot(
        np.concatenate([s.tiles for s in snapshots]),
        tuple(sample for s in snapshots for sample in s.samples),
        snapshots[0].preprocessing,
        dict(left_out),
    )


def _take(entry: Entry, preprocessing: Preprocessing) -> tuple[Tile, Sample] | str:
    try:
        if entry.path.suffix.lower() in PICTURES:
            return _take_picture(entry, preprocessing)
        return _take_instance(entry, preprocessing)
    except RejectError as error:
        return f"{type(error).__name__}: {str(error)[:80]}"


def _take_picture(entry: Entry, preprocessing: Preprocessing) -> tuple[Tile, Sample]:
    image = cv2.imread(str(entry.path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UnusableInstance("no readable picture")
    tile = tile_from_gray(image, preprocessing)
    return _known(tile), _sample(entry, {}, entry.patient or str(entry.path), False)


def _take_instance(entry: Entry, preprocessing: Preprocessing) -> tuple[Tile, Sample]:
    try:
        ds = pydicom.dcmread(entry.path, force=True)
        received = read_tags(ds)
        patient = str(ds.get("PatientID") or ds.get("StudyInstanceUID") or entry.path)
        station = _station(ds, entry.source)
    except Exception as error:
        # Malformed files raise anything; a snapshot goes on without them.
        raise UnusableInstance(
            f"not readable as DICOM: {type(error).__name__}"
        ) from error
    tile = make_tile(ds, preprocessing)
    normalized = {k: normalize(k, v) for k, v in received.items()}
    sample = _sample(entry, normalized, entry.patient or patient, True)
    return _known(tile), replace(sample, station=station, numbers=numbers_of(received))


def numbers_of(received: Mapping[str, TagValue]) -> dict[str, tuple[float, ...]]:
    """Return the numeric ones of received tags, each as a tuple of finite numbers."""
    numbers = {}
    for keyword in NUMERIC_TAGS:
        value = received.get(keyword)
        parts = value if isinstance(value, (tuple, list)) else (value,)
        floats = [float(p) for p in parts if isinstance(p, (int, float))]
        if len(floats) == len(parts) and all(map(math.isfinite, floats)):
            numbers[keyword] = tuple(floats)
    return numbers


def _station(ds: pydicom.Dataset, source: str) -> str:
    maker, *device = (str(ds.get(k) or "").strip() for k in STATION_KEYWORDS)
    return station_key(maker, *device) if any(device) else station_key(source, maker)


def _known(tile: Tile) -> Tile:
    if tile.min() == tile.max():
        raise UnusableInstance("an empty picture")
    return tile


def _sample(
    entry: Entry, received: Mapping[str, str | None], patient: str, is_dicom: bool
) -> Sample:
    curated = {k: normalize(k, v) if v else None for k, v in entry.tags.items()}
    tags = {k: v for k, v in {**received, **curated}.items() if v}
    return Sample(
        tags=tags,
        patient=patient_group(entry.source, patient),
        source=entry.source,
        license=entry.license,
        is_dicom=is_dicom,
        station=station_key(entry.source),
    )
