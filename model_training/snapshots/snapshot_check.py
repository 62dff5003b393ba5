"""Checks before a training that a model can be learnt from the snapshot."""

from collections.abc import Mapping

from model_training.snapshots.snapshot import Snapshot
from model_training.snapshots.split import Split
from veritag.dicom.tags import JUDGED_TAGS
from veritag.errors import StopError

_VISIBLE_TAGS = ("Modality", "BodyPartExamined", "ImageOrientationPatient")
_REASONS_SHOWN = 3


def require_learnable(
    snapshot: Snapshot, split: Split, n_clusters: int
) -> tuple[str, ...]:
    """Return remarks on what the model will not be able to judge.

    Raises
    ------
    StopError
        If no useful model is possible: no or too few images, no tags, or images of
        one kind only.
    """
    require_images(snapshot)
    _require_tags(snapshot)
    training = int(split.training.sum())
    if training < n_clusters:
        raise StopError(
            f"{training} images to train on cannot fill {n_clusters} clusters: "
            "give more images or fewer --clusters"
        )
    return tuple(_remarks(snapshot, split))


def require_images(snapshot: Snapshot) -> None:
    """Refuse a snapshot without images.

    Raises
    ------
    StopError
        If there is no image; with the commonest reasons why images were left out.
    """
    if len(snapshot):
        return
    reasons = _reasons(snapshot.left_out)
    raise StopError(
        "there is no image to learn from"
        + (f"; left out: {reasons}" if reasons else ": give --images or --data")
    )


def _reasons(left_out: Mapping[str, int]) -> str:
    commonest = sorted(left_out.items(), key=lambda item: -item[1])[:_REASONS_SHOWN]
    return ", ".join(f"{count} ({reason})" for reason, count in commonest)


def _require_tags(snapshot: Snapshot) -> None:
    if not any(sample.tags or sample.numbers for sample in snapshot.samples):
        raise StopError(
            f"none of the {len(snapshot)} images carries any of {', '.join(JUDGED_TAGS)}"
            ": there are no tags to learn"
        )
    if all(len(_values(snapshot, tag)) <= 1 for tag in _VISIBLE_TAGS):
        only = " ".join(v for t in _VISIBLE_TAGS for v in _values(snapshot, t))
        raise StopError(
            f"all {len(snapshot)} images are of one kind ({only or 'unknown'}): a wrong "
            "tag shows only against images of another modality, body part or plane; "
            "give such images too"
        )


def _values(snapshot: Snapshot, tag: str) -> list[str]:
    return sorted({s.tags[tag] for s in snapshot.samples if tag in s.tags})


def _remarks(snapshot: Snapshot, split: Split) -> list[str]:
    remarks = []
    for tag in _VISIBLE_TAGS[:2]:
        values = _values(snapshot, tag)
        if len(values) <= 1:
            state = f"has only the value {values[0]}" if values else "has no value"
            remarks.append(f"{tag} {state} in these images: it will not be judged")
    if not split.calibration.any():
        remarks.append("too few patients for calibration: no tag will be flagged")
    if not split.unseen.any():
        remarks.append(
            "too few patients for an unseen part: the model cannot be checked"
        )
    return remarks
