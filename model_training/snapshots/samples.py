"""What is known of one tile, apart from its pixels."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from veritag.findings import TagValue

NUMERIC_TAGS = ("ImageOrientationPatient", "ExposureTime", "Exposure")


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
        Keywords of which a reviewer said something: that the value in `tags` is right
        or, where `tags` has none, that the received one is wrong.
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
        return kind_of(self.tags.get("Modality"), self.tags.get("BodyPartExamined"))

    def fingerprint(self) -> bytes:
        """Return what a model can learn from, as bytes: no license, no source."""
        known = [
            dict(self.tags),
            {k: list(v) for k, v in self.numbers.items()},
            sorted(self.verified),
            dict(self.received),
            self.weight,
            self.patient,
            self.station,
        ]
        return json.dumps(known, sort_keys=True).encode()


def kind_of(modality: str | None, body_part: str | None) -> str:
    """Return the name of a kind; what is not known is a hyphen."""
    return f"{modality or '-'} {body_part or '-'}"


def numbers_of(received: Mapping[str, TagValue]) -> dict[str, tuple[float, ...]]:
    """Return the numeric ones of received tags, each as a tuple of finite numbers."""
    numbers = {}
    for keyword in NUMERIC_TAGS:
        value = received.get(keyword)
        parts = value if isinstance(value, (tuple, list)) else (value,)
        floats = [float(p) for p in parts if isinstance(p, (int, float))]
        if floats and len(floats) == len(parts) and all(map(math.isfinite, floats)):
            numbers[keyword] = tuple(floats)
    return numbers


def to_json(sample: Sample) -> str:
    """Return a sample as one line, the same for equal samples."""
    told = {name: getattr(sample, name) for name in _FIELDS}
    told["verified"] = sorted(sample.verified)
    return json.dumps(told, sort_keys=True, allow_nan=False)


def from_json(line: str) -> Sample:
    """Return the sample that `to_json` wrote.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        If the line is something else.
    """
    told: dict[str, Any] = json.loads(line)
    numbers = {k: tuple(map(float, v)) for k, v in told.pop("numbers").items()}
    verified = frozenset(told.pop("verified"))
    return Sample(numbers=numbers, verified=verified, **told)


_FIELDS = tuple(f.name for f in fields(Sample))


class SampleInterner:
    """Lets samples share what is equal in them: a million need 0.2 GB, not 1.5."""

    def __init__(self) -> None:
        self._kept: dict[Any, Any] = {}

    def __call__(self, sample: Sample) -> Sample:
        """Return an equal sample whose values are those seen first."""
        return replace(
            sample,
            tags=self._mapping(sample.tags),
            numbers=self._mapping(sample.numbers),
            received=self._mapping(sample.received),
            patient=self._kept.setdefault(sample.patient, sample.patient),
            source=self._kept.setdefault(sample.source, sample.source),
            license=self._kept.setdefault(sample.license, sample.license),
            station=self._kept.setdefault(sample.station, sample.station),
            verified=self._kept.setdefault(sample.verified, sample.verified),
        )

    def _mapping(self, mapping: Mapping[str, Any]) -> Mapping[str, Any]:
        kept: Mapping[str, Any] = self._kept.setdefault(tuple(mapping.items()), mapping)
        return kept
