"""Checks before a training: what cannot be learnt is refused or remarked on."""

from pathlib import Path

import numpy as np
import pytest

from model_training.snapshots.image_sources import image_entries
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot, take_snapshot
from model_training.snapshots.snapshot_check import require_images, require_learnable
from model_training.snapshots.split import split_patients
from veritag.errors import StopError
from veritag.pixels.preprocessing import Preprocessing

PRE = Preprocessing(size=8)


def snapshot_of(*tags: dict[str, str], times: int = 40) -> Snapshot:
    """Return a snapshot with these tags in turn, every image of its own patient."""
    samples = tuple(
        Sample(tags[n % len(tags)], f"p{n}", "s") for n in range(times * len(tags))
    )
    return Snapshot(np.zeros((len(samples), 8, 8), np.uint8), samples, PRE, {})


def remarks(snapshot: Snapshot, clusters: int = 5) -> tuple[str, ...]:
    """Return the remarks on a snapshot."""
    return require_learnable(snapshot, split_patients(snapshot, 1), clusters)


CT_HEAD = {"Modality": "CT", "BodyPartExamined": "HEAD"}
CT_CHEST = {"Modality": "CT", "BodyPartExamined": "CHEST"}
MR_KNEE = {"Modality": "MR", "BodyPartExamined": "KNEE"}


def test_several_kinds_are_learnt_without_a_remark() -> None:
    """Two modalities and regions with enough patients give no remark."""
    assert remarks(snapshot_of(CT_HEAD, MR_KNEE)) == ()


def test_one_modality_is_told_not_refused() -> None:
    """Where all images are CT, regions can be judged and the modality cannot."""
    (remark,) = remarks(snapshot_of(CT_HEAD, CT_CHEST))
    assert remark.startswith("Modality has only the value CT")


def test_one_kind_alone_is_refused() -> None:
    """A wrong tag can only be noticed beside images of another kind."""
    with pytest.raises(StopError, match=r"one kind \(CT HEAD\)"):
        remarks(snapshot_of(CT_HEAD))


def test_images_without_tags_are_refused() -> None:
    """Images without any tag are refused: there is nothing to learn."""
    with pytest.raises(
        StopError, match="none of the 40 images carries any of Modality"
    ):
        remarks(snapshot_of({}))


def test_fewer_images_than_clusters_are_refused() -> None:
    """The error offers more images or fewer clusters."""
    with pytest.raises(StopError, match="more images or fewer --clusters"):
        remarks(snapshot_of(CT_HEAD, MR_KNEE), clusters=200)


def test_too_few_patients_are_told() -> None:
    """Remarks name an empty calibration part and an empty unseen part."""
    both = remarks(snapshot_of(CT_HEAD, MR_KNEE, times=3), clusters=2)
    assert [remark.split(" for ")[0] for remark in both] == ["too few patients"] * 2


def test_why_there_is_no_image_is_told(tmp_path: Path) -> None:
    """The error for a folder of other files counts them by their reason."""
    for n in range(3):
        (tmp_path / f"{n}.txt").write_text("nothing")
    empty = take_snapshot(list(image_entries(tmp_path)), PRE)
    with pytest.raises(StopError, match=r"no image to learn from; left out: 3 \(Unus"):
        require_images(empty)
    with pytest.raises(StopError, match="give --images or --data"):
        require_images(snapshot_of(CT_HEAD, times=0))
