"""Images of known modality and region, which are kept apart from their tags."""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model_training.compare.images.synthetic_instances import (
    LabelledPicture,
    tile_and_sample,
)
from model_training.snapshots.image_sources import LABELS, MANIFEST, ImageEntry
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import (
    Snapshot,
    assemble_snapshot,
    row_digest,
    take_snapshot,
)
from veritag.errors import ConfigurationError, StopError
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import Tile

THREADS = 2
NO_REGION = {"", "phantom", "unknown"}
COLUMNS = {"path", "modality", "region"}
UNIFESP = "Sbahuddin1"
"""Source of one modality: there, region is not confounded with modality or source."""

Strings = NDArray[np.str_]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """One file of a table of labels."""

    path: Path
    picture: LabelledPicture
    is_dicom: bool


@dataclass(frozen=True)
class LabelledImages:
    """N images with their true modality and region.

    Attributes
    ----------
    snapshot
        Tiles and tags, which are all that training uses.
    modality, region
        By the table of labels, of shape (N,); never copied into a tag.
    """

    snapshot: Snapshot
    modality: Strings
    region: Strings

    def __len__(self) -> int:
        return len(self.snapshot)

    @property
    def tiles(self) -> NDArray[np.uint8]:
        """Of shape (N, size, size)."""
        return self.snapshot.tiles

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Tags and origin of each image."""
        return self.snapshot.samples

    @property
    def patients(self) -> Strings:
        """Keys of the patients, of shape (N,)."""
        return np.array([s.patient for s in self.samples], dtype=np.str_)

    @property
    def source(self) -> Strings:
        """Repositories or folders, of shape (N,)."""
        return np.array([s.source for s in self.samples], dtype=np.str_)

    @property
    def is_dicom(self) -> Mask:
        """Which images are DICOM files rather than synthetic instances of pictures."""
        return np.array([s.is_dicom for s in self.samples], dtype=np.bool_)

    def part(self, chosen: Mask) -> "LabelledImages":
        """Return the chosen images, a mask of shape (N,)."""
        return LabelledImages(
            self.snapshot.part(chosen), self.modality[chosen], self.region[chosen]
        )


def list_labelled(folder: Path, labels: Path | None = None) -> list[LabelledFile]:
    """List the images of a folder with `labels.csv` or `manifest.csv`.

    Raises
    ------
    ConfigurationError
        If there is no table of labels, or it lacks a column.
    """
    table = labels or folder / LABELS
    if labels is not None or table.is_file():
        return [_picture(folder, row) for row in _rows(table, COLUMNS)]
    if (folder / MANIFEST).is_file():
        rows = _rows(folder / MANIFEST, COLUMNS)
        return [
            _instance(folder, row)
            for row in rows
            if row.get("group", "image") == "image"
            and row["region"].strip().lower() not in NO_REGION
        ]
    raise ConfigurationError(
        f"{folder} holds neither {LABELS} nor {MANIFEST}: a comparison needs images of "
        "known modality and region; give their table with --labels"
    )


def thin(data: LabelledImages, limit: int, seed: int = 0) -> LabelledImages:
    """Keep at most `limit` images of each modality, region and source, 0 for all.

    The choice depends only on the images and the seed.
    """
    if not limit:
        return data
    cells: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    kinds = zip(
        data.modality.tolist(), data.region.tolist(), data.source.tolist(), strict=True
    )
    for row, cell in enumerate(kinds):
        cells[cell].append(row)
    images = zip(data.snapshot.tiles, data.snapshot.samples, strict=True)
    # By content, so that the choice does not depend on the order of the files.
    draws = [
        uniform_of(row_digest(tile, sample).hex(), seed) for tile, sample in images
    ]
    kept = np.zeros(len(data), dtype=np.bool_)
    for rows in cells.values():
        kept[sorted(rows, key=draws.__getitem__)[:limit]] = True
    return data.part(kept)


def read_labelled(
    items: Sequence[LabelledFile],
    pre: Preprocessing,
    *,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda _: None,
) -> LabelledImages:
    """Read images; those that cannot be read are counted in the snapshot's `left_out`.

    Raises
    ------
    StopError
        If no image can be read.
    """
    images: list[tuple[LabelledFile, tuple[Tile, Sample]]] = []
    left_out: Counter[str] = Counter()
    with ThreadPoolExecutor(THREADS) as pool:
        outcomes = pool.map(lambda item: _read(item, pre, seed), items)
        for item, outcome in zip(items, outcomes, strict=True):
            on_step(1)
            if isinstance(outcome, str):
                left_out[outcome] += 1
            else:
                images.append((item, outcome))
    if not images:
        raise StopError(
            "none of the images listed can be read; a comparison needs some"
        )
    return LabelledImages(
        assemble_snapshot((pair for _, pair in images), pre, left_out),
        np.array([item.picture.modality for item, _ in images], dtype=np.str_),
        np.array([item.picture.region for item, _ in images], dtype=np.str_),
    )


def _read(
    item: LabelledFile, pre: Preprocessing, seed: int
) -> tuple[Tile, Sample] | str:
    if not item.is_dicom:
        gray = cv2.imread(str(item.path), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            return "no readable picture"
        return tile_and_sample(item.picture, gray.astype(np.uint8), pre, seed)
    entry = ImageEntry(
        item.path,
        item.picture.source,
        patient=item.picture.patient or None,
        license=item.picture.license,
    )
    snapshot = take_snapshot([entry], pre)
    if not len(snapshot):
        return next(iter(snapshot.left_out))
    return snapshot.tiles[0], snapshot.samples[0]


def _rows(table: Path, columns: set[str]) -> Iterator[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = columns - set(reader.fieldnames or ())
            if missing:
                raise ConfigurationError(
                    f"{table} lacks the columns {', '.join(sorted(missing))}"
                )
            yield from reader
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{table} cannot be read: {error}") from error


def _picture(folder: Path, row: dict[str, str]) -> LabelledFile:
    picture = LabelledPicture(
        name=row["path"],
        modality=row["modality"].strip().upper(),
        region=_region(row["region"]),
        view=row.get("view") or "",
        patient=row.get("patient_key") or "",
        source=row.get("source_repo") or folder.name,
        license=row.get("license_class") or "",
    )
    return LabelledFile(folder / row["path"], picture, is_dicom=False)


def _instance(folder: Path, row: dict[str, str]) -> LabelledFile:
    return replace(_picture(folder, row), is_dicom=True)


def _region(name: str) -> str:
    return name.strip().lower().replace(" ", "-")


def uniform_of(name: str, seed: int) -> float:
    """Return a number in [0, 1) that depends only on the name and the seed."""
    digest = hashlib.blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
