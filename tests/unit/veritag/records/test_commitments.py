"""Requests of storage commitment, on SQLite and PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from veritag.records import Records
from veritag.records.delivery.commitments import (
    add_commitment,
    archived_instances,
    claim_commitment,
    commitment_counts,
    due_commitments,
    end_commitment,
    postpone_commitment,
    recent_commitments,
)
from veritag.records.reception.registration import register
from veritag.records.states import CommitmentState
from veritag.storage.commitment_folder import CommitmentRequest, ReferencedInstance
from veritag.storage.stored_instance import StoredInstance

CT = "1.2.840.10008.5.1.4.1.1.2"


def request(*uids: str) -> CommitmentRequest:
    """Return a request about CT images."""
    references = tuple(ReferencedInstance(CT, uid) for uid in uids)
    now = datetime.now(UTC)
    return CommitmentRequest("1.2.9", references, "SCANNER1", "VERITAG", "a-1", now)


def test_a_request_is_recorded_once_and_comes_back_whole(records: Records) -> None:
    """Recording it again under the same file name changes nothing."""
    requested = request("1.2.3", "1.2.4")
    for _ in range(2):
        add_commitment(records, "1.json", requested)
    (found,) = due_commitments(records, 10)
    assert found.references == requested.references
    assert (found.calling_ae_title, found.called_ae_title) == ("SCANNER1", "VERITAG")
    assert found.received_at == requested.received_at


def test_one_process_has_a_request_in_hand(records: Records) -> None:
    """The second claim fails; a claimed request is due only at its next moment."""
    add_commitment(records, "1.json", request("1.2.3"))
    (found,) = due_commitments(records, 10)
    later = datetime.now(UTC) + timedelta(minutes=2)
    assert claim_commitment(records, found, later)
    assert not claim_commitment(records, found, later)
    assert due_commitments(records, 10) == []
    postpone_commitment(records, found.commitment_id, datetime.now(UTC), "away")
    (again,) = due_commitments(records, 10)
    assert again.attempts == 1


def test_ends_are_counted_and_shown(records: Records) -> None:
    """Requests are listed newest first, with committed instances or a reason."""
    for name in "123":
        add_commitment(records, f"{name}.json", request("1.2.3"))
    first, second, third = due_commitments(records, 10)
    end_commitment(records, first.commitment_id, CommitmentState.REPORTED, committed=1)
    end_commitment(records, second.commitment_id, CommitmentState.FAILED, reason="away")
    counts = commitment_counts(records)
    assert (counts.waiting, counts.reported, counts.failed) == (1, 1, 1)
    assert counts.oldest_waiting_at == third.received_at
    rows = recent_commitments(records)
    assert [row.state for row in rows] == ["waiting", "failed", "reported"]
    assert rows[1].reason == "away"


def test_archived_instances_are_found_by_uid(
    records: Records, reception: Callable[..., StoredInstance]
) -> None:
    """Every version of a UID is returned with its class, for thousands of UIDs at once."""
    stored = reception()
    register(records, [stored])
    uids = [*(f"1.9.{n}" for n in range(1200)), stored.sop_instance_uid]
    assert archived_instances(records, uids) == {
        stored.sop_instance_uid: [(CT, stored.archive_key)]
    }
