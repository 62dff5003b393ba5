"""The queue of instances for each destination: delivery at least once.

A row is inserted in the transaction that records the instance. It stays `waiting` until
the destination acknowledges the instance, or refuses it for a lasting reason.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from veritag.errors import RejectError
from veritag.records.audit import append_event
from veritag.records.delivery.destinations import queue_for
from veritag.records.engine import Records, clean_text
from veritag.records.schema import destinations, forwards, instances, receptions
from veritag.records.states import ForwardState

# No retry is planned so far ahead: the clock was set back.
_CLOCK_JUMPED = timedelta(hours=12)


class NothingParked(RejectError):
    """The destination does not exist, or has no parked instances."""


@dataclass(frozen=True, slots=True)
class Forward:
    """An instance that is due for a destination."""

    forward_id: int
    instance_id: int
    archive_key: str
    transfer_syntax_uid: str
    attempts: int


@dataclass(frozen=True, slots=True)
class ForwardOutcome:
    """Outcome of one attempt.

    Attributes
    ----------
    state
        With WAITING the next attempt is due at `due_at`.
    counted
        Whether it counts towards the attempts after which an instance is parked.
    """

    forward_id: int
    state: ForwardState
    reason: str | None = None
    due_at: datetime | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class ParkedForward:
    """An instance that a destination refused."""

    forward_id: int
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    reason: str | None
    attempts: int
    ended_at: datetime | None


def queue_new(
    records: Records, connection: Connection, instance_ids: Sequence[int]
) -> None:
    """Queue new instances for every destination, in the caller's transaction."""
    if instance_ids:
        conditions = instances.c.id.in_(instance_ids), destinations.c.active
        queue_for(records, connection, *conditions)


def due_forwards(records: Records, destination_id: int, limit: int) -> list[Forward]:
    """Return the due instances, oldest first; those refused before come last."""
    now = datetime.now(UTC)
    is_due = or_(forwards.c.due_at <= now, forwards.c.due_at > now + _CLOCK_JUMPED)
    with records.read() as connection:
        first = _waiting(destination_id, forwards.c.due_at.is_(None))
        rows = connection.execute(first.order_by(forwards.c.id).limit(limit)).all()
        if len(rows) < limit:
            retries = _waiting(destination_id, is_due).limit(limit - len(rows))
            by_age = retries.order_by(forwards.c.due_at, forwards.c.id)
            rows = [*rows, *connection.execute(by_age)]
    return [Forward(*row) for row in rows]


def _waiting(destination_id: int, condition: Any) -> Any:
    columns = instances.c.id, instances.c.archive_key, instances.c.transfer_syntax_uid
    return (
        select(forwards.c.id, *columns, forwards.c.attempts)
        .join(instances, forwards.c.instance_id == instances.c.id)
        .where(
            forwards.c.destination_id == destination_id,
            forwards.c.state == ForwardState.WAITING,
            condition,
        )
    )


def senders_of(records: Records, instance_ids: Sequence[int]) -> dict[int, set[str]]:
    """Return instance id to the calling AE titles that it was received from."""
    titles: dict[int, set[str]] = {}
    with records.read() as connection:
        for instance_id, title in connection.execute(
            select(receptions.c.instance_id, receptions.c.calling_ae_title).where(
                receptions.c.instance_id.in_(instance_ids)
            )
        ):
            titles.setdefault(instance_id, set()).add(title)
    return titles


def store_outcomes(
    records: Records, destination_id: int, outcomes: Sequence[ForwardOutcome]
) -> None:
    """Store the outcomes of attempts; those lost by a power cut are repeated."""
    if not outcomes:
        return
    now = datetime.now(UTC)
    with records.begin(durable=False) as connection:
        connection.execute(
            update(forwards)
            .where(forwards.c.id == bindparam("row"))
            .values(
                state=bindparam("state"),
                reason=bindparam("reason"),
                due_at=bindparam("due_at"),
                ended_at=bindparam("ended_at"),
                attempts=forwards.c.attempts + bindparam("tries"),
            ),
            [_changes(outcome, now) for outcome in outcomes],
        )
        _update_totals(connection, destination_id, outcomes, now)


def _changes(outcome: ForwardOutcome, now: datetime) -> dict[str, Any]:
    return {
        "row": outcome.forward_id,
        "state": outcome.state,
        "reason": clean_text(outcome.reason),
        "due_at": outcome.due_at,
        "ended_at": None if outcome.state == ForwardState.WAITING else now,
        "tries": int(outcome.counted and outcome.state != ForwardState.SKIPPED),
    }


def _update_totals(
    connection: Connection,
    destination_id: int,
    outcomes: Sequence[ForwardOutcome],
    now: datetime,
) -> None:
    count = Counter(outcome.state for outcome in outcomes)
    changes: dict[str, Any] = {
        "sent": destinations.c.sent + count[ForwardState.SENT],
        "skipped": destinations.c.skipped + count[ForwardState.SKIPPED],
    }
    if count[ForwardState.SENT]:
        changes["last_success_at"] = now
    if refused := [
        o for o in outcomes if o.state in (ForwardState.PARKED, ForwardState.WAITING)
    ]:
        changes["last_failure_at"] = now
        changes["last_failure"] = clean_text(refused[-1].reason)
    connection.execute(
        update(destinations)
        .where(destinations.c.id == destination_id)
        .values(**changes)
    )


def parked_forwards(
    records: Records, destination_id: int, limit: int = 100
) -> list[ParkedForward]:
    """Return the parked instances of a destination, newest first."""
    with records.read() as connection:
        rows = connection.execute(
            select(
                forwards.c.id,
                instances.c.sop_instance_uid,
                instances.c.sop_class_uid,
                instances.c.transfer_syntax_uid,
                forwards.c.reason,
                forwards.c.attempts,
                forwards.c.ended_at,
            )
            .join(instances, forwards.c.instance_id == instances.c.id)
            .where(_parked(destination_id))
            .order_by(forwards.c.id.desc())
            .limit(limit)
        )
        return [ParkedForward(*row) for row in rows]


def retry_parked(records: Records, destination_id: int, actor: str) -> int:
    """Queue the parked instances again, with an audit event; return their number.

    Raises
    ------
    NothingParked
        If the destination does not exist, or has no parked instances.
    """
    reset = {
        "state": ForwardState.WAITING,
        "attempts": 0,
        "due_at": None,
        "ended_at": None,
    }
    with records.begin() as connection:
        name = connection.scalar(
            select(destinations.c.name).where(destinations.c.id == destination_id)
        )
        query = update(forwards).where(_parked(destination_id)).values(**reset)
        count = connection.execute(query).rowcount
        if name is None or not count:
            raise NothingParked("this destination has no parked instances any more")
        detail = {"destination": name, "instances": count}
        append_event(connection, "forwards_retried", actor, detail)
    return count


def _parked(destination_id: int) -> Any:
    return and_(
        forwards.c.destination_id == destination_id,
        forwards.c.state == ForwardState.PARKED,
    )
