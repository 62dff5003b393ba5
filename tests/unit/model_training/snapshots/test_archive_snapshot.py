"""Snapshots of the archive, on both databases where they matter."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr
from pydicom import dcmread

from model_training.snapshots.archive.archive_snapshot import service_snapshot
from model_training.snapshots.archive.reviewed_tags import REVIEWED_WEIGHT
from model_training.snapshots.archive.snapshot_builder import GONE
from model_training.snapshots.archive.snapshot_plan import NOT_CHOSEN, plan_snapshot
from model_training.snapshots.image_sampling import SamplingConfig
from model_training.snapshots.samples import Sample
from model_training.snapshots.snapshot import Snapshot
from model_training.snapshots.split import split_patients
from model_training.snapshots.tile_store import TILES, store_folder
from tests.unit.model_training.snapshots.archive_testbed import PRE, ArchiveTestbed
from veritag.decisions import Decision
from veritag.errors import ArchiveUnavailable, StopError
from veritag.findings import FindingCode
from veritag.phantoms.series import phantom_series
from veritag.pixels.tile import make_tile
from veritag.records import Records
from veritag.settings import Settings


@pytest.fixture
def site(records: Records, tmp_path: Path) -> ArchiveTestbed:
    """An empty site."""
    return ArchiveTestbed(records, tmp_path / "data")


@pytest.fixture
def small_site(tmp_path: Path) -> Iterator[ArchiveTestbed]:
    """An empty site on SQLite, for tests of files."""
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    records.migrate()
    yield ArchiveTestbed(records, tmp_path / "data")
    records.close()


def samples_of(snapshot: Snapshot, body_part: str) -> list[Sample]:
    """Return the samples tagged with a body part."""
    return [s for s in snapshot.samples if s.tags.get("BodyPartExamined") == body_part]


def test_training_sees_the_tiles_and_tags_that_were_inspected(
    site: ArchiveTestbed,
) -> None:
    """Tiles come from the archived files; tags, numbers and device are the received ones."""
    sent = site.add("CT-HEAD", station="CT 1") + site.add("CR-CHEST", 1)
    snapshot = site.snapshot()
    made = {make_tile(dcmread(site.path(ds)), PRE).tobytes() for ds in sent}
    assert {tile.tobytes() for tile in snapshot.tiles} == made
    head, chest = samples_of(snapshot, "HEAD"), samples_of(snapshot, "CHEST")
    assert len(head) == len(chest) == 2
    cosines = tuple(float(v) for v in sent[0].ImageOrientationPatient)
    assert head[0].numbers["ImageOrientationPatient"] == cosines
    assert head[0].tags["Modality"] == "CT"
    assert head[0].station != chest[0].station
    assert head[0].patient == head[1].patient != chest[0].patient
    assert {s.weight for s in snapshot.samples} == {1.0}


def test_nothing_on_the_disk_names_a_patient(small_site: ArchiveTestbed) -> None:
    """Snapshot and kept tiles hold no Patient ID, UID or device name."""
    (ds, *_) = small_site.add("CT-HEAD", station="ROOM 7")
    small_site.snapshot()
    files = [
        p for d in ("snapshots", "tiles") for p in (small_site.data_dir / d).rglob("*")
    ]
    content = b"".join(p.read_bytes() for p in files if p.is_file())
    for name in (ds.PatientID, ds.StudyInstanceUID, ds.SOPInstanceUID, "ROOM 7"):
        assert str(name).encode() not in content


def test_a_correction_stands_over_what_was_received(site: ArchiveTestbed) -> None:
    """Every instance of the series has the corrected value and a larger weight."""
    (ds, *_) = site.add("CT-HEAD", instances=3)
    site.add("CR-CHEST", 1)
    site.review(ds, "BodyPartExamined", "HEAD", Decision.CORRECTED, "THORAX")
    corrected = [s for s in site.snapshot().samples if s.verified]
    assert len(corrected) == 3
    for sample in corrected:
        assert sample.tags["BodyPartExamined"] == "CHEST"
        assert sample.verified == {"BodyPartExamined"}
        assert sample.received == {"BodyPartExamined": "HEAD"}
        assert sample.weight == REVIEWED_WEIGHT


def test_what_is_confirmed_to_be_wrong_is_not_learnt(
    small_site: ArchiveTestbed,
) -> None:
    """The wrong value is removed, and the weight stays: no right value is known."""
    (ds, *_) = small_site.add("CT-HEAD")
    small_site.review(ds, "BodyPartExamined", "HEAD", Decision.CONFIRMED)
    for sample in small_site.snapshot().samples:
        assert "BodyPartExamined" not in sample.tags
        assert sample.received == {"BodyPartExamined": "HEAD"}
        assert sample.weight == 1.0


def test_a_dismissed_finding_verifies_the_received_value(
    small_site: ArchiveTestbed,
) -> None:
    """A dismissed finding shows that the tag is right."""
    (ds, *_) = small_site.add("CT-HEAD")
    small_site.review(ds, "BodyPartExamined", "HEAD", Decision.DISMISSED)
    for sample in small_site.snapshot().samples:
        assert sample.tags["BodyPartExamined"] == "HEAD"
        assert sample.verified == {"BodyPartExamined"}
        assert sample.weight == REVIEWED_WEIGHT


def test_the_newest_decision_of_a_finding_counts(site: ArchiveTestbed) -> None:
    """The last of several decisions on a finding is learnt from."""
    (ds, *_) = site.add("CT-HEAD")
    for decision, value in (
        (Decision.CONFIRMED, None),
        (Decision.CORRECTED, "KNEE"),
        (Decision.DISMISSED, None),
    ):
        site.review(ds, "BodyPartExamined", "HEAD", decision, value)
    assert len(samples_of(site.snapshot(), "HEAD")) == 2


def test_a_decision_changes_the_digest(small_site: ArchiveTestbed) -> None:
    """Equal content has an equal digest, and a decision changes it."""
    (ds, *_) = small_site.add("CT-HEAD")
    first = small_site.snapshot().digest()
    assert small_site.snapshot().digest() == first
    small_site.review(
        ds,
        "BodyPartExamined",
        "HEAD",
        Decision.DISMISSED,
        code=FindingCode.TAG_TOO_COARSE,
    )
    assert small_site.snapshot().digest() != first


def test_tiles_outlive_the_objects_they_were_made_of(
    small_site: ArchiveTestbed,
) -> None:
    """Kept tiles are learnt from after their objects have left the archive."""
    old = small_site.add("CT-HEAD")
    before = small_site.snapshot()
    new = small_site.add("CR-CHEST", 1)
    for ds in (*old, new[0]):
        small_site.path(ds).unlink()
    after = small_site.snapshot()
    assert after.left_out == {GONE: 1}
    assert len(samples_of(after, "HEAD")) == 2
    assert len(samples_of(after, "CHEST")) == 1
    kept = {tile.tobytes() for tile in after.tiles}
    assert {tile.tobytes() for tile in before.tiles} <= kept


def test_a_damaged_tile_is_made_anew(small_site: ArchiveTestbed) -> None:
    """A tile that does not match its checksum is made again from the archive."""
    small_site.add("CT-HEAD")
    before = small_site.snapshot().digest()
    file = store_folder(small_site.data_dir / "tiles", PRE) / TILES
    file.write_bytes(bytes(b ^ 255 for b in file.read_bytes()))
    assert small_site.snapshot().digest() == before


def test_an_archive_that_is_away_is_not_taken_for_empty(
    small_site: ArchiveTestbed,
) -> None:
    """A missing archive folder is a retryable error; its instances do not count as gone."""
    small_site.add("CT-HEAD")
    small_site.archive.root.rename(small_site.data_dir / "elsewhere")
    with pytest.raises(ArchiveUnavailable, match="no archive"):
        small_site.snapshot()


def test_what_cannot_be_learnt_from_is_counted(site: ArchiveTestbed) -> None:
    """Broken, empty and uninspected instances are left out, counted by reason."""
    broken, good = site.add("CT-HEAD")
    site.path(broken).chmod(0o600)
    site.path(broken).write_bytes(site.path(broken).read_bytes()[:700])
    blank = phantom_series("CR-CHEST", patient=2, instances=1, seed=3, size=64)
    blank[0].PixelData = bytes(len(blank[0].PixelData))
    site.inspect(site.receive(blank), blank)
    site.receive(phantom_series("MR-KNEE", patient=3, instances=1, seed=3, size=64))
    report = phantom_series("CT-HEAD", patient=4, instances=1, seed=3, size=64)
    del report[0].PixelData
    site.inspect(site.receive(report), report)
    snapshot = site.snapshot()
    np.testing.assert_array_equal(
        snapshot.tiles, [make_tile(dcmread(site.path(good)), PRE)]
    )
    reasons = dict(snapshot.left_out)
    assert reasons.pop("not inspected yet") == 1
    assert reasons.pop("no picture that can be read") == 1
    assert reasons.pop("UnusableInstance: an empty picture") == 1
    assert list(reasons.values()) == [1]


def test_long_series_and_common_kinds_are_capped(site: ArchiveTestbed) -> None:
    """Reviewed series stay in; other images are capped, and those left out are counted."""
    (ds, *_) = site.add("CT-HEAD", instances=5)
    for patient in range(1, 5):
        site.add("CR-CHEST", patient)
    site.review(ds, "BodyPartExamined", "HEAD", Decision.DISMISSED)
    site.config = SamplingConfig(
        max_per_series=3, max_per_kind=4, max_images=5, min_images=0
    )
    snapshot = site.snapshot()
    assert len(samples_of(snapshot, "HEAD")) == 3
    assert len(samples_of(snapshot, "CHEST")) == 2
    assert snapshot.left_out == {NOT_CHOSEN: 8}


def test_the_plan_is_made_without_a_picture(small_site: ArchiveTestbed) -> None:
    """The plan needs no pixel data: it works after the files were removed."""
    for ds in small_site.add("CT-HEAD"):
        small_site.path(ds).unlink()
    assert len(plan_snapshot(small_site.records, SamplingConfig())) == 2


def test_parts_stay_mapped(small_site: ArchiveTestbed) -> None:
    """Each part of the split is a slice of the mapped file and not copied."""
    for patient in range(24):
        small_site.add("CT-HEAD", patient, station=f"CT {patient % 4}")
    snapshot = small_site.snapshot()
    split = split_patients(snapshot, small_site.config.seed)
    for mask in (split.training, split.calibration, split.new_stations, split.unseen):
        part = snapshot.part(mask)
        assert len(part)
        assert np.shares_memory(part.tiles, snapshot.tiles)
    assert isinstance(snapshot.tiles, np.memmap)


def test_a_damaged_snapshot_is_written_anew(small_site: ArchiveTestbed) -> None:
    """A damaged folder of the right name is replaced."""
    small_site.add("CT-HEAD")
    digest = small_site.snapshot().digest()
    file = small_site.data_dir / "snapshots" / digest / "samples.jsonl"
    file.write_text(file.read_text().replace("HEAD", "KNEE"))
    assert samples_of(small_site.snapshot(), "HEAD")


def test_only_the_newest_snapshots_are_kept(small_site: ArchiveTestbed) -> None:
    """Three snapshots are kept, the newest among them."""
    for patient in range(5):
        small_site.add("CT-HEAD", patient)
        newest = small_site.snapshot().digest()
    names = {p.name for p in (small_site.data_dir / "snapshots").iterdir()}
    assert len(names) == 3
    assert newest in names


def test_another_seed_is_another_order_of_the_same(small_site: ArchiveTestbed) -> None:
    """The seed changes the order of the parts and not the digest."""
    for patient in range(8):
        small_site.add("CT-HEAD", patient)
    first = small_site.snapshot()
    small_site.config = replace(small_site.config, seed=5)
    assert small_site.snapshot().digest() == first.digest()


def test_an_unusable_disk_leaves_everything_as_it_was(
    small_site: ArchiveTestbed,
) -> None:
    """Where tiles cannot be stored, the run ends in an error and writes no snapshot."""
    small_site.add("CT-HEAD")
    (small_site.data_dir / "tiles").write_text("a file where the folder should be")
    with pytest.raises(StopError, match="kept tiles"):
        small_site.snapshot()
    assert not (small_site.data_dir / "snapshots").exists()


def test_a_data_directory_is_all_that_is_needed(
    records: Records, records_url: str, tmp_path: Path
) -> None:
    """Settings alone give a snapshot; without records there is none."""
    empty = Settings(data_dir=tmp_path / "nothing")
    assert service_snapshot(empty, PRE, config=SamplingConfig()) is None
    site = ArchiveTestbed(records, tmp_path / "data")
    site.add("CT-HEAD")
    settings = Settings(data_dir=site.data_dir, database_url=SecretStr(records_url))
    totals: list[int] = []
    steps: list[int] = []
    snapshot = service_snapshot(
        settings,
        PRE,
        config=SamplingConfig(),
        on_total=totals.append,
        on_step=steps.append,
    )
    assert snapshot is not None
    assert snapshot.digest() == site.snapshot().digest()
    assert totals == [sum(steps)] == [2]
