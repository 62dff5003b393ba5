"""Retention: removal of archived files, also across crashes and new receptions."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, insert, select, update

from tests.unit.veritag.records.held_commit import commit_held, statement_sent
from veritag.decisions import Decision
from veritag.findings import (
    Finding,
    FindingCode,
    SeriesJudgement,
    Severity,
    Verdict,
)
from veritag.records import Records
from veritag.records.delivery.destinations import sync_destinations
from veritag.records.delivery.forwarding import due_forwards
from veritag.records.inspection.attempts import pending_instances
from veritag.records.inspection.dead_letters import add_dead_letter
from veritag.records.inspection.series_snapshot import series_snapshot
from veritag.records.inspection.settling import settle
from veritag.records.inspection.verdicts import store_verdicts
from veritag.records.reception.registration import register
from veritag.records.reception.retention import (
    mark_for_removal,
    removable_instances,
    remove_marked,
)
from veritag.records.review.decisions import decide
from veritag.records.schema import destinations, findings, forwards, instances
from veritag.records.states import SettleReason
from veritag.storage.stored_instance import StoredInstance

Make = Callable[..., StoredInstance]
Judge = Callable[..., Verdict]
DAY = 86_400
WRONG = Finding(
    FindingCode.TAG_CONTRADICTS_IMAGE, Severity.ERROR, "BodyPartExamined", "HEAD", 0.9
)


class Archive:
    """Records the removed keys."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def remove(self, keys: Sequence[str]) -> None:
        """Record the keys."""
        self.removed += keys


def settled(records: Records, *findings: Finding) -> None:
    """Settle the only series with these findings."""
    snapshot = series_snapshot(records, 1, "vb-1")
    assert snapshot is not None
    settle(
        records,
        snapshot,
        SeriesJudgement(1, False, findings, ()),
        "vb-1",
        SettleReason.IDLE,
    )


def removable(records: Records, days: float = 30) -> list[int]:
    """Return the ids of removable instances."""
    return [one.instance_id for one in removable_instances(records, days, 100)]


@pytest.fixture
def old(reception: Make) -> StoredInstance:
    """An instance of forty days ago."""
    return reception(seconds_ago=40 * DAY)


@pytest.fixture
def done(records: Records, old: StoredInstance, verdict: Judge) -> int:
    """Inspected and settled without findings."""
    [instance_id] = register(records, [old]).new_ids
    store_verdicts(records, [(instance_id, verdict())])
    settled(records)
    return instance_id


def test_only_what_is_old_enough_is_removable(records: Records, done: int) -> None:
    """Forty days old: gone after thirty, kept for fifty."""
    assert removable(records, 30) == [done]
    assert removable(records, 50) == []


def test_what_is_not_settled_stays(
    records: Records, old: StoredInstance, verdict: Judge
) -> None:
    """Instances without a verdict, or in a series that has not settled, stay."""
    [instance_id] = register(records, [old]).new_ids
    assert removable(records) == []
    store_verdicts(records, [(instance_id, verdict())])
    assert removable(records) == []
    settled(records)
    assert removable(records) == [instance_id]


def test_a_dead_letter_stays(records: Records, old: StoredInstance) -> None:
    """An instance that could not be inspected stays for analysis."""
    [instance_id] = register(records, [old]).new_ids
    add_dead_letter(records, instance_id, "it cannot be read")
    assert removable(records) == []


def test_what_came_again_lately_stays(
    records: Records, done: int, old: StoredInstance, reception: Make
) -> None:
    """Its age counts from its last reception."""
    assert removable(records) == [done]
    uid, digest = old.sop_instance_uid, old.digest
    register(records, [reception(sop_instance_uid=uid, digest=digest)])
    assert removable(records) == []


def test_what_is_in_an_open_finding_stays(
    records: Records, old: StoredInstance, verdict: Judge
) -> None:
    """Its pictures stay for the reviewer until the finding is decided."""
    [instance_id] = register(records, [old]).new_ids
    store_verdicts(records, [(instance_id, verdict())])
    settled(records, WRONG)
    assert removable(records) == []
    with records.read() as connection:
        finding_id = connection.scalar(select(findings.c.id))
    assert finding_id is not None
    decide(records, finding_id, Decision.DISMISSED, "R", shown={})
    assert removable(records) == [instance_id]


@pytest.mark.parametrize(
    ("state", "kept"), [("waiting", True), ("parked", True), ("sent", False)]
)
def test_what_waits_to_be_forwarded_stays(
    records: Records, done: int, *, state: str, kept: bool
) -> None:
    """An instance stays until every destination has it."""
    _forward(records, done, state)
    assert (removable(records) == []) == kept


def _forward(records: Records, instance_id: int, state: str) -> None:
    now = datetime.now(UTC)
    peer = {"name": "PACS", "active": True, "added_at": now, "sent": 0, "skipped": 0}
    with records.begin() as connection:
        [peer_id] = connection.scalars(
            insert(destinations).values(peer).returning(destinations.c.id)
        )
        connection.execute(
            insert(forwards).values(
                destination_id=peer_id,
                instance_id=instance_id,
                state=state,
                attempts=0,
                queued_at=now,
            )
        )


def test_what_is_marked_is_removed_once(records: Records, done: int) -> None:
    """The file is removed after the mark, recorded as removed, and only once."""
    archive = Archive()
    assert remove_marked(records, archive.remove, 10) == []
    mark_for_removal(records, [done], 30)
    assert removable(records) == []
    assert [r.instance_id for r in remove_marked(records, archive.remove, 10)] == [done]
    assert remove_marked(records, archive.remove, 10) == []
    assert len(archive.removed) == 1
    assert pending_instances(records, [done], again=True) == []


def test_what_a_crash_left_marked_is_removed_later(records: Records, done: int) -> None:
    """After a crash during the removal, the next round removes the file."""
    mark_for_removal(records, [done], 30)

    def crash(_keys: Sequence[str]) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        remove_marked(records, crash, 10)
    archive = Archive()
    assert len(remove_marked(records, archive.remove, 10)) == 1
    assert len(archive.removed) == 1


@pytest.mark.parametrize("is_gone", [False, True], ids=["marked", "removed"])
def test_what_is_received_again_is_kept_again(
    records: Records, done: int, old: StoredInstance, reception: Make, *, is_gone: bool
) -> None:
    """It is a known instance, its removal is undone, and its file is archived again."""
    mark_for_removal(records, [done], 30)
    if is_gone:
        remove_marked(records, Archive().remove, 10)
    uid, digest = old.sop_instance_uid, old.digest
    again = register(records, [reception(sop_instance_uid=uid, digest=digest)])
    assert (again.new_ids, again.identical) == ((), 1)
    assert again.restored == frozenset({digest})
    assert remove_marked(records, Archive().remove, 10) == []
    assert removable(records) == []


def test_what_is_received_while_it_is_removed_is_put_back(
    records: Records,
    records_url: str,
    done: int,
    old: StoredInstance,
    reception: Make,
) -> None:
    """The indexer waits for the end of the removal, and then restores the file."""
    mark_for_removal(records, [done], 30)
    removing, go_on = threading.Event(), threading.Event()
    events: list[object] = []
    others = Records.open(records_url)

    def remove(_keys: Sequence[str]) -> None:
        removing.set()
        assert go_on.wait(60)
        events.append("removed")

    remover = threading.Thread(target=remove_marked, args=(others, remove, 10))
    remover.start()
    assert removing.wait(60)
    uid, digest = old.sop_instance_uid, old.digest
    again = reception(sop_instance_uid=uid, digest=digest)
    indexer = threading.Thread(
        target=lambda: events.append(register(records, [again]).restored)
    )
    with statement_sent(records):
        indexer.start()
    go_on.set()
    for thread in (remover, indexer):
        thread.join(60)
    assert events == ["removed", {digest}]
    others.close()


def test_what_is_received_while_it_is_marked_stays(
    records: Records,
    records_url: str,
    done: int,
    old: StoredInstance,
    reception: Make,
) -> None:
    """Marking waits for a reception that is not committed yet."""
    uid, digest = old.sop_instance_uid, old.digest
    again = [reception(sop_instance_uid=uid, digest=digest)]
    marking = threading.Thread(target=mark_for_removal, args=(records, [done], 30))
    with (
        commit_held(records_url, lambda other: register(other, again)),
        statement_sent(records),
    ):
        marking.start()
    marking.join(60)
    assert remove_marked(records, Archive().remove, 10) == []


def test_what_goes_is_not_queued_for_a_new_destination(
    records: Records, done: int
) -> None:
    """`since` queues instances of the archive, not those about to be removed."""
    since = datetime.now(UTC) - timedelta(days=50)
    one = sync_destinations(records, {"one": since})
    assert len(due_forwards(records, one["one"], 10)) == 1
    with records.begin() as connection:
        connection.execute(delete(forwards))
    mark_for_removal(records, [done], 30)
    two = sync_destinations(records, {"two": since})
    assert due_forwards(records, two["two"], 10) == []


def test_findings_of_what_is_gone_are_not_withdrawn(
    records: Records, done: int
) -> None:
    """A late instance does not withdraw findings that rested on removed files."""
    settled(records, WRONG)
    snapshot = series_snapshot(records, 1, "vb-2")
    assert snapshot is not None
    assert snapshot.missing == (done,)
    nothing = SeriesJudgement(1, False, (), ())
    settle(
        records,
        snapshot,
        nothing,
        "vb-2",
        SettleReason.IDLE,
        withdraw=not snapshot.missing,
    )
    with records.read() as connection:
        assert connection.scalar(select(findings.c.withdrawn_at)) is None


def test_a_clock_that_jumps_back_removes_nothing(records: Records, done: int) -> None:
    """An instance with a reception time in the future is not old."""
    ahead = datetime.now(UTC) + timedelta(days=400)
    with records.begin() as connection:
        connection.execute(
            update(instances).where(instances.c.id == done).values(received_at=ahead)
        )
    assert removable(records) == []
