"""Counts of instances, series and findings by state."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select

from veritag.records.conditions import awaits_verdict
from veritag.records.engine import Records
from veritag.records.schema import (
    dead_letters,
    findings,
    instances,
    receptions,
    series,
)


@dataclass(frozen=True, slots=True)
class SystemCounts:
    """The state of the records in numbers.

    Attributes
    ----------
    received
        Recorded C-STOREs, repeated ones too.
    indexed
        Distinct instances.
    backlog
        Instances with neither a verdict nor a dead letter.
    oldest_unprocessed_seconds
        Time since the reception of the oldest of them; 0 when there is none.
    findings_open
        Findings that are not withdrawn and have no decision.
    """

    received: int
    indexed: int
    inspected: int
    dead_letters: int
    backlog: int
    oldest_unprocessed_seconds: float
    series_settled: int
    findings_open: int


def system_counts(records: Records) -> SystemCounts:
    """Count everything in one reading transaction."""
    with records.read() as connection:

        def count(table: object, *conditions: object) -> int:
            query = select(func.count()).select_from(table)  # type: ignore[arg-type]
            return connection.scalar(query.where(*conditions)) or 0  # type: ignore[arg-type]

        oldest = connection.scalar(
            select(instances.c.received_at)
            .where(awaits_verdict())
            .order_by(instances.c.received_at)
            .limit(1)
        )
        return SystemCounts(
            received=count(receptions),
            indexed=count(instances),
            inspected=count(instances, instances.c.inspected_at.is_not(None)),
            dead_letters=count(dead_letters),
            backlog=count(instances, awaits_verdict()),
            oldest_unprocessed_seconds=_age(oldest),
            series_settled=count(series, series.c.settled_at.is_not(None)),
            findings_open=count(
                findings,
                findings.c.withdrawn_at.is_(None),
                findings.c.decision.is_(None),
            ),
        )


def _age(moment: datetime | None) -> float:
    if moment is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())
