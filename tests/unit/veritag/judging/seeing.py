"""A bundle whose heads tell tags, made up, and verdicts as its model would give them."""

from collections.abc import Mapping
from typing import Any

from veritag.bundles.bundle import (
    BundleManifest,
    ClusterProfile,
    Detectability,
    TagCalibration,
)
from veritag.findings import TagValue, Verdict, VerdictStatus
from veritag.pixels.preprocessing import Preprocessing

CT = "1.2.840.10008.5.1.4.1.1.2"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SC = "1.2.840.10008.5.1.4.1.1.7"

CONCEPTS = {
    "Modality": ("CT", "MR", "DX"),
    "BodyPartExamined": ("CHEST", "ABDOMEN", "HEAD", "NECK", "HAND", "WRIST"),
    "ImageOrientationPatient": ("AXIAL", "SAGITTAL", "CORONAL"),
}
USUAL = {
    "Modality": "CT",
    "BodyPartExamined": "CHEST",
    "ImageOrientationPatient": "AXIAL",
}


def manifest(**changes: Any) -> BundleManifest:
    """Return a manifest of schema 3 with two clusters and ten reference images."""
    told = TagCalibration(0.8, (0.0, 1.0), (0.0, 1.0))
    values: dict[str, Any] = {
        "preprocessing": Preprocessing(),
        "clusters": (
            ClusterProfile(10, {}, {}, "CT chest", (0, 1, 2)),
            ClusterProfile(11, {}, {}, "DX hand", (7, 8)),
        ),
        "calibration": dict.fromkeys(CONCEPTS, told),
        "sharpness": 1.0,
        "novelty_limits": (1.0, 1.0),
        "created_at": "2026-01-01T00:00:00+00:00",
        "concepts": CONCEPTS,
        "correlation": dict.fromkeys(CONCEPTS, 0.5),
        "references": {"BodyPartExamined": (0, 0, 0, 0, 0, 1, 1, 4, 4, -1)},
    }
    return BundleManifest(**{**values, **changes})


def shown(
    rows: Mapping[str, str] | None = None, sure: float = 0.95
) -> tuple[float, ...]:
    """Return a row of tag probabilities, `sure` of these concepts."""
    wanted = {**USUAL, **(rows or {})}
    return tuple(
        sure if concept == wanted[tag] else (1 - sure) / (len(concepts) - 1)
        for tag, concepts in CONCEPTS.items()
        for concept in concepts
    )


def seen(
    picture: Mapping[str, str] | None = None,
    sure: float = 0.95,
    *,
    cluster: int = 0,
    **changes: Any,
) -> Verdict:
    """Return the verdict of a picture; its tags are those of a usual chest CT."""
    values: dict[str, Any] = {
        "tags": tags(),
        "cluster": 10 + cluster,
        "cluster_probability": 0.9,
        "novelty": 0.5,
        "soft_assignment": (0.9, 0.1) if cluster == 0 else (0.1, 0.9),
        "tag_probability": shown(picture, sure),
        "neighbors": (0, 1, 5),
    }
    sop_class = changes.pop("sop_class", CT)
    return Verdict("vb-3", VerdictStatus.INSPECTED, sop_class, **{**values, **changes})


def tags(**changes: TagValue) -> dict[str, TagValue]:
    """Return the tags of a usual chest CT with changes."""
    return {
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        **changes,
    }


def detected(
    tag: str, concept: str, modality: str, *, judged: bool = True
) -> Detectability:
    """Return a row of the detectability table."""
    precision = 0.95 if judged else 0.4
    return Detectability(tag, concept, modality, 100, 50, 2, 40, precision, judged)
