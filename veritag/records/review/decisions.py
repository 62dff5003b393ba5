"""Decisions of reviewers: append-only, the newest one of a finding counts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from veritag.decisions import Decision, ReviewDecision
from veritag.errors import RejectError
from veritag.records.audit import append_event
from veritag.records.engine import Records, clean_text
from veritag.records.schema import decisions, findings


class UnknownFinding(RejectError):
    """No finding has this id."""


def decide(
    records: Records,
    finding_id: int,
    decision: Decision,
    reviewer: str,
    *,
    corrected_value: str | None = None,
    note: str = "",
    shown: Mapping[str, Any],
) -> ReviewDecision:
    """Append a decision, with an audit event in the same transaction.

    Raises
    ------
    UnknownFinding
        If there is no such finding.
    """
    values: dict[str, Any] = {
        "finding_id": finding_id,
        "decision": decision,
        "corrected_value": clean_text(corrected_value, 256),
        "note": clean_text(note) or "",
        "reviewer": clean_text(reviewer, 256) or "",
        "decided_at": datetime.now(UTC),
        "shown": dict(shown),
    }
    with records.begin() as connection:
        # First, because it locks the finding: the newest decision is also the last one.
        updated = connection.execute(
            update(findings)
            .where(findings.c.id == finding_id)
            .values(decision=decision)
        )
        if not updated.rowcount:
            raise UnknownFinding(f"there is no finding {finding_id}")
        row = connection.execute(
            records.insert(decisions).values(values).returning(*decisions.c)
        ).one()
        append_event(
            connection,
            "decision",
            values["reviewer"],
            {"finding_id": finding_id, "decision": decision.value},
        )
    return _decision(row)


def decisions_by_finding(
    connection: Connection, finding_ids: Sequence[int]
) -> dict[int, tuple[ReviewDecision, ...]]:
    """Return finding id to its decisions, oldest first."""
    by_finding: dict[int, tuple[ReviewDecision, ...]] = {}
    for row in connection.execute(
        select(decisions)
        .where(decisions.c.finding_id.in_(finding_ids))
        .order_by(decisions.c.id)
    ):
        earlier = by_finding.get(row.finding_id, ())
        by_finding[row.finding_id] = (*earlier, _decision(row))
    return by_finding


def decisions_since(
    records: Records, since: datetime, limit: int = 1000
) -> list[ReviewDecision]:
    """Return the decisions made since a moment, oldest first."""
    with records.read() as connection:
        rows = connection.execute(
            select(decisions)
            .where(decisions.c.decided_at >= since)
            .order_by(decisions.c.id)
            .limit(limit)
        )
        return [_decision(row) for row in rows]


def _decision(row: Row[Any]) -> ReviewDecision:
    return ReviewDecision(
        row.id,
        row.finding_id,
        row.decision,
        row.corrected_value,
        row.note,
        row.reviewer,
        row.decided_at,
        row.shown,
    )
