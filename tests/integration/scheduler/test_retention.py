"""The scheduler deletes archived files, and their thumbnails stay."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.scheduler import retention
from services.scheduler.retention import Retention
from services.scheduler.scheduler import Scheduler
from tests.integration.worker.testbed import Site
from veritag.findings import SeriesJudgement, Verdict, VerdictStatus
from veritag.phantoms.series import phantom_series
from veritag.pixels.thumbnail_store import ThumbnailStore
from veritag.pixels.tile import make_picture
from veritag.records.inspection.attempts import pending_instances
from veritag.records.inspection.series_snapshot import series_snapshot
from veritag.records.inspection.settling import settle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.retention import mark_for_removal
from veritag.records.states import SettleReason
from veritag.storage.archive import Archive

MakeSite = Callable[..., Site]
# Days; shorter than any two steps of a test lie apart.
A_MOMENT = 1e-9


def inspected(site: Site, instances: int = 3) -> list[Path]:
    """Put a settled series into the archive; return its files."""
    datasets = phantom_series(
        "CT-HEAD", patient=1, instances=instances, seed=1, size=64
    )
    ids = site.receive(datasets)
    keys = [one.archive_key for one in pending_instances(site.records, ids)]
    verdict = Verdict("vb-test", VerdictStatus.INSPECTED, "1.2", {"Modality": "CT"})
    store_verdicts(site.records, [(id_, verdict) for id_ in ids])
    snapshot = series_snapshot(site.records, 1, "vb-test")
    assert snapshot is not None
    nothing = SeriesJudgement(instances, False, (), ())
    settle(site.records, snapshot, nothing, "vb-test", SettleReason.IDLE)
    return [Archive(site.settings.archive_dir).path(key) for key in keys]


@pytest.fixture
def site(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose files are old at once, and where only the test starts retention."""
    # The first picture waits for the start of the process that draws.
    monkeypatch.setattr(retention, "DRAWING_SECONDS", 300)
    return make_site(retain_days=A_MOMENT)


@pytest.fixture
def parts(site: Site) -> Iterator[Retention]:
    """The retention of the site."""
    made = Retention(site.settings, site.records)
    yield made
    made.close()


def test_nothing_is_removed_unless_it_is_asked_for(make_site: MakeSite) -> None:
    """With `retain_days` 0 no file is deleted."""
    site = make_site()
    files = inspected(site)
    assert site.settings.retain_days == 0
    Scheduler(site.settings, site.records, site.dispatcher).round()
    assert all(path.exists() for path in files)


def test_a_small_picture_of_each_is_kept(site: Site, parts: Retention) -> None:
    """The file is deleted and counted; the kept thumbnail equals the earlier picture."""
    files = inspected(site)
    shown = [
        make_picture(ds, 256)
        for ds in phantom_series("CT-HEAD", patient=1, instances=3, seed=1, size=64)
    ]
    before = REGISTRY.get_sample_value("veritag_instances_removed_total") or 0
    assert parts.round() == 3
    assert not any(path.exists() for path in files)
    pictures = ThumbnailStore(site.settings.pictures_dir)
    for path, picture in zip(files, shown, strict=True):
        png = pictures.read(f"{path.parent.name}/{path.name}")
        assert png is not None
        drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert drawn is not None
        assert np.array_equal(drawn, picture)
    after = REGISTRY.get_sample_value("veritag_instances_removed_total")
    assert after == before + 3
    assert parts.round() == 0


def test_it_goes_in_batches(
    site: Site, parts: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One round deletes no more than a batch."""
    monkeypatch.setattr(retention, "BATCH", 2)
    inspected(site)
    assert [parts.round() for _ in range(3)] == [2, 1, 0]


def test_the_scheduler_does_it(site: Site) -> None:
    """A scheduler with `retain_days` deletes old files in its first round."""
    files = inspected(site)
    scheduler = Scheduler(site.settings, site.records, site.dispatcher)
    scheduler.round()
    scheduler.close()
    assert not any(path.exists() for path in files)


def test_what_cannot_be_drawn_goes_without_a_picture(
    site: Site, parts: Retention
) -> None:
    """A file that was damaged in the archive does not stop the others."""
    files = inspected(site, 2)
    files[0].write_bytes(b"damaged")
    assert parts.round() == 2
    assert not any(path.exists() for path in files)


def test_nothing_is_noted_as_removed_where_the_archive_is_not(
    site: Site, parts: Retention
) -> None:
    """Without the archive the scheduler waits and changes no record."""
    files = inspected(site)
    root = site.settings.archive_dir
    elsewhere = root.rename(site.data_dir / "elsewhere")
    assert parts.round() == 0
    # An empty mount point.
    root.mkdir()
    assert parts.round() == 0
    elsewhere.rename(root)
    assert parts.round() == 3
    assert not any(path.exists() for path in files)
    pictures = ThumbnailStore(site.settings.pictures_dir)
    assert all(pictures.read(f"{path.parent.name}/{path.name}") for path in files)


def test_a_mark_is_no_reason_to_note_as_removed_what_is_elsewhere(
    site: Site, parts: Retention
) -> None:
    """Files that a crash left marked are deleted once the archive is available again."""
    files = inspected(site)
    mark_for_removal(site.records, [1, 2, 3], A_MOMENT)
    root = site.settings.archive_dir
    elsewhere = root.rename(site.data_dir / "elsewhere")
    root.mkdir()
    assert parts.round() == 0
    elsewhere.rename(root)
    assert parts.round() == 3
    assert not any(path.exists() for path in files)


def test_it_draws_for_a_while_only(
    site: Site, parts: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round ends at its time limit; the next rounds delete the others."""
    monkeypatch.setattr(retention, "DRAWING_SECONDS", 0)
    inspected(site)
    assert [parts.round() for _ in range(4)] == [1, 1, 1, 0]
