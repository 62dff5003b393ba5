"""Dead letters: the instances that get no verdict, and why."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select, update

from veritag.records.conditions import awaits_verdict
from veritag.records.engine import Records, clean_text
from veritag.records.schema import dead_letters as table
from veritag.records.schema import instances, receptions


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """An instance without a verdict, and why."""

    instance_id: int
    sop_instance_uid: str
    sop_class_uid: str
    reason: str
    attempts: int
    created_at: datetime
    calling_ae_title: str | None


def dead_letters(
    records: Records, limit: int = 100, offset: int = 0
) -> list[DeadLetterRow]:
    """Return the dead letters, newest first."""
    sender = (
        select(func.min(receptions.c.calling_ae_title))
        .where(receptions.c.instance_id == instances.c.id)
        .scalar_subquery()
    )
    with records.read() as connection:
        rows = connection.execute(
            select(
                instances.c.id,
                instances.c.sop_instance_uid,
                instances.c.sop_class_uid,
                table.c.reason,
                table.c.attempts,
                table.c.created_at,
                sender,
            )
            .join(instances, table.c.instance_id == instances.c.id)
            .order_by(table.c.id.desc())
            .limit(limit)
            .offset(offset)
        )
        return [DeadLetterRow(*row) for row in rows]


def add_dead_letter(records: Records, instance_id: int, reason: str) -> None:
    """Give an instance up for a reason; the archive keeps its file."""
    now = datetime.now(UTC)
    with records.begin() as connection:
        row = connection.execute(
            select(instances.c.attempts, instances.c.series_id).where(
                instances.c.id == instance_id
            )
        ).one()
        connection.execute(
            records.insert(table).on_conflict_do_nothing(),
            [
                {
                    "instance_id": instance_id,
                    "reason": clean_text(reason),
                    "attempts": row.attempts,
                    "created_at": now,
                }
            ],
        )
        connection.execute(
            update(instances)
            .where(instances.c.id == instance_id, awaits_verdict())
            .values(dead_at=now)
        )
