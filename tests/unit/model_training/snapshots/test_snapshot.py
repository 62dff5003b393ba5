"""Snapshots of folders: tiles, tags, patients, and images left out."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from model_training.snapshots.image_sources import body_part_term, image_entries
from model_training.snapshots.phantom_snapshot import phantom_snapshot
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot, take_snapshot
from veritag.pixels.preprocessing import Preprocessing
from veritag.pixels.tile import make_tile

PRE = Preprocessing(size=32)
HEADER = "path,modality,region,source_repo,patient_key,license_class\n"


def labelled(folder: Path, rows: list[str]) -> Path:
    """Return a folder of pictures with a table of labels."""
    (folder / "labels.csv").write_text(HEADER + "\n".join(rows) + "\n")
    rng = np.random.default_rng(1)
    for row in rows:
        picture = rng.integers(0, 256, (40, 50)).astype(np.uint8)
        cv2.imwrite(str(folder / row.split(",")[0]), picture)
    return folder


def test_training_sees_the_tile_that_inference_sees(phantom_folder: Path) -> None:
    """The tiles of a snapshot equal those of `make_tile`."""
    entries = list(image_entries(phantom_folder))[:6]
    snapshot = take_snapshot(entries, PRE)
    for tile, entry in zip(snapshot.tiles, entries, strict=True):
        np.testing.assert_array_equal(tile, make_tile(dcmread(entry.path), PRE))


def test_files_speak_for_themselves(phantom_folder: Path) -> None:
    """Without a table, tags and patients are those of the files."""
    snapshot = take_snapshot(list(image_entries(phantom_folder)), PRE)
    kinds = {sample.kind for sample in snapshot.samples}
    assert kinds == {"CT HEAD", "CR CHEST", "MG BREAST", "US ABDOMEN"}
    assert len({sample.patient for sample in snapshot.samples}) == 48


def test_no_patient_is_named(phantom_folder: Path) -> None:
    """Patient keys hold nothing of the Patient ID."""
    entries = list(image_entries(phantom_folder))[:4]
    snapshot = take_snapshot(entries, PRE)
    for entry, sample in zip(entries, snapshot.samples, strict=True):
        assert str(dcmread(entry.path).PatientID) not in str(sample)


def test_research_images_stay_out_unless_asked_for(tmp_path: Path) -> None:
    """Rows of license class research are left out by default."""
    folder = labelled(
        tmp_path,
        ["a.png,CT,head,repo,p1,open", "b.png,MR,lower-leg,repo,,research"],
    )
    assert [e.path.name for e in image_entries(folder)] == ["a.png"]
    both = take_snapshot(list(image_entries(folder, with_research=True)), PRE)
    assert [s.kind for s in both.samples] == ["CT HEAD", "MR LOWERLEG"]


def test_a_curated_region_stands_over_the_files_tag(
    tmp_path: Path, phantom_folder: Path
) -> None:
    """The manifest's region replaces Body Part Examined; `phantom` removes it."""
    files = sorted(phantom_folder.glob("CT-HEAD-0-*.dcm"))
    for n, file in enumerate(files):
        (tmp_path / f"{n}.dcm").write_bytes(file.read_bytes())
    (tmp_path / "manifest.csv").write_text(
        "path,group,region,patient_key\n0.dcm,image,neck,k\n1.dcm,image,phantom,k\n2.dcm,odd,,k\n"
    )
    snapshot = take_snapshot(list(image_entries(tmp_path)), PRE)
    assert [s.kind for s in snapshot.samples] == ["CT NECK", "CT -"]


def test_what_cannot_be_used_is_counted_by_reason(tmp_path: Path) -> None:
    """A text, a report and a constant image are left out, counted by reason."""
    (tmp_path / "notes.txt").write_text("nothing")
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((9, 9), np.uint8))
    snapshot = take_snapshot(list(image_entries(tmp_path)), PRE)
    assert len(snapshot) == 0
    assert sum(snapshot.left_out.values()) == 2
    assert any("empty picture" in reason for reason in snapshot.left_out)


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("fetal-head", "HEAD"),
        ("cervical-spine", "CSPINE"),
        ("abdomen and pelvis", "ABDOMENPELVIS"),
        ("Whole body", "WHOLEBODY"),
        ("phantom", None),
        ("", None),
    ],
)
def test_regions_become_terms(name: str, term: str | None) -> None:
    """Curated regions become terms of Body Part Examined."""
    assert body_part_term(name) == term


def test_the_digest_is_of_the_content() -> None:
    """Order does not matter, a changed tag does."""
    snapshot = phantom_snapshot(1, PRE)
    backwards = Snapshot(snapshot.tiles[::-1], snapshot.samples[::-1], PRE, {})
    assert backwards.digest() == snapshot.digest()
    other = (Sample({"Modality": "XA"}, "p", "s"), *snapshot.samples[1:])
    assert Snapshot(snapshot.tiles, other, PRE, {}).digest() != snapshot.digest()
