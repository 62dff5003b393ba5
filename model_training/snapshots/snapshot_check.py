"""Whether there is anything to learn from, said before a training begins."""

from collections.abc import Mapping

from model_training.snapshots.snapshot import Snapshot
from model_training.snapshots.split import Split
from veritag.dicom.tags import JUDGED_TAGS
from veritag.errors import StopError

_SHOWN_BY_THE_PICTURE = ("Modality", "BodyPartExamined", "ImageOrientationPatient")
_REASONS = 3


def require_learnable(
    snapshot: Snapshot, split: Split, n_clusters: int
) -> tuple[str, ...]:
    """Return remarks for people on what the model will not be able to do.

    Raises
    ------
    StopError
        If no useful model can come of it: no or too few images, no tags, all of one
        kind.
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
        With the commonest reasons why images were left out.
    """
    if len(snapshot):
        return
    told = _reasons(snapshot.left_out)
    raise StopError(
        "there is no image to learn from"
        + (f"; left out: {told}" if told else ": give --images or --data")
    )


def _reasons(left_out: Mapping[str, int]) -> str:
    common = sorted(left_out.items(), key=lambda item: -item[1])[:_REASONS]
    return ", ".join(f"{count} ({reason})" for reason, count in common)


def _require_tags(snapshot: Snapshot) -> None:
    if not any(sample.tags or sample.numbers for sample in snapshot.samples):
        raise StopError(
            f"none of the {len(snapshot)} images carries any of {', '.join(JUDGED_TAGS)}"
            ": there is nothing to learn of tags"
        )
    if all(len(_values(snapshot, tag)) <= 1 for tag in _SHOWN_BY_THE_PICTURE):
        only = " ".join(v for t in _SHOWN_BY_THE_PICTURE for v in _values(snapshot, t))
        raise StopError(
            f"all {len(snapshot)} images are of one kind ({only or 'unknown'}): a wrong "
            "tag shows only against images of another modality, body part or plane; "
            "give such images too"
        )


def _values(snapshot: Snapshot, tag: str) -> list[str]:
    return sorted({s.tags[tag] for s in snapshot.samples if tag in s.tags})


def _remarks(snapshot: Snapshot, split: Split) -> list[str]:
    remarks = []
    for tag in _SHOWN_BY_THE_PICTURE[:2]:
        values = _values(snapshot, tag)
        if len(values) <= 1:
            told = f"has only the value {values[0]}" if values else "has no value"
            remarks.append(f"{tag} {told} in these images: it will not be judged")
    if not split.calibration.any():
        remarks.append("too few patients to calibrate on: no tag will be flagged")
    if not split.unseen.any():
        remarks.append("too few patients to keep some unseen: nothing can be checked")
    return remarks
