"""The worker as a process, with real records, archive and broker."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from tests import bombs
from tests.bundles import make_bundle
from tests.integration.worker.testbed import CRASH, HANG, SCHEDULE, SLOW, WORK, Site
from veritag.phantoms.series import phantom_series, plant_wrong_tag
from veritag.records.inspection.attempts import pending_instances
from veritag.records.inspection.dead_letters import dead_letters
from veritag.records.review.study import study_detail
from veritag.records.review.worklist import worklist

MakeSite = Callable[..., Site]


def test_a_series_travels_from_message_to_worklist(
    make_site: MakeSite, records_url: str
) -> None:
    """Verdicts are stored, the series settles, and the error is in the worklist."""
    site = make_site(settle_idle_seconds=0.5, database_url=records_url)
    site.start(SCHEDULE)
    site.start(WORK)
    clean = phantom_series("CT-CHEST", patient=5, instances=6, seed=1)
    wrong = phantom_series("MR-KNEE", patient=6, instances=6, seed=1)
    plant_wrong_tag(wrong, "BodyPartExamined", "CHEST")
    site.send(clean)
    site.send(wrong)
    site.until_inspected(12)
    site.until(lambda: site.counts().series_settled == 2)
    page = worklist(site.records)
    assert [row.study_instance_uid for row in page.rows] == [wrong[0].StudyInstanceUID]
    # A chest has no side, and the knees were sent with theirs.
    assert set(page.rows[0].codes) == {
        "TAG_CONTRADICTS_IMAGE",
        "LATERALITY_CONTRADICTS_BODY_PART",
    }
    assert page.rows[0].patient_id == wrong[0].PatientID
    # The metrics are counted after the records are written, and before the log line.
    site.until(lambda: len(settled(site)) == 2)
    status, metrics = site.http(WORK, "/metrics")
    assert status == 200
    assert 'veritag_instances_inspected_total{modality="CT",status="inspected"} 6' in (
        metrics
    )
    assert 'veritag_series_settled_total{reason="idle"} 2.0' in metrics
    assert 'code="TAG_CONTRADICTS_IMAGE",modality="MR"} 1.0' in metrics


def test_a_ready_worker_says_so(make_site: MakeSite) -> None:
    """Readiness names records, broker, bundle and provider, and follows the broker."""
    site = make_site()
    site.start(WORK)
    site.until(lambda: "bundle_loaded" in [line["event"] for line in site.log(WORK)])
    status, body = site.http(WORK, "/ready")
    assert status == 200
    assert json.loads(body)["dependencies"] == dict.fromkeys(
        ("records", "broker", "bundle", "provider"), "ok"
    )
    site.broker_process.kill()
    site.broker_process.wait()
    status, body = site.http(WORK, "/ready")
    assert status == 503
    assert "does not answer" in json.loads(body)["dependencies"]["broker"]


def test_a_lightly_loaded_worker_answers_within_a_second(make_site: MakeSite) -> None:
    """From acknowledgement to stored verdict, p95 stays far below a second.

    Other load on the machine only adds to it: one series without such load is enough.
    """
    site = make_site()
    site.start(WORK)
    site.send(phantom_series("CT-HEAD", patient=1, instances=1, seed=9))
    site.until_inspected(1)
    assert any(
        np.percentile(delays(site, patient), 95) < 1.0 for patient in range(2, 10)
    )


def delays(site: Site, patient: int) -> list[float]:
    """Send a series one by one; return how long each took until its verdict."""
    seconds = []
    for ds in phantom_series("CT-CHEST", patient=patient, instances=20, seed=3):
        before, sent = site.counts().inspected, time.monotonic()
        site.send([ds])
        while site.counts().inspected == before:
            assert time.monotonic() - sent < 60
            time.sleep(0.005)
        seconds.append(time.monotonic() - sent)
    return seconds


def test_a_repeated_message_leaves_one_verdict(make_site: MakeSite) -> None:
    """A message that is delivered three times has its effect once."""
    site = make_site()
    ids = site.send(phantom_series("CT-HEAD", patient=1, instances=3, seed=1))
    site.dispatcher.inspect(ids)
    site.dispatcher.inspect(ids)
    site.start(WORK)
    site.until_inspected(3)
    stopped = site.processes[-1]
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(60) == 0
    lines = [ln for ln in site.log(WORK) if ln["event"] == "instances_inspected"]
    assert sorted(i for line in lines for i in line["instance_ids"]) == sorted(ids)


def test_sigterm_ends_the_worker_after_its_present_instances(
    make_site: MakeSite,
) -> None:
    """It stops within the grace time with exit 0; the scheduler publishes the rest."""
    site = make_site(republish_seconds=0.5, stop_grace_seconds=30)
    sent = phantom_series("CT-CHEST", patient=1, instances=32, seed=1)
    first = site.start(WORK, SLOW)
    site.send(sent)
    site.until_inspected(1)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    done = site.counts().inspected
    assert 0 < done < 32
    site.start(SCHEDULE)
    site.start(WORK)
    site.until_inspected(32)


def test_sigkill_in_a_batch_loses_and_doubles_nothing(make_site: MakeSite) -> None:
    """Instances of a killed worker are published again from the records."""
    site = make_site(republish_seconds=0.5, settle_idle_seconds=1.0)
    site.start(SCHEDULE)
    first = site.start(WORK, SLOW)
    site.send(phantom_series("CT-CHEST", patient=1, instances=30, seed=1))
    site.until_inspected(1)
    first.kill()
    first.wait()
    assert site.counts().inspected < 30
    site.start(WORK)
    site.until_inspected(30)
    site.until(lambda: site.counts().series_settled == 1)
    counted = site.counts()
    assert (counted.inspected, counted.dead_letters, counted.backlog) == (30, 0, 0)


@pytest.mark.parametrize(("name", "poison"), [("CRASH", CRASH), ("HANG", HANG)])
def test_an_instance_that_ends_the_worker_is_isolated(
    make_site: MakeSite, name: str, poison: str
) -> None:
    """It becomes a dead letter with the reason; the others get their verdicts."""
    site = make_site(republish_seconds=0.5, max_attempts=2, settle_idle_seconds=1.0)
    sent = phantom_series("CT-CHEST", patient=1, instances=6, seed=1)
    sent[2].PatientName = name
    site.start(SCHEDULE)
    site.send(sent)
    worker = site.start(WORK, poison)
    restarts = 0
    while (site.counts().dead_letters, site.counts().inspected) != (1, 5):
        assert restarts < 6
        if worker.poll() is not None:
            restarts += 1
            worker = site.start(WORK, poison)
        time.sleep(0.05)
    letters = dead_letters(site.records, 10, 0)
    assert [letter.sop_instance_uid for letter in letters] == [sent[2].SOPInstanceUID]
    assert letters[0].reason == ("the worker process ended 2 times while inspecting it")
    site.until(lambda: site.counts().series_settled == 1)


def test_a_bomb_costs_neither_the_worker_nor_its_companions(
    make_site: MakeSite,
) -> None:
    """A file that takes too long is a dead letter; the worker inspects the others."""
    site = make_site(republish_seconds=0.5, max_attempts=2, decode_seconds=0.5)
    sent = phantom_series("CT-CHEST", patient=1, instances=4, seed=1)
    slow = bombs.image(RLELossless, rows=30_000, columns=16_384)
    slow.PixelData = encapsulate([bombs.run_length(30_000, 16_384)])
    site.start(SCHEDULE)
    site.send([*sent[:2], slow, *sent[2:]])
    worker = site.start(WORK)
    site.until(lambda: site.counts().inspected == 4)
    site.until(lambda: site.counts().dead_letters == 1)
    assert worker.poll() is None
    [letter] = dead_letters(site.records, 10, 0)
    assert letter.sop_instance_uid == slow.SOPInstanceUID
    assert letter.reason.startswith("inspection failed 2 times: decoding took longer")


def test_a_file_missing_from_the_archive_is_given_up(make_site: MakeSite) -> None:
    """It is tried twice, then it is a dead letter; the others get their verdicts."""
    site = make_site(republish_seconds=0.3, max_attempts=2)
    sent = phantom_series("CT-CHEST", patient=1, instances=3, seed=1)
    ids = site.receive(sent)
    next(iter(site.settings.archive_dir.rglob("*.dcm"))).unlink()
    site.dispatcher.inspect(ids)
    site.start(SCHEDULE)
    site.start(WORK)
    site.until_inspected(2)
    site.until(lambda: site.counts().dead_letters == 1)
    reason = dead_letters(site.records, 10, 0)[0].reason
    assert reason.startswith("inspection failed 2 times: the file cannot be read")


@pytest.mark.parametrize("when", ["idle", "working"])
def test_the_worker_resumes_when_the_broker_comes_back(
    make_site: MakeSite, when: str
) -> None:
    """Redis is killed and started again on the same address; the worker reconnects."""
    site = make_site(republish_seconds=2.0)
    site.start(SCHEDULE)
    site.start(WORK, SLOW if when == "working" else "")
    site.send(phantom_series("CT-HEAD", patient=1, instances=2, seed=1))
    if when == "idle":
        site.until_inspected(2)
        time.sleep(0.5)
    else:
        # Its message cannot be acknowledged then. On a busy machine the instances may
        # be inspected before the first look.
        site.until(
            lambda: all(i.attempts for i in pending_instances(site.records, [1]))
        )
    site.broker_process.kill()
    site.broker_process.wait()
    lost = phantom_series("CT-HEAD", patient=2, instances=2, seed=1)
    site.receive(lost)
    time.sleep(3)
    site.start_broker()
    site.dispatcher.close()
    site.send(phantom_series("CT-HEAD", patient=3, instances=2, seed=1))
    site.until_inspected(6)


def test_a_missing_gpu_keeps_a_worker_from_being_ready(make_site: MakeSite) -> None:
    """With VERITAG_REQUIRE_GPU=1 it stays unready, and readiness names the reason."""
    site = make_site(require_gpu=True)
    process = site.start(WORK)
    site.until(lambda: "not_ready" in [line["event"] for line in site.log(WORK)])
    status, body = site.http(WORK, "/ready")
    assert status == 503
    assert "VERITAG_REQUIRE_GPU" in json.loads(body)["dependencies"]["provider"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_late_instance_opens_its_series_again(make_site: MakeSite) -> None:
    """The series is judged again, and a finding that no longer holds is withdrawn."""
    site = make_site(settle_idle_seconds=0.3)
    site.start(SCHEDULE)
    site.start(WORK)
    sent = phantom_series("CT-HEAD", patient=1, instances=6, seed=1)
    plant_wrong_tag(sent[:1], "BodyPartExamined", "CHEST")
    site.send(sent[:1])
    site.until(lambda: site.counts().findings_open == 1)
    site.send(sent[1:])
    site.until(lambda: site.counts().inspected == 6)
    site.until(lambda: len(settled(site)) >= 2)
    site.until(lambda: settled(site)[-1]["instances"] == 6)
    assert "TAG_CONTRADICTS_IMAGE" not in settled(site)[-1]["findings"]
    detail = study_detail(site.records, sent[0].StudyInstanceUID)
    assert detail is not None
    withdrawn = [
        row.code.value
        for row in detail.series[0].findings
        if row.withdrawn_at is not None
    ]
    assert withdrawn == ["TAG_CONTRADICTS_IMAGE"]


def test_a_budget_opens_the_first_flag_and_keeps_the_next(
    make_site: MakeSite,
) -> None:
    """A flag beyond the budget is judged, and no finding is opened."""
    site = make_site(settle_idle_seconds=0.3, review_budget_per_1000=1)
    site.start(SCHEDULE)
    site.start(WORK)
    for patient in (1, 2):
        wrong = phantom_series("CT-HEAD", patient=patient, instances=2, seed=1)
        plant_wrong_tag(wrong, "BodyPartExamined", "CHEST")
        site.send(wrong)
    # The line of the log is written after the records.
    site.until(lambda: len(settled(site)) == 2)
    flags = [line["findings"].count("TAG_CONTRADICTS_IMAGE") for line in settled(site)]
    assert flags == [1, 1]
    assert site.counts().findings_open == 1


def settled(site: Site) -> list[dict[str, Any]]:
    """Return the log lines of settled series."""
    return [line for line in site.log(WORK) if line["event"] == "series_settled"]


def test_a_series_is_judged_by_one_bundle(make_site: MakeSite, tmp_path: Path) -> None:
    """Instances of an older bundle are inspected again before the series is judged."""
    home = tmp_path / "bundles"
    make_bundle(home / "old", ["CT-HEAD"])
    newer = make_bundle(home / "new", ["CT-HEAD", "MR-KNEE"])
    (home / "active").write_text("old")
    site = make_site(settle_idle_seconds=2.0, bundle_dir=home)
    site.start(WORK)
    sent = phantom_series("MR-KNEE", patient=4, instances=6, seed=1)
    plant_wrong_tag(sent, "BodyPartExamined", "HEAD")
    site.send(sent[:3])
    site.until_inspected(3)
    (home / "active").write_text("new")
    site.send(sent[3:])
    site.until_inspected(6)
    site.start(SCHEDULE)
    site.until(lambda: site.counts().series_settled == 1)
    detail = study_detail(site.records, sent[0].StudyInstanceUID)
    assert detail is not None
    by_code = {row.code.value: row for row in detail.series[0].findings}
    row = by_code["TAG_CONTRADICTS_IMAGE"]
    assert row.evidence["instances"] == 6
    assert row.bundle_id == newer.bundle_id


def test_an_unreadable_instance_gets_a_verdict_with_the_reason(
    make_site: MakeSite,
) -> None:
    """Damaged pixels are a finding, not a failure of the worker."""
    site = make_site(settle_idle_seconds=0.3)
    site.start(SCHEDULE)
    site.start(WORK)
    sent = phantom_series("CT-HEAD", patient=1, instances=1, seed=1)
    sent[0].PixelData = sent[0].PixelData[:100]
    site.send(sent)
    site.until(lambda: site.counts().findings_open == 1)
    detail = study_detail(site.records, sent[0].StudyInstanceUID)
    assert detail is not None
    [row] = detail.series[0].findings
    assert row.code.value == "UNREADABLE"
    [reason] = row.evidence["reasons"]
    assert reason["reason"].startswith("the Pixel Data hold 100 bytes")
    assert site.counts().dead_letters == 0
