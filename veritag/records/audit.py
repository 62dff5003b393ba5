"""The audit trail: append-only events, modelled on PS3.15 A.5."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from veritag.records.engine import Records, clean_text
from veritag.records.schema import audit_events


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One event; `detail` holds ids, never patient data."""

    at: datetime
    kind: str
    actor: str
    detail: dict[str, Any]


def append_event(
    connection: Connection, kind: str, actor: str, detail: Mapping[str, Any]
) -> None:
    """Append an event in the transaction of the change that it records."""
    connection.execute(
        insert(audit_events).values(
            at=datetime.now(UTC),
            kind=kind,
            actor=clean_text(actor, 256) or "",
            detail=dict(detail),
        )
    )


def record_event(
    records: Records, kind: str, actor: str, detail: Mapping[str, Any]
) -> None:
    """Append an event in a transaction of its own."""
    with records.begin() as connection:
        append_event(connection, kind, actor, detail)


def audit_trail(records: Records, limit: int = 1000) -> list[AuditEvent]:
    """Return the newest events, newest first."""
    with records.read() as connection:
        rows = connection.execute(
            select(audit_events).order_by(audit_events.c.id.desc()).limit(limit)
        )
        return [AuditEvent(r.at, r.kind, r.actor, r.detail) for r in rows]
