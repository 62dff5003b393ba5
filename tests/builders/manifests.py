"""Manifests of bundles, made up."""

from typing import Any

from veritag.bundles.manifest import (
    BundleManifest,
    ClusterProfile,
    Detectability,
    TagCalibration,
)
from veritag.pixels.preprocessing import Preprocessing

CONCEPTS = {
    "Modality": ("CT", "MR", "DX"),
    "BodyPartExamined": ("CHEST", "ABDOMEN", "HEAD", "NECK", "HAND", "WRIST"),
    "ImageOrientationPatient": ("AXIAL", "SAGITTAL", "CORONAL"),
}


def calibration(threshold: float | None = 0.8) -> TagCalibration:
    """Return a calibration whose probability is the score itself."""
    return TagCalibration(threshold, (0.0, 1.0), (0.0, 1.0))


def manifest(**changes: Any) -> BundleManifest:
    """Return a manifest with two clusters and ten neighbor images, with changes."""
    concepts = changes.get("concepts", CONCEPTS)
    values: dict[str, Any] = {
        "preprocessing": Preprocessing(),
        "clusters": (
            ClusterProfile(10, {}, {}, "CT chest", (0, 1, 2)),
            ClusterProfile(11, {}, {}, "DX hand", (7, 8)),
        ),
        "calibration": dict.fromkeys(concepts, calibration()),
        "sharpness": 1.0,
        "created_at": "2026-01-01T00:00:00+00:00",
        "concepts": concepts,
        "correlation": dict.fromkeys(concepts, 0.5),
        "neighbor_concepts": {"BodyPartExamined": (0, 0, 0, 0, 0, 1, 1, 4, 4, -1)},
    }
    return BundleManifest(**{**values, **changes})


def detected(
    tag: str, concept: str, modality: str, *, judged: bool = True
) -> Detectability:
    """Return a row of the detectability table."""
    precision = 0.95 if judged else 0.4
    return Detectability(tag, concept, modality, 100, 50, 2, 40, precision, judged)
