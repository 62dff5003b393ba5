"""Requests of storage commitment, until their report is accepted or given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, or_, select, update

from veritag.records.engine import Records, clean_text
from veritag.records.schema import commitments, instances
from veritag.records.states import CommitmentState
from veritag.storage.commitment_folder import CommitmentRequest, ReferencedInstance

# No retry is planned so far ahead: the clock was set back.
_CLOCK_JUMPED = timedelta(hours=12)
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class DueCommitment:
    """A request whose report is due."""

    commitment_id: int
    transaction_uid: str
    calling_ae_title: str
    called_ae_title: str
    references: tuple[ReferencedInstance, ...]
    received_at: datetime
    attempts: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class CommitmentRow:
    """A request for the pages; `committed` counts the instances that were safe."""

    commitment_id: int
    transaction_uid: str
    calling_ae_title: str
    instances: int
    committed: int | None
    received_at: datetime
    state: CommitmentState
    attempts: int
    ended_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class CommitmentCounts:
    """Number of requests in each state."""

    waiting: int
    reported: int
    failed: int
    oldest_waiting_at: datetime | None


def add_commitment(records: Records, name: str, request: CommitmentRequest) -> None:
    """Record a request; repeated with the same file name it changes nothing."""
    values = {
        "name": name,
        "transaction_uid": request.transaction_uid,
        "calling_ae_title": clean_text(request.calling_ae_title, 64),
        "called_ae_title": clean_text(request.called_ae_title, 64),
        "references": [
            [r.sop_class_uid, r.sop_instance_uid] for r in request.references
        ],
        "instances": len(request.references),
        "received_at": request.received_at,
        "state": CommitmentState.WAITING,
        "attempts": 0,
        "due_at": datetime.now(UTC),
    }
    with records.begin() as connection:
        connection.execute(
            records.insert(commitments).values(values).on_conflict_do_nothing()
        )


def due_commitments(records: Records, limit: int) -> list[DueCommitment]:
    """Return the requests whose report is due, the longest due first."""
    now = datetime.now(UTC)
    late = commitments.c.due_at > now + _CLOCK_JUMPED
    with records.read() as connection:
        rows = connection.execute(
            select(commitments)
            .where(
                commitments.c.state == CommitmentState.WAITING,
                or_(commitments.c.due_at <= now, late),
            )
            .order_by(commitments.c.due_at)
            .limit(limit)
        )
        return [
            DueCommitment(
                row.id,
                row.transaction_uid,
                row.calling_ae_title,
                row.called_ae_title,
                tuple(ReferencedInstance(*pair) for pair in row.references),
                row.received_at,
                row.attempts,
                row.due_at,
            )
            for row in rows
        ]


def claim_commitment(
    records: Records, commitment: DueCommitment, next_due: datetime
) -> bool:
    """Claim a request; False where another process was faster.

    If this process dies, the request is due again at `next_due`.
    """
    with records.begin() as connection:
        claimed = connection.execute(
            update(commitments)
            .where(
                commitments.c.id == commitment.commitment_id,
                commitments.c.state == CommitmentState.WAITING,
                # The version of the row: of two processes one finds it changed.
                commitments.c.attempts == commitment.attempts,
            )
            .values(attempts=commitment.attempts + 1, due_at=next_due)
        )
    return claimed.rowcount == 1


def postpone_commitment(
    records: Records, commitment_id: int, due_at: datetime, reason: str
) -> None:
    """Store why a report was not accepted, and when it is tried again."""
    with records.begin() as connection:
        connection.execute(
            update(commitments)
            .where(commitments.c.id == commitment_id)
            .values(due_at=due_at, reason=clean_text(reason))
        )


def end_commitment(
    records: Records,
    commitment_id: int,
    state: CommitmentState,
    *,
    committed: int | None = None,
    reason: str | None = None,
) -> None:
    """Record that a report was accepted, or given up."""
    with records.begin() as connection:
        connection.execute(
            update(commitments)
            .where(commitments.c.id == commitment_id)
            .values(
                state=state,
                ended_at=datetime.now(UTC),
                committed=committed,
                reason=clean_text(reason),
            )
        )


def archived_instances(
    records: Records, sop_instance_uids: Sequence[str]
) -> dict[str, list[tuple[str, str]]]:
    """Return SOP Instance UID to the (SOP Class UID, archive key) recorded for it."""
    archived: dict[str, list[tuple[str, str]]] = {}
    columns = instances.c.sop_instance_uid, instances.c.sop_class_uid
    with records.read() as connection:
        for start in range(0, len(sop_instance_uids), _CHUNK):
            uids = sop_instance_uids[start : start + _CHUNK]
            query = select(*columns, instances.c.archive_key).where(
                instances.c.sop_instance_uid.in_(uids),
                # A file that retention is about to remove is not safe.
                instances.c.removing_at.is_(None),
            )
            for uid, sop_class, key in connection.execute(query):
                archived.setdefault(uid, []).append((sop_class, key))
    return archived


def recent_commitments(records: Records, limit: int = 100) -> list[CommitmentRow]:
    """Return the newest requests, newest first."""
    columns = (
        commitments.c[name]
        for name in (
            "id transaction_uid calling_ae_title instances committed received_at state "
            "attempts ended_at reason"
        ).split()
    )
    with records.read() as connection:
        rows = connection.execute(
            select(*columns).order_by(commitments.c.id.desc()).limit(limit)
        )
        return [CommitmentRow(*row) for row in rows]


def commitment_counts(records: Records) -> CommitmentCounts:
    """Return the number of requests in each state."""
    with records.read() as connection:
        rows = connection.execute(
            select(commitments.c.state, func.count()).group_by(commitments.c.state)
        )
        count = dict(map(tuple, rows))
        oldest = connection.scalar(
            select(func.min(commitments.c.received_at)).where(
                commitments.c.state == CommitmentState.WAITING
            )
        )
    return CommitmentCounts(
        count.get(CommitmentState.WAITING, 0),
        count.get(CommitmentState.REPORTED, 0),
        count.get(CommitmentState.FAILED, 0),
        oldest,
    )
