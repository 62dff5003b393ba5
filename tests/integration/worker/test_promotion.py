"""Promotion and rollback while a worker inspects."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.bundles import make_bundle
from tests.integration.worker.testbed import SCHEDULE, WORK, Site
from veritag.bundles.registry import promote, rollback
from veritag.phantoms.series import phantom_series, plant_wrong_tag
from veritag.records.review.study import study_detail
from veritag.records.schema import verdicts

MakeSite = Callable[..., Site]


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """A folder with two bundles, the first in use."""
    folder = tmp_path / "bundles"
    make_bundle(folder / "first")
    make_bundle(folder / "second", created_at="2026-02-02")
    (folder / "active").write_text("first\n")
    return folder


def verdicts_by_bundle(site: Site) -> Counter[str]:
    """Count the stored verdicts by the bundle that made them."""
    with site.records.read() as connection:
        return Counter(connection.scalars(select(verdicts.c.bundle_id)))


def send_one_by_one(site: Site, patient: int) -> None:
    """Send eight messages of one instance each."""
    for ds in phantom_series("CT-HEAD", patient=patient, instances=8, seed=1):
        site.send([ds])


def test_workers_swap_without_restart_and_lose_no_message(
    make_site: MakeSite, bundles: Path
) -> None:
    """Each instance has one verdict, of the bundle that was in use at its time."""
    site = make_site(bundle_dir=bundles, republish_seconds=60)
    process = site.start(WORK)
    send_one_by_one(site, patient=0)
    site.until_inspected(2)
    second = promote(bundles, "second")
    # Instances of the first series are mostly still pending; those of this one are
    # certainly inspected by the second bundle.
    send_one_by_one(site, patient=1)
    site.until(lambda: verdicts_by_bundle(site)[second.bundle_id] >= 4)
    first = rollback(bundles)
    send_one_by_one(site, patient=2)
    site.until_inspected(24)
    counts = verdicts_by_bundle(site)
    assert set(counts) == {first.bundle_id, second.bundle_id}
    assert counts.total() == 24
    assert process.poll() is None
    system = site.counts()
    assert (system.backlog, system.dead_letters) == (0, 0)
    loaded = [li for li in site.log(WORK) if li["event"] == "bundle_loaded"]
    assert [li["bundle_id"] for li in loaded] == [
        first.bundle_id,
        second.bundle_id,
        first.bundle_id,
    ]


def test_an_old_finding_keeps_the_bundle_that_made_it(
    make_site: MakeSite, bundles: Path
) -> None:
    """A finding of before the promotion still names the first bundle."""
    site = make_site(bundle_dir=bundles, settle_idle_seconds=0.5)
    site.start(SCHEDULE)
    site.start(WORK)
    wrong = [
        phantom_series("MR-KNEE", patient=patient, instances=4, seed=1)
        for patient in (1, 2)
    ]
    for series in wrong:
        plant_wrong_tag(series, "BodyPartExamined", "CHEST")
    site.send(wrong[0])
    site.until(lambda: site.counts().series_settled == 1)
    second = promote(bundles, "second")
    site.send(wrong[1])
    site.until(lambda: site.counts().series_settled == 2)
    bundle_ids = []
    for series in wrong:
        study = study_detail(site.records, series[0].StudyInstanceUID)
        assert study is not None
        first, *_ = study.series[0].findings
        bundle_ids.append(first.bundle_id)
    assert bundle_ids[1] == second.bundle_id
    assert bundle_ids[0] not in {second.bundle_id, ""}
