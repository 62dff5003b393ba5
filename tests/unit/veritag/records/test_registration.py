"""Registration of received instances."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from tests.unit.veritag.records.held_commit import commit_held, statement_sent
from veritag.records import Records
from veritag.records.inspection.attempts import pending_instances
from veritag.records.reception.dispatching import (
    mark_dispatched,
    stale_instances,
    undispatched_instances,
)
from veritag.records.reception.registration import register
from veritag.records.schema import instances
from veritag.records.status import system_counts
from veritag.storage.stored_instance import StoredInstance

Make = Callable[..., StoredInstance]


def test_a_repeated_call_records_nothing_twice(
    records: Records, reception: Make
) -> None:
    """After a crash the indexer may register the same spool files again."""
    received = [reception() for _ in range(3)]
    assert len(register(records, received).new_ids) == 3
    assert register(records, received).new_ids == ()
    assert (system_counts(records).received, system_counts(records).indexed) == (3, 3)


def test_an_identical_instance_sent_again_is_a_counted_no_op(
    records: Records, reception: Make
) -> None:
    """Two receptions of the same bytes are two receptions of one instance."""
    first = reception()
    again = reception(sop_instance_uid=first.sop_instance_uid, digest=first.digest)
    register(records, [first])
    result = register(records, [again])
    assert (result.new_ids, result.identical, result.conflicts) == ((), 1, 0)
    assert (system_counts(records).received, system_counts(records).indexed) == (2, 1)


def test_twins_in_one_batch_are_one_instance(records: Records, reception: Make) -> None:
    """The same bytes twice within one batch are recorded once."""
    first = reception()
    twin = reception(sop_instance_uid=first.sop_instance_uid, digest=first.digest)
    result = register(records, [first, twin])
    assert (len(result.new_ids), result.identical) == (1, 1)


def test_altered_bytes_under_one_uid_are_kept_side_by_side(
    records: Records, reception: Make
) -> None:
    """Both instances are kept, both are marked, within a batch and across batches."""
    one = reception()
    two = reception(sop_instance_uid=one.sop_instance_uid)
    three = reception(sop_instance_uid=one.sop_instance_uid)
    assert register(records, [one, two]).conflicts == 1
    assert register(records, [three]).conflicts == 1
    assert system_counts(records).indexed == 3


def test_two_indexers_at_one_moment_see_each_others_bytes(
    records: Records, records_url: str, reception: Make
) -> None:
    """The second reception finds the conflict, even before the first has committed."""
    one = reception()
    # Of another study: rows of the same study would make the database wait anyway.
    two = reception(sop_instance_uid=one.sop_instance_uid, study_instance_uid="1.2.9")
    conflicts: list[int] = []
    second = threading.Thread(
        target=lambda: conflicts.append(register(records, [two]).conflicts)
    )
    with (
        commit_held(records_url, lambda other: register(other, [one])),
        statement_sent(records),
    ):
        second.start()
    second.join(60)
    assert conflicts == [1]


def test_an_unparsable_instance_is_a_dead_letter_with_its_reason(
    records: Records, reception: Make
) -> None:
    """It has no series and is not published; the other instances are registered."""
    broken = reception(
        study_instance_uid=None, series_instance_uid=None, problem="cannot be parsed"
    )
    result = register(records, [broken, reception()])
    assert (len(result.new_ids), result.unparsable) == (1, 1)
    assert system_counts(records).dead_letters == 1
    assert undispatched_instances(records) == list(result.new_ids)


def test_published_instances_wait_until_they_are_stale(
    records: Records, reception: Make
) -> None:
    """An instance that was published a moment ago is not published again."""
    ids = list(register(records, [reception(), reception()]).new_ids)
    mark_dispatched(records, ids[:1])
    assert undispatched_instances(records) == ids[1:]
    assert stale_instances(records, older_than_seconds=60) == []
    assert stale_instances(records, older_than_seconds=0) == ids


def test_a_clock_that_was_wrong_does_not_hold_up_publishing(
    records: Records, reception: Make
) -> None:
    """An instance with a publishing time in the future is published again."""
    ids = list(register(records, [reception()]).new_ids)
    mark_dispatched(records, ids)
    ahead = datetime.now(UTC) + timedelta(hours=2)
    with records.begin() as connection:
        connection.execute(update(instances).values(dispatched_at=ahead))
    assert stale_instances(records, older_than_seconds=30) == ids


def test_two_studies_may_share_a_series_uid(records: Records, reception: Make) -> None:
    """A series belongs to its study, whatever its UID says."""
    ids = register(
        records, [reception(), reception(study_instance_uid="1.2.3.200")]
    ).new_ids
    found = pending_instances(records, ids)
    assert len({p.series_id for p in found}) == 2


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(uid=st.text(max_size=300))
def test_no_received_uid_can_break_the_records(
    records: Records, reception: Make, uid: str
) -> None:
    """NULs, surrogates, quotes and overlong UIDs are recorded as text."""
    received = reception(sop_instance_uid=uid, study_instance_uid=uid)
    register(records, [received])
    assert system_counts(records).received > 0
