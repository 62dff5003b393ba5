"""Attempts to inspect instances, and which instances wait for one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import and_, func, select, update

from veritag.records.conditions import awaits_verdict
from veritag.records.engine import Records, clean_text
from veritag.records.schema import attempts, instances


@dataclass(frozen=True, slots=True)
class PendingInstance:
    """An instance that waits for a verdict.

    Attributes
    ----------
    attempts
        Inspections that began before.
    series_id
        None where the Data Set could not be parsed.
    """

    instance_id: int
    archive_key: str
    sop_instance_uid: str
    sop_class_uid: str
    attempts: int
    received_at: datetime
    series_id: int | None


def pending_instances(
    records: Records, instance_ids: Sequence[int], *, again: bool = False
) -> list[PendingInstance]:
    """Return the instances that need inspection, in order of id.

    Parameters
    ----------
    again
        Return inspected instances too, for inspection by another bundle, as long as
        the archive has their files.
    """
    columns = [
        instances.c[name]
        for name in (
            "id",
            "archive_key",
            "sop_instance_uid",
            "sop_class_uid",
            "attempts",
            "received_at",
            "series_id",
        )
    ]
    has_file = instances.c.removing_at.is_(None)
    readable = and_(instances.c.dead_at.is_(None), has_file)
    condition = readable if again else awaits_verdict()
    with records.read() as connection:
        rows = connection.execute(
            select(*columns)
            .where(instances.c.id.in_(instance_ids), condition)
            .order_by(instances.c.id)
        )
        return [PendingInstance(*row) for row in rows]


def begin_attempt(records: Records, instance_ids: Sequence[int], worker: str) -> None:
    """Count an attempt, before reading anything that could crash the process."""
    now = datetime.now(UTC)
    # It has to survive the end of this process, not a power cut.
    with records.begin(durable=False) as connection:
        connection.execute(
            update(instances)
            .where(instances.c.id.in_(instance_ids))
            .values(attempts=instances.c.attempts + 1, claimed_at=now)
        )
        connection.execute(
            records.insert(attempts),
            [
                {"instance_id": id_, "worker": worker, "started_at": now}
                for id_ in instance_ids
            ],
        )


def abandon_attempt(records: Records, instance_ids: Sequence[int], error: str) -> None:
    """Store on the newest attempt of each instance why it ended without a verdict."""
    newest = (
        select(func.max(attempts.c.id))
        .where(attempts.c.instance_id.in_(instance_ids))
        .group_by(attempts.c.instance_id)
    )
    with records.begin() as connection:
        connection.execute(
            update(attempts)
            .where(attempts.c.id.in_(newest))
            .values(error=clean_text(error))
        )
