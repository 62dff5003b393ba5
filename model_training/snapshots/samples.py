"""Samples: the tags, patient, device and review of a tile, without its pixels."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from veritag.findings import TagValue

NUMERIC_TAGS = ("ImageOrientationPatient", "ExposureTime", "Exposure")


@dataclass(frozen=True, slots=True)
class Sample:
    """Tags, patient, device and review of one tile.

    Attributes
    ----------
    tags
        Keyword to normalized value; values without a known meaning are left out.
    patient
        Pseudonymous key, equal for images of one patient.
    source
        Repository or folder it came from.
    is_dicom
        Whether the image came from a DICOM file, not from a converted picture.
    is_synthetic
        Whether the image is a generated phantom.
    station
        Pseudonymous key, equal for images of one device; of one source where the
        device is unknown.
    numbers
        The numeric tags as received: ImageOrientationPatient (6 direction cosines),
        ExposureTime (1, ms) and Exposure (1, mAs); absent ones are left out.
    verified
        Keywords that a reviewer decided on: the value in `tags` is right or, where `tags`
        has none, the received value is wrong.
    weight
        Weight in training; reviewed images count more.
    received
        Keyword of a verified tag to its normalized value before the review.
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
        """Modality and body part."""
        return kind_of(self.tags.get("Modality"), self.tags.get("BodyPartExamined"))

    def fingerprint(self) -> bytes:
        """Return as bytes all that training uses: license and source are not among it."""
        content = [
            dict(self.tags),
            {k: list(v) for k, v in self.numbers.items()},
            sorted(self.verified),
            dict(self.received),
            self.weight,
            self.patient,
            self.station,
        ]
        # Sorted keys: equal samples have equal bytes.
        return json.dumps(content, sort_keys=True).encode()


def kind_of(modality: str | None, body_part: str | None) -> str:
    """Return the name of a kind, with a hyphen for an unknown part."""
    return f"{modality or '-'} {body_part or '-'}"


def numbers_of(received: Mapping[str, TagValue]) -> dict[str, tuple[float, ...]]:
    """Return the numeric tags of received ones, each as a tuple of finite numbers."""
    numbers = {}
    for keyword in NUMERIC_TAGS:
        value = received.get(keyword)
        parts = value if isinstance(value, (tuple, list)) else (value,)
        floats = [float(p) for p in parts if isinstance(p, (int, float))]
        if floats and len(floats) == len(parts) and all(map(math.isfinite, floats)):
            numbers[keyword] = tuple(floats)
    return numbers


def to_json(sample: Sample) -> str:
    """Return a sample as one line of JSON, identical for equal samples."""
    values = {name: getattr(sample, name) for name in _FIELDS}
    values["verified"] = sorted(sample.verified)
    return json.dumps(values, sort_keys=True, allow_nan=False)


def from_json(line: str) -> Sample:
    """Return the sample of a line from `to_json`.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        If the line is no such JSON.
    """
    values: dict[str, Any] = json.loads(line)
    # JSON has neither tuples nor sets.
    numbers = {k: tuple(map(float, v)) for k, v in values.pop("numbers").items()}
    verified = frozenset(values.pop("verified"))
    return Sample(numbers=numbers, verified=verified, **values)


_FIELDS = tuple(f.name for f in fields(Sample))


class SampleInterner:
    """Lets samples share equal values: a million samples need 0.2 GB instead of 1.5."""

    def __init__(self) -> None:
        self._pool: dict[Any, Any] = {}

    def __call__(self, sample: Sample) -> Sample:
        """Return an equal sample that refers to pooled values."""
        return replace(
            sample,
            tags=self._mapping(sample.tags),
            numbers=self._mapping(sample.numbers),
            received=self._mapping(sample.received),
            patient=self._pool.setdefault(sample.patient, sample.patient),
            source=self._pool.setdefault(sample.source, sample.source),
            license=self._pool.setdefault(sample.license, sample.license),
            station=self._pool.setdefault(sample.station, sample.station),
            verified=self._pool.setdefault(sample.verified, sample.verified),
        )

    def _mapping(self, mapping: Mapping[str, Any]) -> Mapping[str, Any]:
        pooled: Mapping[str, Any] = self._pool.setdefault(
            tuple(mapping.items()), mapping
        )
        return pooled
