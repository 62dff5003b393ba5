"""Verdicts as the worker makes them, made up."""

from collections.abc import Mapping
from typing import Any

from tests.builders.manifests import CONCEPTS
from veritag.findings import TagValue, Verdict, VerdictStatus

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SC = "1.2.840.10008.5.1.4.1.1.7"
SR = "1.2.840.10008.5.1.4.1.1.88.11"

USUAL = {
    "Modality": "CT",
    "BodyPartExamined": "CHEST",
    "ImageOrientationPatient": "AXIAL",
}


def tags(**changes: TagValue) -> dict[str, TagValue]:
    """Return the tags of a usual chest CT with changes."""
    return {
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        **changes,
    }


def tag_probability(
    picture: Mapping[str, str] | None = None, sure: float = 0.95
) -> tuple[float, ...]:
    """Return a row of tag probabilities, `sure` of the concepts of a picture."""
    shown = {**USUAL, **(picture or {})}
    return tuple(
        sure if concept == shown[tag] else (1 - sure) / (len(concepts) - 1)
        for tag, concepts in CONCEPTS.items()
        for concept in concepts
    )


def verdict(
    picture: Mapping[str, str] | None = None,
    sure: float = 0.95,
    *,
    cluster: int = 0,
    sop_class: str = CT,
    **changes: Any,
) -> Verdict:
    """Return the verdict of a picture under the tags of a usual chest CT.

    It fits the manifest of `tests.builders.manifests`.

    Parameters
    ----------
    picture
        Keyword to the concept that the picture shows where it is no usual chest CT.
    cluster
        Index of the nearest cluster.
    """
    values: dict[str, Any] = {
        "tags": tags(),
        "cluster": 10 + cluster,
        "cluster_probability": 0.9,
        "novelty": 0.5,
        "soft_assignment": (0.9, 0.1) if cluster == 0 else (0.1, 0.9),
        "tag_probability": tag_probability(picture, sure),
        "neighbors": (0, 1, 5),
    }
    return Verdict(
        **{
            "bundle_id": "vb-test",
            "status": VerdictStatus.INSPECTED,
            "sop_class_uid": sop_class,
            **values,
            **changes,
        }
    )


def uninspected(
    status: VerdictStatus, reason: str | None = None, sop_class: str = CT, **tags: Any
) -> Verdict:
    """Return the verdict of an instance without a picture."""
    return Verdict("vb-test", status, sop_class, dict(tags), reason=reason)
