"""Instances that are to be published to the broker, for the first time or again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update

from veritag.records.conditions import awaits_verdict
from veritag.records.engine import Records
from veritag.records.schema import instances

# Tolerated difference between the clocks of hosts. A moment further ahead comes from a
# wrong clock, and would delay an instance until that moment.
_CLOCKS_DIFFER = timedelta(minutes=1)


def undispatched_instances(records: Records, limit: int = 1024) -> list[int]:
    """Return instances that were never published, oldest first."""
    with records.read() as connection:
        return list(
            connection.scalars(
                select(instances.c.id)
                .where(awaits_verdict(), instances.c.dispatched_at.is_(None))
                .order_by(instances.c.id)
                .limit(limit)
            )
        )


def mark_dispatched(records: Records, instance_ids: Sequence[int]) -> None:
    """Record that the broker has the message of these instances."""
    with records.begin() as connection:
        connection.execute(
            update(instances)
            .where(instances.c.id.in_(instance_ids))
            .values(dispatched_at=datetime.now(UTC))
        )


def stale_instances(
    records: Records, older_than_seconds: float, limit: int = 1024
) -> list[int]:
    """Return waiting instances that were not published or claimed for so long."""
    now = datetime.now(UTC)
    since = now - timedelta(seconds=older_than_seconds)
    last_seen = func.coalesce(
        instances.c.claimed_at, instances.c.dispatched_at, instances.c.indexed_at
    )
    with records.read() as connection:
        return list(
            connection.scalars(
                select(instances.c.id)
                .where(
                    awaits_verdict(),
                    _long_ago(last_seen, since, now),
                    or_(
                        instances.c.dispatched_at.is_(None),
                        _long_ago(instances.c.dispatched_at, since, now),
                    ),
                )
                .order_by(instances.c.id)
                .limit(limit)
            )
        )


def _long_ago(moment: Any, since: datetime, now: datetime) -> Any:
    return or_(moment < since, moment > now + _CLOCKS_DIFFER)
