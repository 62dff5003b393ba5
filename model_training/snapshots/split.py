"""Patients into training, calibration and unseen parts; no patient is in two.

Where there are several devices, some are held out as well: what training never met of
them stands for the scanner that a site will buy.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot

CALIBRATION = 0.15
UNSEEN = 0.15
LEAST_PATIENTS = 4
"""Patients of a kind under which its patients train: too few to show anything on."""

HELD_OUT_STATIONS = 1 / 3
LEAST_STATIONS = 3
MOST_HELD_OUT = 0.5
"""Share of the DICOM images over which no further station is held out."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Masks over a snapshot, each of shape (N,); every image is in exactly one.

    Attributes
    ----------
    new_stations
        Images of devices that do not train, of patients that neither train nor are
        unseen: evidence for a scanner that was not met before.
    """

    training: Mask
    calibration: Mask
    unseen: Mask
    new_stations: Mask


def split_patients(
    snapshot: Snapshot, seed: int, *, held_out_stations: float = HELD_OUT_STATIONS
) -> Split:
    """Split a snapshot; see `split_samples`."""
    return split_samples(snapshot.samples, seed, held_out_stations=held_out_stations)


def split_samples(
    samples: Sequence[Sample],
    seed: int,
    *,
    held_out_stations: float = HELD_OUT_STATIONS,
) -> Split:
    """Split by patient and station; synthetic pictures and very rare kinds only train.

    Which part a patient falls into depends on its key and the seed alone, so that the
    unseen stay unseen when images are added. Patients of whom a held-out station made
    images do not train: what other stations made of them is for calibration.

    Parameters
    ----------
    held_out_stations
        Share of the stations of DICOM images that are held out; 0 for none.
    """
    draws = _draws(samples, seed)
    unseen = draws >= 1 - UNSEEN
    calibration = ~unseen & (draws >= 1 - UNSEEN - CALIBRATION)
    held_out = _held_out(samples, seed, held_out_stations)
    at_held_out = _mask(_is_real(s) and s.station in held_out for s in samples)
    new_stations = at_held_out & ~unseen
    imaged = {s.patient for s, new in zip(samples, new_stations, strict=True) if new}
    calibration |= _mask(s.patient in imaged for s in samples) & ~unseen
    calibration &= ~new_stations
    return Split(
        ~unseen & ~calibration & ~new_stations, calibration, unseen, new_stations
    )


def _draws(samples: Sequence[Sample], seed: int) -> NDArray[np.float64]:
    """Return a number in 0..1 for each sample, 0 for those that only train."""
    patients: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        patients[sample.kind].add(sample.patient)
    common = {s.patient for s in samples if len(patients[s.kind]) >= LEAST_PATIENTS}
    drawn = {patient: _draw(patient, seed) for patient in common}
    return np.array(
        [0.0 if s.is_synthetic else drawn.get(s.patient, 0.0) for s in samples],
        dtype=np.float64,
    )


def _draw(patient: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}|{patient}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _is_real(sample: Sample) -> bool:
    return sample.is_dicom and not sample.is_synthetic


def _mask(values: Iterable[bool]) -> Mask:
    return np.fromiter(values, dtype=np.bool_)


def _held_out(samples: Sequence[Sample], seed: int, share: float) -> frozenset[str]:
    """Return the stations to hold out: drawn by their key, as many as are asked for.

    A station stays in if without it a modality had none left to learn from, or if
    over half of the DICOM images were gone.
    """
    images: Counter[str] = Counter(s.station for s in samples if _is_real(s))
    if share <= 0 or len(images) < LEAST_STATIONS:
        return frozenset()
    makers = _makers(samples)
    wanted = max(1, round(share * len(images)))
    most = MOST_HELD_OUT * images.total()
    held_out: set[str] = set()
    for station in sorted(images, key=lambda s: _draw(f"station {s}", seed)):
        if len(held_out) == wanted:
            break
        without = held_out | {station}
        if sum(images[s] for s in without) <= most and not _loses(makers, without):
            held_out = without
    return frozenset(held_out)


def _makers(samples: Sequence[Sample]) -> Mapping[str, set[str]]:
    """Return modality to the stations that make such images."""
    makers: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        modality = sample.tags.get("Modality")
        if modality and _is_real(sample):
            makers[modality].add(sample.station)
    return makers


def _loses(makers: Mapping[str, set[str]], held_out: set[str]) -> bool:
    return any(stations <= held_out for stations in makers.values())
