"""Repeated instances: from several senders at the same moment, and after removal."""

import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update

from services.indexer.indexer import Indexer
from services.indexer.publisher import Publisher
from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import CT_IMAGE_STORAGE, IMPLICIT, Peer, data_set
from tests.real_parts import program
from veritag.messaging.dispatcher import Dispatcher
from veritag.phantoms.series import phantom_series
from veritag.records import Records
from veritag.records.reception.retention import remove_marked
from veritag.records.schema import instances, receptions
from veritag.records.states import ReceptionKind
from veritag.settings import Settings
from veritag.storage.archive import Archive
from veritag.storage.spool import Spool, SpoolInUse

SENDERS = 6
OFFER = (CT_IMAGE_STORAGE, [IMPLICIT])
NOTE = b"\xe0\x7f\x10\x00\x02\x00\x00\x00"


class Site:
    """A listener in this process with an indexer that works on demand."""

    def __init__(self, listening: Listening, records: Records) -> None:
        self.listening = listening
        self.records = records
        self.archive = Archive(listening.settings.archive_dir)
        self.archive.root.mkdir()

    def index(self) -> None:
        """Index all received instances."""
        dispatcher = Dispatcher.open(Settings(broker_url="redis://127.0.0.1:1/0"))
        publisher = Publisher(self.records, dispatcher, 1.0)
        Indexer(self.listening.spool, self.archive, self.records, publisher).round()

    def store(self, data: bytes, uid: str = "1.2.3") -> int:
        """Send an instance over an association of its own; return the status."""
        with Peer(self.listening.port).associate(OFFER) as peer:
            return peer.store(data, CT_IMAGE_STORAGE, uid).status

    def kinds(self) -> Counter[str]:
        """Return the numbers of receptions by kind."""
        with self.records.read() as connection:
            return Counter(connection.scalars(select(receptions.c.kind)))

    def files(self) -> list[Path]:
        """Return the files of the archive."""
        return sorted(p for p in self.archive.root.rglob("*") if p.is_file())


@pytest.fixture
def site(listening: Listening, records: Records) -> Site:
    """A site on each database."""
    return Site(listening, records)


def at_once(site: Site, sent: list[bytes]) -> list[int]:
    """Send from several threads that start together; return the statuses."""
    barrier, statuses = threading.Barrier(len(sent)), []

    def send(data: bytes) -> None:
        barrier.wait(60)
        statuses.append(site.store(data))

    threads = [threading.Thread(target=send, args=(data,)) for data in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return statuses


def test_one_instance_from_several_senders_at_once(site: Site) -> None:
    """Each sender gets 0x0000; the instance is stored once, and each reception counted."""
    data = data_set(CT_IMAGE_STORAGE, "1.2.3", more=NOTE + b"ab")
    assert at_once(site, [data] * SENDERS) == [0x0000] * SENDERS
    site.index()
    assert len(site.files()) == 1
    assert site.kinds() == {ReceptionKind.NEW: 1, ReceptionKind.IDENTICAL: SENDERS - 1}


def test_two_versions_of_one_instance_at_once(site: Site) -> None:
    """Both versions are stored, once each, and both are marked as a conflict."""
    versions = [
        data_set(CT_IMAGE_STORAGE, "1.2.3", more=NOTE + text) for text in (b"ab", b"cd")
    ]
    assert at_once(site, versions * 3) == [0x0000] * 6
    site.index()
    assert len(site.files()) == 2
    assert site.kinds() == {
        ReceptionKind.NEW: 1,
        ReceptionKind.CONFLICT: 1,
        ReceptionKind.IDENTICAL: 4,
    }
    with site.records.read() as connection:
        assert list(connection.scalars(select(instances.c.conflict))) == [True, True]


def test_dcmtk_senders_of_one_series_at_once(site: Site, tmp_path: Path) -> None:
    """Three DCMTK senders of the same files get no refusal and leave no duplicate."""
    folder = tmp_path / "outgoing"
    folder.mkdir()
    series = phantom_series("CT-HEAD", patient=1, instances=4, seed=8, size=64)
    for n, ds in enumerate(series):
        ds.save_as(folder / f"{n}.dcm", enforce_file_format=True)
    command = [program("dcmsend"), "-v", "+sd", "127.0.0.1", str(site.listening.port)]
    senders = [
        subprocess.Popen(
            [*command, str(folder)],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    outputs = [sender.communicate(timeout=120)[0] for sender in senders]
    assert all("with status SUCCESS  : 4" in text for text in outputs), outputs[0]
    site.index()
    assert len(site.files()) == 4
    assert site.kinds() == {ReceptionKind.NEW: 4, ReceptionKind.IDENTICAL: 8}


def test_an_instance_that_was_removed_is_kept_anew(site: Site) -> None:
    """Received again after retention removed it, the instance gets its file back."""
    data = data_set(CT_IMAGE_STORAGE, "1.2.3", more=NOTE + b"ab")
    site.store(data)
    site.index()
    [before] = [path.read_bytes()[-len(data) :] for path in site.files()]
    with site.records.begin() as connection:
        connection.execute(update(instances).values(removing_at=datetime.now(UTC)))
    remove_marked(site.records, site.archive.remove, 10)
    assert site.files() == []
    assert site.store(data) == 0x0000
    site.index()
    assert [path.read_bytes()[-len(data) :] for path in site.files()] == [before]
    assert site.kinds() == {ReceptionKind.NEW: 1, ReceptionKind.IDENTICAL: 1}
    with site.records.read() as connection:
        assert connection.scalar(select(instances.c.removed_at)) is None


def test_a_removal_between_archiving_and_recording_takes_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is removed after the indexer found it in the archive is written again."""
    data = data_set(CT_IMAGE_STORAGE, "1.2.3", more=NOTE + b"ab")
    site.store(data)
    site.index()
    with site.records.begin() as connection:
        connection.execute(update(instances).values(removing_at=datetime.now(UTC)))
    site.store(data)
    sync = Archive.sync

    def remove_then_sync(archive: Archive, keys: Iterator[str]) -> None:
        monkeypatch.setattr(Archive, "sync", sync)
        sync(archive, keys)
        assert len(remove_marked(site.records, site.archive.remove, 10)) == 1

    monkeypatch.setattr(Archive, "sync", remove_then_sync)
    site.index()
    assert len(site.files()) == 1
    assert site.listening.spool.names() == []


def test_a_spool_has_one_indexer(tmp_path: Path) -> None:
    """A second indexer of the same host ends with a message."""
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    with spool.lock("indexer"), pytest.raises(SpoolInUse):
        spool.lock("indexer")


def test_indexers_of_two_hosts_with_one_archive(
    site: Site, records_url: str, tmp_path: Path
) -> None:
    """Two hosts receive the same instances and index at once: each is recorded once."""
    other_spool = Spool(tmp_path / "other" / "spool")
    other_spool.prepare()
    for number in range(20):
        uid = f"1.2.{number}"
        assert site.store(data_set(CT_IMAGE_STORAGE, uid), uid) == 0x0000
    for name in site.listening.spool.names():
        (other_spool.ready / f"1{name}").write_bytes(
            site.listening.spool.path(name).read_bytes()
        )
    others = Records.open(records_url)
    dispatcher = Dispatcher.open(Settings(broker_url="redis://127.0.0.1:1/0"))
    other = Indexer(
        other_spool, site.archive, others, Publisher(others, dispatcher, 1.0)
    )
    thread = threading.Thread(target=other.round)
    thread.start()
    site.index()
    thread.join(60)
    for spool in (site.listening.spool, other_spool):
        assert spool.names() == []
    assert len(site.files()) == 20
    assert site.kinds() == {ReceptionKind.NEW: 20, ReceptionKind.IDENTICAL: 20}
    others.close()
