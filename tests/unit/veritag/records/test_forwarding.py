"""The queue of destinations, on SQLite and PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from veritag.records import Records
from veritag.records.audit import audit_trail
from veritag.records.delivery.destinations import destination_states, sync_destinations
from veritag.records.delivery.forwarding import (
    ForwardOutcome,
    NothingParked,
    due_forwards,
    parked_forwards,
    retry_parked,
    senders_of,
    store_outcomes,
)
from veritag.records.reception.registration import register
from veritag.records.states import ForwardState
from veritag.storage.stored_instance import StoredInstance

Reception = Callable[..., StoredInstance]


def test_each_distinct_instance_is_queued_once_for_each_destination(
    records: Records, reception: Reception
) -> None:
    """New and conflicting instances are queued in their transaction, repeated ones not."""
    ids = sync_destinations(records, {"one": None, "two": None})
    first = reception()
    conflicting = reception(sop_instance_uid=first.sop_instance_uid)
    again = reception(sop_instance_uid=first.sop_instance_uid, digest=first.digest)
    register(records, [first, conflicting, again])
    register(records, [first, conflicting, again])
    for destination_id in ids.values():
        due = due_forwards(records, destination_id, 10)
        assert [f.archive_key for f in due] == [
            first.archive_key,
            conflicting.archive_key,
        ]
    found = senders_of(records, [f.instance_id for f in due])
    assert set.union(*found.values()) == {"SCANNER1"}


def test_outcomes_move_instances_and_are_counted(
    records: Records, reception: Reception
) -> None:
    """Sent, skipped and parked instances are not due; a postponed one is due later."""
    ids = sync_destinations(records, {"one": None})
    register(records, [reception() for _ in range(5)])
    due = due_forwards(records, ids["one"], 10)
    soon = datetime.now(UTC) + timedelta(minutes=5)
    outcomes = [
        ForwardOutcome(due[0].forward_id, ForwardState.SENT),
        ForwardOutcome(due[1].forward_id, ForwardState.SKIPPED),
        ForwardOutcome(due[2].forward_id, ForwardState.PARKED, "not accepted\x00"),
        ForwardOutcome(due[3].forward_id, ForwardState.WAITING, "busy", soon),
    ]
    store_outcomes(records, ids["one"], outcomes)
    assert [f.forward_id for f in due_forwards(records, ids["one"], 10)] == [
        due[4].forward_id
    ]
    (state,) = destination_states(records)
    assert (state.waiting, state.sent, state.skipped, state.parked) == (2, 1, 1, 1)
    assert state.last_failure == "busy"
    assert state.oldest_seconds > 0


def test_what_was_refused_comes_after_the_others(
    records: Records, reception: Reception
) -> None:
    """Refused instances come after untried ones; not every attempt counts."""
    ids = sync_destinations(records, {"one": None})
    register(records, [reception() for _ in range(3)])
    first, second, third = due_forwards(records, ids["one"], 10)
    before = datetime.now(UTC) - timedelta(minutes=1)
    refused = ForwardOutcome(
        first.forward_id, ForwardState.WAITING, "full", before, counted=False
    )
    store_outcomes(records, ids["one"], [refused])
    assert due_forwards(records, ids["one"], 10) == [second, third, first]
    assert due_forwards(records, ids["one"], 2) == [second, third]


def test_parked_instances_are_tried_again_by_a_person(
    records: Records, reception: Reception
) -> None:
    """They are due at once with no attempts, and the audit trail names the reviewer."""
    ids = sync_destinations(records, {"one": None})
    register(records, [reception()])
    (due,) = due_forwards(records, ids["one"], 10)
    store_outcomes(
        records, ids["one"], [ForwardOutcome(due.forward_id, ForwardState.PARKED, "no")]
    )
    (parked,) = parked_forwards(records, ids["one"])
    assert (parked.reason, parked.attempts) == ("no", 1)
    assert retry_parked(records, ids["one"], "Ada") == 1
    (again,) = due_forwards(records, ids["one"], 10)
    assert again.attempts == 0
    assert audit_trail(records)[0].kind == "forwards_retried"
    with pytest.raises(NothingParked):
        retry_parked(records, ids["one"], "Ada")
    assert len(audit_trail(records)) == 1


def test_a_clock_that_was_set_back_delays_nothing_for_long(
    records: Records, reception: Reception
) -> None:
    """An instance that is due beyond every planned delay is due now."""
    ids = sync_destinations(records, {"one": None})
    register(records, [reception()])
    (due,) = due_forwards(records, ids["one"], 10)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    store_outcomes(
        records,
        ids["one"],
        [ForwardOutcome(due.forward_id, ForwardState.WAITING, "busy", tomorrow)],
    )
    assert len(due_forwards(records, ids["one"], 10)) == 1


def test_a_destination_is_queued_for_from_when_it_is_named(
    records: Records, reception: Reception
) -> None:
    """`since` queues older instances once; an inactive destination gets none."""
    register(records, [reception(), reception(seconds_ago=7200)])
    ids = sync_destinations(records, {"one": None})
    assert due_forwards(records, ids["one"], 10) == []
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    for _ in range(2):
        sync_destinations(records, {"one": hour_ago})
        assert len(due_forwards(records, ids["one"], 10)) == 1
    sync_destinations(records, {})
    register(records, [reception()])
    (state,) = destination_states(records)
    assert (state.active, state.waiting) == (False, 1)
