"""SQL conditions on instances that several rooms of the records share."""

from typing import Any

from sqlalchemy import and_, exists

from veritag.findings import VerdictStatus
from veritag.records.schema import instances, verdicts


def awaits_verdict() -> Any:
    """Return the condition: neither a verdict nor a dead letter."""
    return and_(instances.c.inspected_at.is_(None), instances.c.dead_at.is_(None))


def has_picture() -> Any:
    """Return the condition: a verdict on a picture that could be read."""
    return exists().where(
        verdicts.c.instance_id == instances.c.id,
        verdicts.c.status == VerdictStatus.INSPECTED,
    )
