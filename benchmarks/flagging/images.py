"""Images of the benchmark, their right tags, and their split by patient."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.flagging.errors import Strings, Truth, inject
from benchmarks.flagging.measures import Mask, Rows
from model_training.compare.images.label_noise import with_wrong_tags
from model_training.compare.images.labelled_images import UNIFESP
from model_training.snapshots.image_sources import ImageEntry, image_entries
from model_training.snapshots.read_image import map_in_threads, read_entry
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot, assemble_snapshot
from model_training.snapshots.split import Split, split_patients
from veritag.errors import RejectError, StopError
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import Tile

TAGS = ("BodyPartExamined", "Modality")
MIN_MEASURED = 20
TOTAL_ERRORS = 0.4
"""Wrong values over all rounds, as a share of the images."""
MIN_ROUNDS, MAX_ROUNDS = 4, 20
NEW_STATIONS = "new stations"

ReceivedValues = dict[str, Strings]
"""Tag to received values of the measured images."""


@dataclass(frozen=True)
class InjectedErrors:
    """One round of injected errors: received values and masks of the wrong ones."""

    received: ReceivedValues
    wrong: dict[str, Mask]


@dataclass(frozen=True)
class BenchmarkImages:
    """A snapshot with right tags, its split, and the file of each image.

    Attributes
    ----------
    measured
        Rows of the measured images: of unseen patients, then of new stations.
    """

    snapshot: Snapshot
    split: Split
    paths: tuple[Path, ...]

    @cached_property
    def measured(self) -> Rows:
        """Rows of the images of unseen patients, then of new stations."""
        unseen, new = self.split.unseen, self.split.new_stations
        return np.concatenate([np.flatnonzero(unseen), np.flatnonzero(new)])

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """Samples of the measured images, with right tags."""
        return tuple(self.snapshot.samples[row] for row in self.measured)

    @property
    def tiles(self) -> NDArray[np.uint8]:
        """Tiles of the measured images, of shape (n, size, size)."""
        return self.snapshot.tiles[self.measured]

    @cached_property
    def unseen(self) -> Mask:
        """Mask of the measured images of unseen patients, of shape (n,)."""
        return np.arange(len(self.measured)) < int(self.split.unseen.sum())

    def right(self, tag: str) -> Strings:
        """Return the right values of the measured images, empty where absent."""
        return self.snapshot.values(tag)[self.measured]

    @cached_property
    def patients(self) -> Rows:
        """Numbers of the patients of the measured images, of shape (n,)."""
        names = [s.patient for s in self.samples]
        return np.unique(names, return_inverse=True)[1].astype(np.intp)

    @cached_property
    def series(self) -> Strings:
        """Keys of patient, source and kind of the measured images, of shape (n,)."""
        return np.array([f"{s.patient} {s.source} {s.kind}" for s in self.samples])

    def poisoned(self, share: float) -> Snapshot:
        """Return the snapshot with a share of each tag's values wrong, in all parts."""
        samples = with_wrong_tags(self.snapshot.samples, share)
        return replace(self.snapshot, samples=samples)

    def errors(self, kind: str, rate: float, seed: int) -> InjectedErrors:
        """Return errors of a kind, injected separately into unseen and new stations."""
        rng = np.random.default_rng(seed)
        received, wrong = {}, {}
        for tag in TAGS:
            parts = [
                inject(kind, self._truth(tag, among), rate, rng)
                for among in (self.unseen, ~self.unseen)
            ]
            received[tag] = np.concatenate([values for values, _ in parts])
            wrong[tag] = np.concatenate([mask for _, mask in parts])
        return InjectedErrors(received, wrong)

    def _truth(self, tag: str, among: Mask) -> Truth:
        other = self.right("Modality" if tag != "Modality" else "BodyPartExamined")
        return Truth(
            tag=tag,
            values=self.right(tag)[among],
            like=other[among],
            series=self.series[among],
            station=np.array([s.station for s in self.samples])[among],
            vocabulary=self.vocabulary(tag),
        )

    def vocabulary(self, tag: str) -> tuple[str, ...]:
        """Return the right values of a tag in the training images."""
        values = self.snapshot.values(tag)[self.split.training]
        return tuple(np.unique(values[values != ""]).tolist())

    def parts(self) -> dict[str, Mask]:
        """Return the measured parts: name to mask over the measured images.

        All parts except `new stations` hold images of unseen patients only.
        """
        unseen = self.unseen
        sources = np.array([s.source for s in self.samples])
        dicom = np.array([s.is_dicom for s in self.samples])
        masks = {
            "all": unseen,
            "UNIFESP": unseen & np.char.startswith(sources, UNIFESP),
            "DICOM": unseen & dicom,
            NEW_STATIONS: ~unseen,
        }
        columns = {
            "modality": self.right("Modality"),
            "region": self.right("BodyPartExamined"),
            "source": sources,
            "kind": np.array([s.kind for s in self.samples]),
        }
        for name, column in columns.items():
            for value in np.unique(column[unseen & (column != "")]).tolist():
                masks[f"{name}: {value}"] = unseen & (column == value)
        return {name: mask for name, mask in masks.items() if mask.any()}


def rounds(rate: float) -> int:
    """Return the number of rounds of errors; rare errors need more."""
    return int(np.clip(round(TOTAL_ERRORS / rate), MIN_ROUNDS, MAX_ROUNDS))


def read_images(
    folders: Sequence[Path], size: int, *, limit: int = 0, seed: int = 1
) -> BenchmarkImages:
    """Read folders as `veritag train` does, and split them by patient.

    Parameters
    ----------
    limit
        Most images of one kind and source, 0 for all.

    Raises
    ------
    StopError
        If there are too few images of unseen patients to measure on.
    """
    entries = thinned([e for folder in folders for e in image_entries(folder)], limit)
    preprocessing = Preprocessing(size=size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of odd values of every file
        tiles = list(map_in_threads(lambda e: _read(e, preprocessing), entries))
    usable = [(e, t) for e, t in zip(entries, tiles, strict=True) if t is not None]
    snapshot = assemble_snapshot((t for _, t in usable), preprocessing)
    images = BenchmarkImages(
        snapshot, split_patients(snapshot, seed), tuple(e.path for e, _ in usable)
    )
    if images.unseen.sum() < MIN_MEASURED:
        raise StopError(
            f"{int(images.unseen.sum())} images of unseen patients are too few to "
            "measure: give more --images or a higher --limit"
        )
    return images


def thinned(entries: Sequence[ImageEntry], limit: int) -> list[ImageEntry]:
    """Return at most `limit` entries of each source and curated kind; 0 for all."""
    counts: Counter[tuple[str, ...]] = Counter()
    chosen = []
    for entry in entries:
        key = (entry.source, *(f"{k} {v}" for k, v in sorted(entry.tags.items())))
        counts[key] += 1
        if not limit or counts[key] <= limit:
            chosen.append(entry)
    return chosen


def _read(
    entry: ImageEntry, preprocessing: Preprocessing
) -> tuple[Tile, Sample] | None:
    try:
        return read_entry(entry, preprocessing)
    except RejectError:
        return None
