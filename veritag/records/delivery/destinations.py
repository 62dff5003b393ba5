"""The destinations of forwarding and their progress."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, literal, select, update

from veritag.records.engine import Records, clean_text
from veritag.records.schema import destinations, forwards, instances
from veritag.records.states import ForwardState

# Instances queued in one transaction for a new destination.
_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class DestinationState:
    """Progress of one destination.

    Attributes
    ----------
    active
        Whether the settings name it; if not, its queue is kept.
    skipped
        Instances that its filter leaves out.
    oldest_waiting_at
        When the oldest waiting instance was queued.
    """

    destination_id: int
    name: str
    active: bool
    added_at: datetime
    waiting: int
    parked: int
    sent: int
    skipped: int
    oldest_waiting_at: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure: str | None

    @property
    def oldest_seconds(self) -> float:
        """Age of the oldest waiting instance; 0 where none waits."""
        if self.oldest_waiting_at is None:
            return 0.0
        return max(0.0, (datetime.now(UTC) - self.oldest_waiting_at).total_seconds())


def sync_destinations(
    records: Records, wanted: Mapping[str, datetime | None]
) -> dict[str, int]:
    """Set the destinations to those of the settings; return their ids by name.

    Every new instance is then queued for them. Where a moment is given, instances
    received since then are queued too, once.
    """
    # First: from this commit on new instances are queued, so none falls in between.
    with records.begin() as connection:
        _activate(records, connection, wanted)
        rows = connection.execute(
            select(destinations).where(destinations.c.name.in_(wanted))
        ).all()
    for row in rows:
        since = wanted[row.name]
        if since is not None and since != row.since:
            _queue_since(records, row.id, since)
    return {row.name: row.id for row in rows}


def _activate(
    records: Records, connection: Connection, wanted: Mapping[str, Any]
) -> None:
    connection.execute(
        update(destinations)
        .where(destinations.c.name.not_in(wanted))
        .values(active=False)
    )
    now = datetime.now(UTC)
    for name in wanted:
        fresh = {"name": name, "active": True, "added_at": now, "sent": 0, "skipped": 0}
        connection.execute(
            records.insert(destinations)
            .values(fresh)
            .on_conflict_do_update(index_elements=["name"], set_={"active": True})
        )


def _queue_since(records: Records, destination_id: int, since: datetime) -> None:
    with records.read() as connection:
        last = connection.scalar(select(func.max(instances.c.id))) or 0
    # In parts, because SQLite has one writer: the indexer waits for each of them.
    for start in range(0, last, _CHUNK):
        with records.begin() as connection:
            queue_for(
                records,
                connection,
                destinations.c.id == destination_id,
                instances.c.id > start,
                instances.c.id <= start + _CHUNK,
                instances.c.received_at >= since,
                # The archive is about to remove these files.
                instances.c.removing_at.is_(None),
            )
    # Last: after a crash all is queued once more, which changes nothing.
    with records.begin() as connection:
        connection.execute(
            update(destinations)
            .where(destinations.c.id == destination_id)
            .values(since=since)
        )


def queue_for(records: Records, connection: Connection, *conditions: Any) -> None:
    """Queue the instances for the destinations that the conditions select; idempotent."""
    rows = (
        select(
            destinations.c.id,
            instances.c.id,
            literal(ForwardState.WAITING, forwards.c.state.type),
            literal(0),
            literal(datetime.now(UTC), destinations.c.added_at.type),
        )
        .select_from(instances.join(destinations, literal(True)))
        .where(*conditions)
        .order_by(instances.c.id)
    )
    columns = ["destination_id", "instance_id", "state", "attempts", "queued_at"]
    connection.execute(
        records.insert(forwards).from_select(columns, rows).on_conflict_do_nothing()
    )


def destination_states(records: Records) -> list[DestinationState]:
    """Return the progress of every destination, by name."""
    with records.read() as connection:
        rows = connection.execute(
            select(destinations).order_by(destinations.c.name)
        ).all()
        return [_state(connection, row) for row in rows]


def _state(connection: Connection, row: Any) -> DestinationState:
    def rows_in(state: ForwardState) -> tuple[Any, ...]:
        return forwards.c.destination_id == row.id, forwards.c.state == state

    def count(state: ForwardState) -> int:
        query = select(func.count()).select_from(forwards).where(*rows_in(state))
        return connection.scalar(query) or 0

    oldest = connection.scalar(
        select(forwards.c.queued_at)
        .where(*rows_in(ForwardState.WAITING))
        .order_by(forwards.c.id)
        .limit(1)
    )
    return DestinationState(
        row.id,
        row.name,
        row.active,
        row.added_at,
        count(ForwardState.WAITING),
        count(ForwardState.PARKED),
        row.sent,
        row.skipped,
        oldest,
        row.last_success_at,
        row.last_failure_at,
        row.last_failure,
    )


def note_failure(records: Records, destination_id: int, reason: str) -> None:
    """Store why nothing could be sent to a destination."""
    with records.begin(durable=False) as connection:
        connection.execute(
            update(destinations)
            .where(destinations.c.id == destination_id)
            .values(last_failure_at=datetime.now(UTC), last_failure=clean_text(reason))
        )
