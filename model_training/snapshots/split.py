"""Split of a snapshot by patient and station: training, calibration, unseen, new stations.

Slices of one patient resemble each other, so that a patient in two parts would make
calibration too optimistic. Where there are several stations, some are held out: their
images stand for a scanner that the model has never seen.
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
"""Patients of a kind under which all of them train: too few to measure anything."""

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
        Images of stations that do not train, of patients that neither train nor are
        unseen: evidence for an unknown scanner.
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
    """Split by patient and station; synthetic images and very rare kinds only train.

    A patient's draw depends on the patient's key and the seed alone, so that unseen
    patients stay unseen when images are added. Patients with images of a held-out
    station do not train: their images of other stations go to calibration.

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
    # Unseen patients stay unseen: the final check covers held-out stations as well.
    new_stations = at_held_out & ~unseen
    patients = {s.patient for s, new in zip(samples, new_stations, strict=True) if new}
    # Other images of these patients, if trained on, would make their scores too good.
    calibration |= _mask(s.patient in patients for s in samples) & ~unseen
    calibration &= ~new_stations
    return Split(
        ~unseen & ~calibration & ~new_stations, calibration, unseen, new_stations
    )


def _draws(samples: Sequence[Sample], seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each sample, 0 for those that only train."""
    patients: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        patients[sample.kind].add(sample.patient)
    # A patient with one common kind is drawn, with all images of rare kinds.
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
    """Return the stations to hold out, a share of all, drawn by their keys.

    A station is not held out if a modality would have no station left to learn from, or
    if over half of the DICOM images would be held out.
    """
    images: Counter[str] = Counter(s.station for s in samples if _is_real(s))
    if share <= 0 or len(images) < LEAST_STATIONS:
        return frozenset()
    stations = _stations_by_modality(samples)
    # A count of stations, not of images: each stands for one unknown scanner.
    wanted = max(1, round(share * len(images)))
    most = MOST_HELD_OUT * images.total()
    held_out: set[str] = set()
    for station in sorted(images, key=lambda s: _draw(f"station {s}", seed)):
        if len(held_out) == wanted:
            break
        without = held_out | {station}
        if sum(images[s] for s in without) <= most and not _loses_modality(
            stations, without
        ):
            held_out = without
    return frozenset(held_out)


def _stations_by_modality(samples: Sequence[Sample]) -> Mapping[str, set[str]]:
    """Return modality to the stations with such images."""
    stations: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        modality = sample.tags.get("Modality")
        if modality and _is_real(sample):
            stations[modality].add(sample.station)
    return stations


def _loses_modality(stations: Mapping[str, set[str]], held_out: set[str]) -> bool:
    return any(of_modality <= held_out for of_modality in stations.values())
