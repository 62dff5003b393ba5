"""The scheduler with a real broker: settling, republishing, counts."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from prometheus_client import REGISTRY
from sqlalchemy import update

from services.scheduler.scheduler import Scheduler
from tests.integration.worker.testbed import SCHEDULE, Site
from veritag.findings import Verdict, VerdictStatus
from veritag.messaging.celery_config import celery_app
from veritag.messaging.messages import QUEUE_INSPECTION, QUEUE_SETTLING
from veritag.phantoms.series import phantom_series
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.dispatching import stale_instances
from veritag.records.schema import instances

MakeSite = Callable[..., Site]
# Seconds; shorter than any two steps of a test lie apart.
A_MOMENT = 1e-6


def scheduler_of(site: Site) -> Scheduler:
    return Scheduler(site.settings, site.records, site.dispatcher)


def queued(site: Site, queue: str) -> int:
    app = celery_app(site.settings, "test")
    with app.connection_for_write() as connection:
        return int(connection.default_channel.client.llen(queue))


def inspected_series(site: Site) -> None:
    ids = site.receive(phantom_series("CT-HEAD", patient=1, instances=2, seed=1))
    verdict = Verdict("vb-test", VerdictStatus.INSPECTED, "1.2", {"Modality": "CT"})
    store_verdicts(site.records, [(id_, verdict) for id_ in ids])


def test_a_due_series_is_asked_for_once(make_site: MakeSite) -> None:
    """Further rounds publish no second message for the same series."""
    site = make_site(settle_idle_seconds=A_MOMENT, republish_seconds=60)
    inspected_series(site)
    scheduler = scheduler_of(site)
    for _ in range(4):
        scheduler.round()
    assert queued(site, QUEUE_SETTLING) == 1


def test_a_series_without_result_is_asked_for_again(make_site: MakeSite) -> None:
    """After `republish_seconds` without a result the series is published again."""
    site = make_site(settle_idle_seconds=A_MOMENT, republish_seconds=60)
    inspected_series(site)
    seconds = [0.0]
    scheduler = Scheduler(
        site.settings, site.records, site.dispatcher, lambda: seconds[0]
    )
    scheduler.round()
    seconds[0] = 61.0
    scheduler.round()
    assert queued(site, QUEUE_SETTLING) == 2


def test_what_was_never_published_is_swept_up(make_site: MakeSite) -> None:
    """Instances that were never published are published in messages of 32, and once."""
    site = make_site(republish_seconds=60)
    site.receive(phantom_series("CT-HEAD", patient=1, instances=40, seed=1, size=32))
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    with site.records.begin() as connection:
        connection.execute(update(instances).values(indexed_at=long_ago))
    scheduler_of(site).round()
    assert queued(site, QUEUE_INSPECTION) == 2
    scheduler_of(site).round()
    assert queued(site, QUEUE_INSPECTION) == 2


def test_a_long_queue_is_not_made_longer(make_site: MakeSite) -> None:
    """Stale instances are not published again while the queue is long."""
    site = make_site(republish_seconds=A_MOMENT)
    for patient in range(3):
        site.send(phantom_series("CT-HEAD", patient=patient, instances=1, seed=1))
    assert len(stale_instances(site.records, A_MOMENT)) == 3
    scheduler_of(site).round()
    assert queued(site, QUEUE_INSPECTION) == 3


def test_the_counts_come_from_the_records(make_site: MakeSite) -> None:
    """The metrics of backlog and its age need no broker."""
    site = make_site()
    site.receive(phantom_series("CT-HEAD", patient=1, instances=3, seed=1))
    site.broker_process.kill()
    site.broker_process.wait()
    scheduler_of(site).round()
    assert REGISTRY.get_sample_value("veritag_backlog_instances") == 3
    assert (REGISTRY.get_sample_value("veritag_backlog_oldest_seconds") or 0) > 0
    assert REGISTRY.get_sample_value("veritag_dead_letters") == 0
    assert REGISTRY.get_sample_value("veritag_findings_open") == 0


def test_the_scheduler_outlives_its_broker(make_site: MakeSite) -> None:
    """Without its broker the scheduler is unready; later it publishes the waiting instances."""
    site = make_site(republish_seconds=0.2)
    process = site.start(SCHEDULE)
    site.until(lambda: bool(site.log(SCHEDULE)))
    site.broker_process.kill()
    site.broker_process.wait()
    site.receive(phantom_series("CT-HEAD", patient=1, instances=1, seed=1))
    site.until(lambda: "scheduler_waits" in [li["event"] for li in site.log(SCHEDULE)])
    status, body = site.http(SCHEDULE, "/ready")
    assert status == 503
    assert "does not answer" in json.loads(body)["dependencies"]["broker"]
    site.start_broker()
    site.until(lambda: queued(site, QUEUE_INSPECTION) > 0)
    process.terminate()
    assert process.wait(60) == 0
