"""A kill before any file operation loses and doubles no acknowledged instance."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from services.indexer.indexer import Indexer
from services.indexer.publisher import Publisher
from tests.faults.reception import (
    data_of,
    files_by_uid,
    instance,
    is_taken,
    listener,
    settings,
)
from tests.faults.steps import KILLED, PageCache, Recorder, Step
from tests.integration.listener.wire import CT_IMAGE_STORAGE, IMPLICIT
from tests.waiting import wait_for
from veritag.dicom.part10 import encode_file_meta
from veritag.messaging.dispatcher import Dispatcher
from veritag.records import Records
from veritag.records.schema import instances, receptions
from veritag.settings import Settings
from veritag.storage.archive import Archive
from veritag.storage.spool import Spool
from veritag.storage.stored_instance import Provenance

_BROKER = "VERITAG_BROKER_URL"
# More steps than any process takes here: the loops end long before.
_MOST_STEPS = 60


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("reception", "large"), [("fast", False), ("fast", True), ("stock", False)]
)
def test_a_listener_killed_before_any_step(
    recorder: Recorder, reception: str, *, large: bool
) -> None:
    """After a kill at any step all acknowledged instances are complete."""
    variables = settings(recorder, reception)
    port = int(variables["VERITAG_DICOM_PORT"])
    acknowledged, killed = {}, 0
    for kill_at in range(1, _MOST_STEPS):
        uid, data = instance(kill_at, large=large)
        with listener(recorder, variables, kill_at) as process:
            taken = is_taken(port, uid, data)
            process.kill()
            process.wait()
            was_killed = not taken or recorder.steps()[-1].name == "killed"
        if taken:
            acknowledged[uid] = data
        killed += was_killed
        if not was_killed:
            break
    assert killed >= 4
    assert not was_killed
    ready = files_by_uid(recorder.under / "spool" / "ready")
    assert [
        uid for uid in acknowledged if acknowledged[uid] not in map(data_of, ready[uid])
    ] == []
    with listener(recorder, variables):
        assert list((recorder.under / "spool" / "incoming").iterdir()) == []


class Indexing:
    """A data directory with acknowledged instances, one of them twice."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.variables = settings(recorder)
        configured = Settings(data_dir=recorder.under)
        self.spool = Spool(configured.spool_dir)
        self.spool.prepare()
        (recorder.under / "archive").mkdir()
        self.records = Records.open(configured.records_url)
        self.records.migrate()
        self.sent = dict(map(instance, range(2)))
        for uid in [*self.sent, "1.2.3.1"]:
            self._receive(uid)

    def _receive(self, uid: str) -> None:
        origin = Provenance("CT1", "VERITAG", "127.0.0.1", "a1", datetime.now(UTC))
        header = encode_file_meta(CT_IMAGE_STORAGE, uid, IMPLICIT, origin)
        self.spool.store((header, self.sent[uid]))

    def index(self, kill_at: int = 0) -> bool:
        """Run an indexer until the spool is empty; return whether it was killed before."""
        command = ("services.indexer", "index")
        process = self.recorder.start(
            *command, settings=self.variables, kill_at=kill_at
        )
        try:
            wait_for(lambda: not self.spool.names() or process.poll() is not None, 90)
            was_killed = process.poll() is not None
        finally:
            process.kill()
            status = process.wait()
        assert status == KILLED
        return was_killed

    def finish(self) -> None:
        """Run the work of another indexer in this process."""
        dispatcher = Dispatcher.open(Settings(broker_url=self.variables[_BROKER]))
        publisher = Publisher(self.records, dispatcher, 1.0)
        archive = Archive(self.recorder.under / "archive")
        Indexer(self.spool, archive, self.records, publisher).round()

    def problems(self) -> Iterator[str]:
        """Yield the differences from the state after indexing."""
        archived = files_by_uid(self.recorder.under / "archive")
        for uid, data in self.sent.items():
            if [data_of(path) for path in archived.get(uid, [])] != [data]:
                yield f"{uid} is not once in the archive"
        for table, expected in ((instances, 2), (receptions, 3)):
            with self.records.read() as connection:
                found = connection.scalar(select(func.count()).select_from(table))
            if found != expected:
                yield f"{found} rows in {table.name}"
        if self.spool.names():
            yield "the spool is not empty"

    def holds(self) -> bool:
        """Return whether each instance is complete in the spool or in the archive."""
        found = files_by_uid(self.recorder.under)
        return all(
            data in map(data_of, found.get(u, [])) for u, data in self.sent.items()
        )


@pytest.mark.timeout(400)
def test_an_indexer_killed_before_any_step(recorder: Recorder) -> None:
    """After a kill at any step the next indexer finishes the work."""
    killed = 0
    for kill_at in range(1, _MOST_STEPS):
        data_dir = recorder.under / str(kill_at)
        data_dir.mkdir()
        testbed = Indexing(Recorder(recorder.shim, recorder.log, data_dir))
        if not testbed.index(kill_at):
            break
        killed += 1
        assert testbed.holds()
        testbed.finish()
        assert list(testbed.problems()) == []
        testbed.records.close()
    assert killed >= 8
    assert list(testbed.problems()) == []
    testbed.records.close()


def test_a_power_cut_at_any_step_of_indexing(recorder: Recorder) -> None:
    """Each instance is durable at any time, and leaves the spool only when recorded."""
    testbed = Indexing(recorder)
    cache = PageCache(str(recorder.under))
    cache.hold(recorder.under.rglob("*"))
    places = {
        uid: [str(path) for path in paths]
        for uid, paths in files_by_uid(recorder.under / "spool" / "ready").items()
    }
    assert not testbed.index()
    assert list(testbed.problems()) == []
    for uid, paths in files_by_uid(recorder.under / "archive").items():
        places[uid] += map(str, paths)
    log = str(recorder.under / "records.sqlite3-wal")
    for step in recorder.steps():
        if _leaves_spool(step):
            assert cache.is_whole(cache.now[log]), step
        cache.take(step)
        for uid, some in places.items():
            assert any(map(cache.surely_has, some)), (uid, step)
    testbed.records.close()


def _leaves_spool(step: Step) -> bool:
    return step.name == "unlinked" and "/spool/ready/" in step.path
