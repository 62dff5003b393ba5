import json
import time
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
from veritag.records.schema import instances

MakeSite = Callable[..., Site]


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
    """Round after round, a message that waits is not joined by copies of itself."""
    site = make_site(settle_idle_seconds=0.05, republish_seconds=60)
    inspected_series(site)
    time.sleep(0.1)
    scheduler = scheduler_of(site)
    for _ in range(4):
        scheduler.round()
    assert queued(site, QUEUE_SETTLING) == 1


def test_a_series_without_result_is_asked_for_again(make_site: MakeSite) -> None:
    """A lost message is replaced after a while."""
    site = make_site(settle_idle_seconds=0.05, republish_seconds=0.2)
    inspected_series(site)
    time.sleep(0.1)
    scheduler = scheduler_of(site)
    scheduler.round()
    time.sleep(0.3)
    scheduler.round()
    assert queued(site, QUEUE_SETTLING) == 2


def test_what_was_never_published_is_swept_up(make_site: MakeSite) -> None:
    """The sweeper publishes it in messages of 32 and remembers that it did."""
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
    """What is stale in a queue that is not empty waits for its turn."""
    site = make_site(republish_seconds=0.2)
    for patient in range(3):
        site.send(phantom_series("CT-HEAD", patient=patient, instances=1, seed=1))
    time.sleep(0.3)
    scheduler_of(site).round()
    assert queued(site, QUEUE_INSPECTION) == 3


def test_the_counts_come_from_the_records(make_site: MakeSite) -> None:
    """Backlog and its age are told in metrics, without the broker."""
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
    """While it is away readiness says so; back again, what waits is published."""
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
