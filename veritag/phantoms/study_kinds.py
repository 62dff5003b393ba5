"""Kinds of synthetic study: the drawing function and the correct tags of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from veritag.phantoms import ct_sections, mr_sections, projections
from veritag.phantoms.canvas import Canvas

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
CR = "1.2.840.10008.5.1.4.1.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
MG = "1.2.840.10008.5.1.4.1.1.1.2"
US = "1.2.840.10008.5.1.4.1.1.6.1"


@dataclass(frozen=True)
class PhantomKind:
    """One kind of study.

    Attributes
    ----------
    low, high
        Drawn values that become the stored values 0 and `peak`.
    noise
        Standard deviation of the noise, in drawn units at native size.
    bend
        How much patients differ in shape and position; 1 is the usual amount.
    tags
        Further elements of this kind, keyword to value.
    """

    name: str
    sop_class_uid: str
    modality: str
    body_part: str
    draw: Callable[[Canvas, np.random.Generator, float], None]
    rows: int
    columns: int
    low: float
    high: float
    peak: int
    noise: float
    orientation: tuple[float, ...] | None = None
    spacing: float = 1.0
    bend: float = 1.0
    tags: Mapping[str, Any] = field(default_factory=dict)

    def expected(self) -> dict[str, str]:
        """Return the judged tags that have exactly one correct value for this kind."""
        return {"Modality": self.modality, "BodyPartExamined": self.body_part}


_CT = {
    "PatientPosition": "HFS",
    "KVP": 120,
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "RescaleIntercept": -1024,
    "RescaleSlope": 1,
    "RescaleType": "HU",
}
_MR = {
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "NONE"],
    "ScanningSequence": "SE",
    "SequenceVariant": "SK",
    "ScanOptions": "",
    "MRAcquisitionType": "2D",
    "RepetitionTime": 2500,
    "EchoTrainLength": 8,
    "MagneticFieldStrength": 1.5,
}
_XRAY = {"ImageType": ["ORIGINAL", "PRIMARY", ""], "PixelIntensityRelationship": "LOG"}
_DIGITAL_XRAY = {
    "ImageType": ["DERIVED", "PRIMARY", ""],
    "PresentationIntentType": "FOR PRESENTATION",
    "PixelIntensityRelationship": "LOG",
    "PixelIntensityRelationshipSign": 1,
    "RescaleIntercept": 0,
    "RescaleSlope": 1,
    "RescaleType": "US",
    "PresentationLUTShape": "IDENTITY",
    "LossyImageCompression": "00",
    "BurnedInAnnotation": "NO",
    "DetectorType": "DIRECT",
}
_MAMMO = {
    "PositionerType": "MAMMOGRAPHIC",
    "OrganExposed": "BREAST",
    "FieldOfViewShape": "RECTANGLE",
}

_ALL = (
    PhantomKind("CT-HEAD", CT, "CT", "HEAD", ct_sections.ct_head, 512, 512, -1024, 3071, 4095, 9,
         AXIAL, 0.45, tags={**_CT, "ExposureTime": 1000, "Exposure": 300}),
    PhantomKind("CT-CHEST", CT, "CT", "CHEST", ct_sections.ct_chest, 512, 512, -1024, 3071, 4095, 18,
         AXIAL, 0.75, tags={**_CT, "ExposureTime": 500, "Exposure": 90}),
    PhantomKind("CT-ABDOMEN", CT, "CT", "ABDOMEN", ct_sections.ct_abdomen, 512, 512, -1024, 3071, 4095, 16,
         AXIAL, 0.8, tags={**_CT, "ExposureTime": 600, "Exposure": 180}),
    PhantomKind("MR-BRAIN", MR, "MR", "BRAIN", mr_sections.mr_brain, 256, 256, 0, 1200, 1200, 14,
         AXIAL, 0.9, tags={**_MR, "PatientPosition": "HFS", "EchoTime": 90}),
    PhantomKind("MR-KNEE", MR, "MR", "KNEE", mr_sections.mr_knee, 256, 256, 0, 1200, 1200, 16,
         SAGITTAL, 0.65, tags={**_MR, "PatientPosition": "FFS", "EchoTime": 30, "Laterality": "L"}),
    PhantomKind("MR-LSPINE", MR, "MR", "LSPINE", mr_sections.mr_lspine, 256, 256, 0, 1200, 1200, 14,
         SAGITTAL, 1.1, tags={**_MR, "PatientPosition": "HFS", "EchoTime": 100}),
    PhantomKind("CR-CHEST", CR, "CR", "CHEST", projections.cr_chest, 1024, 1024, -0.1, 1.5, 4095, 0.012,
         spacing=0.4, tags={**_XRAY, "ViewPosition": "PA", "KVP": 120, "ExposureTime": 10, "Exposure": 3}),
    PhantomKind("CR-HAND", CR, "CR", "HAND", projections.cr_hand, 1024, 832, 0, 1.4, 4095, 0.008,
         spacing=0.25, tags={**_XRAY, "ViewPosition": "PA", "KVP": 50, "ExposureTime": 20, "Exposure": 2,
                             "Laterality": "R"}),
    PhantomKind("MG-BREAST", MG, "MG", "BREAST", projections.mg_breast, 1024, 832, 0, 1.1, 4095, 0.006,
         spacing=0.1, bend=0.5, tags={**_DIGITAL_XRAY, **_MAMMO, "KVP": 28, "ExposureTime": 900,
                                      "Exposure": 80}),
    PhantomKind("PX-JAW", DX, "PX", "JAW", projections.px_jaw, 640, 1280, 0, 1.3, 4095, 0.012,
         spacing=0.1, bend=0.6, tags={**_DIGITAL_XRAY, "KVP": 70, "ExposureTime": 15000, "Exposure": 120}),
    PhantomKind("US-ABDOMEN", US, "US", "ABDOMEN", projections.us_abdomen, 480, 640, 0, 1, 255, 0.01,
         bend=0.7, tags={"ImageType": ["ORIGINAL", "PRIMARY", "ABDOMINAL"],
                         "UltrasoundColorDataPresent": 0, "LossyImageCompression": "00"}),
)  # fmt: skip

BY_NAME: dict[str, PhantomKind] = {kind.name: kind for kind in _ALL}
