"""The indexer, which loses and doubles nothing wherever it is killed."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import func, select

from services.indexer.indexer import Indexer
from services.indexer.publisher import Publisher
from tests.integration.listener.conftest import Broker
from tests.integration.listener.wire import CT_IMAGE_STORAGE, IMPLICIT, data_set
from tests.waiting import wait_for
from veritag.dicom.part10 import encode_file_meta
from veritag.errors import RecordsUnavailable
from veritag.messaging.dispatcher import Dispatcher
from veritag.messaging.messages import QUEUE_INSPECTION
from veritag.records import Records
from veritag.records.reception import dispatching, registration
from veritag.records.schema import dead_letters, instances, receptions
from veritag.settings import Settings
from veritag.storage.archive import Archive
from veritag.storage.spool import Spool
from veritag.storage.stored_instance import Provenance


class Struck(BaseException):
    """A stand-in for SIGKILL, which nothing may catch."""


@dataclass
class Site:
    """A spool, an archive, records and a broker for indexers."""

    root: Path
    records: Records
    broker: Broker
    linger: float = 0.05
    running: list[tuple[threading.Event, threading.Thread]] = field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        self.spool = Spool(self.root / "spool")
        self.spool.prepare()
        self.archive = Archive(self.root / "archive")
        self.archive.root.mkdir()
        self.dispatcher = Dispatcher.open(Settings(broker_url=self.broker.url))

    def receive(
        self, sop_instance: str, *, more: bytes = b"", data: bytes = b""
    ) -> str:
        """Put an instance into the spool as the listener does."""
        origin = Provenance("CT1", "VERITAG", "127.0.0.1", "a1", datetime.now(UTC))
        header = encode_file_meta(CT_IMAGE_STORAGE, sop_instance, IMPLICIT, origin)
        body = data or data_set(CT_IMAGE_STORAGE, sop_instance, more=more)
        return self.spool.store((header, body))

    def publisher(self) -> Publisher:
        """Return a new publisher, not yet started."""
        return Publisher(self.records, self.dispatcher, self.linger)

    def indexer(self, kind: type[Indexer] = Indexer) -> Indexer:
        """Return a new indexer, not yet running."""
        return kind(self.spool, self.archive, self.records, self.publisher(), 0.02)

    def start(self) -> None:
        """Run an indexer as its process does."""
        stop, indexer = threading.Event(), self.indexer()
        thread = threading.Thread(target=indexer.run, args=(stop,))
        thread.start()
        self.running.append((stop, thread))

    def close(self) -> None:
        """Stop the indexers in order."""
        for stop, thread in self.running:
            stop.set()
            thread.join(45)
            assert not thread.is_alive()
        self.dispatcher.close()

    def count(self, table: Any) -> int:
        """Count the rows of a table."""
        with self.records.read() as connection:
            return int(connection.scalar(select(func.count()).select_from(table)) or 0)

    def queued(self) -> int:
        """Count the messages in the queue."""
        with redis.Redis(port=self.broker.port) as client:
            return int(client.llen(QUEUE_INSPECTION))

    def archived(self) -> list[Path]:
        """Return the files in the archive."""
        return [p for p in self.archive.root.rglob("*") if p.is_file()]


@pytest.fixture
def site(tmp_path: Path, broker: Broker) -> Iterator[Site]:
    """A site on SQLite with a running broker."""
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite3'}")
    records.migrate()
    site = Site(tmp_path, records, broker)
    yield site
    site.close()
    records.close()


def test_an_instance_goes_all_the_way(site: Site) -> None:
    """An instance moves from the spool to archive, records and queue."""
    site.receive("1.2.3")
    site.start()
    wait_for(lambda: site.queued() == 1)
    wait_for(lambda: site.spool.names() == [])
    assert len(site.archived()) == 1
    assert site.count(instances) == 1
    wait_for(lambda: dispatching.undispatched_instances(site.records) == [])


def test_instances_share_a_message(site: Site) -> None:
    """Instances received together are published together, 32 per message."""
    for number in range(80):
        site.receive(f"1.2.{number}")
    publisher = site.publisher()
    publisher.start()
    # What its first look finds in the records is published by that too.
    wait_for(lambda: publisher._sweep_at)
    indexer = Indexer(site.spool, site.archive, site.records, publisher)
    assert indexer.round() == 80
    wait_for(lambda: dispatching.undispatched_instances(site.records) == [])
    publisher.stop(45)
    assert site.queued() == 3


def test_the_same_instance_twice_is_one(site: Site) -> None:
    """Identical bytes are counted as a reception and stored once."""
    site.receive("1.2.3")
    site.receive("1.2.3")
    assert site.indexer().round() == 2
    assert (site.count(instances), site.count(receptions)) == (1, 2)
    assert len(site.archived()) == 1


def test_other_bytes_under_the_same_uid_are_kept(site: Site) -> None:
    """Other bytes with a known SOP Instance UID are stored beside the first ones."""
    site.receive("1.2.3")
    site.receive("1.2.3", more=b"\xe0\x7f\x10\x00\x02\x00\x00\x00ab")
    assert site.indexer().round() == 2
    assert site.count(instances) == 2
    assert len(site.archived()) == 2


def test_an_unparsable_data_set_is_kept_with_the_reason(site: Site) -> None:
    """A Data Set without a series is archived and becomes a dead letter at once."""
    site.receive("1.2.3", data=data_set(CT_IMAGE_STORAGE, "1.2.3")[:60])
    site.receive("1.2.4")
    assert site.indexer().round() == 2
    assert (site.count(instances), site.count(dead_letters)) == (2, 1)
    assert len(site.archived()) == 2


STEPS = ["_archive_one", "_archive_all", "_register", "_remove", "_index"]


def _struck(step: str, moment: str) -> type[Indexer]:
    """Return an indexer that is killed before or after a step, the first time only."""

    class Dying(Indexer):
        struck = False

    def dying(self: Any, *arguments: Any) -> Any:
        first, self.struck = not self.struck, True
        if first and moment == "before":
            raise Struck
        result = getattr(Indexer, step)(self, *arguments)
        if first and moment == "after":
            raise Struck
        return result

    setattr(Dying, step, dying)
    return Dying


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_costs_nothing(site: Site, step: str, moment: str) -> None:
    """After a kill before or after any step a new indexer completes the work once."""
    for number in range(3):
        site.receive(f"1.2.{number}")
    with pytest.raises(Struck):
        site.indexer(_struck(step, moment)).round()
    site.start()
    wait_for(lambda: site.spool.names() == [])
    wait_for(lambda: dispatching.undispatched_instances(site.records) == [])
    assert (site.count(instances), site.count(receptions)) == (3, 3)
    assert len(site.archived()) == 3
    assert site.queued() >= 1


def test_a_crash_amid_removing_costs_nothing(site: Site, monkeypatch: Any) -> None:
    """After a kill with half of the files removed the others are not recorded again."""
    for number in range(4):
        site.receive(f"1.2.{number}")
    remove = Spool.remove
    calls = iter(range(10))

    def dying(spool: Spool, name: str) -> None:
        if next(calls) == 2:
            raise Struck
        remove(spool, name)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "remove", dying)
        with pytest.raises(Struck):
            site.indexer().round()
    assert len(site.spool.names()) == 2
    assert site.indexer().round() == 2
    assert (site.count(instances), site.count(receptions)) == (4, 4)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_around_publishing_costs_nothing(
    site: Site, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill before or after a message its instances are published again."""
    site.receive("1.2.3")
    site.indexer().round()
    inspect = Dispatcher.inspect

    def dying(dispatcher: Dispatcher, ids: Sequence[int]) -> None:
        if moment == "after":
            inspect(dispatcher, ids)
        raise Struck

    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "inspect", dying)
        with pytest.raises(Struck):
            site.publisher().publish(dispatching.undispatched_instances(site.records))
    assert len(dispatching.undispatched_instances(site.records)) == 1
    site.start()
    wait_for(lambda: dispatching.undispatched_instances(site.records) == [])
    assert site.queued() == (2 if moment == "after" else 1)


def test_a_stubborn_file_does_not_stop_the_others(site: Site) -> None:
    """A file that cannot be indexed stays, readiness names it, and others continue."""
    stubborn = site.spool.ready / "0-stubborn.dcm"
    stubborn.write_bytes(b"not ours")
    site.receive("1.2.3")
    indexer = site.indexer()
    assert indexer.round() == 1
    assert site.count(instances) == 1
    assert stubborn.exists()
    assert "1 files" in str(indexer.problem())
    assert indexer.round() == 0
    stubborn.unlink()
    indexer.round()
    assert indexer.problem() is None


def test_one_refused_row_does_not_stop_the_batch(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the records refuse one instance of a batch the others are recorded."""
    for number in range(3):
        site.receive(f"1.2.{number}")
    register = registration.register

    def picky(records: Records, batch: Sequence[Any]) -> Any:
        if any(i.sop_instance_uid == "1.2.1" for i in batch):
            raise ValueError("no such row")
        return register(records, batch)

    monkeypatch.setattr(registration, "register", picky)
    assert site.indexer().round() == 2
    assert site.count(instances) == 2
    assert len(site.spool.names()) == 1


def test_without_records_the_spool_keeps_all(site: Site) -> None:
    """Without the database files stay in the spool; later all are indexed."""
    path = site.root / "elsewhere" / "records.sqlite3"
    site.records.close()
    site.records = Records.open(f"sqlite:///{path}")
    path.parent.rmdir()
    site.receive("1.2.3")
    with pytest.raises(RecordsUnavailable):
        site.indexer().round()
    assert len(site.spool.names()) == 1
    site.start()
    path.parent.mkdir()
    wait_for(lambda: site.spool.names() == [])
    assert site.count(instances) == 1


def test_without_a_broker_indexing_goes_on(site: Site) -> None:
    """Without Redis instances are indexed; later all are published."""
    site.broker.kill()
    site.start()
    for number in range(40):
        site.receive(f"1.2.{number}")
    wait_for(lambda: site.count(instances) == 40)
    assert len(dispatching.undispatched_instances(site.records)) == 40
    site.broker.start()
    wait_for(lambda: dispatching.undispatched_instances(site.records) == [])
    assert site.queued() >= 2


def test_a_frozen_broker_does_not_block_indexing(site: Site) -> None:
    """While Redis accepts and does not answer, instances are indexed."""
    site.start()
    site.receive("1.2.0")
    wait_for(lambda: site.queued() == 1)
    site.broker.freeze()
    for number in range(1, 20):
        site.receive(f"1.2.{number}")
    wait_for(lambda: site.count(instances) == 20)
    site.broker.thaw()
    wait_for(lambda: dispatching.undispatched_instances(site.records) == [])


@pytest.fixture
def anywhere(records: Records, tmp_path: Path, broker: Broker) -> Iterator[Site]:
    """A site on SQLite and on PostgreSQL."""
    site = Site(tmp_path, records, broker)
    yield site
    site.close()


def test_indexing_is_the_same_on_each_database(anywhere: Site) -> None:
    """With both databases instances move from the spool to the queue."""
    anywhere.receive("1.2.3")
    anywhere.receive("1.2.3")
    anywhere.start()
    wait_for(lambda: anywhere.queued() >= 1)
    wait_for(lambda: anywhere.spool.names() == [])
    assert (anywhere.count(instances), anywhere.count(receptions)) == (1, 2)
