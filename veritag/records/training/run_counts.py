"""All training runs in numbers, for metrics."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from veritag.records.engine import Records
from veritag.records.schema import training_runs
from veritag.records.training.runs import FINISHED, OUTCOMES, STATUSES


@dataclass(frozen=True, slots=True)
class RunCounts:
    """All runs in numbers.

    Attributes
    ----------
    by_status, by_outcome
        Number of runs; what never happened is 0.
    last_success_at, last_seconds
        End and duration of the newest finished run; None before the first.
    """

    by_status: dict[str, int]
    by_outcome: dict[str, int]
    last_success_at: datetime | None
    last_seconds: float | None


def run_counts(records: Records) -> RunCounts:
    """Count the runs of all time."""
    t = training_runs.c
    with records.read() as connection:

        def grouped(column: Any, names: tuple[str, ...]) -> dict[str, int]:
            rows = connection.execute(select(column, func.count()).group_by(column))
            found = {name: int(n) for name, n in rows}
            return {name: found.get(name, 0) for name in names}

        last = connection.execute(
            select(t.started_at, t.finished_at)
            .where(t.status == FINISHED)
            .order_by(t.finished_at.desc())
            .limit(1)
        ).first()
        return RunCounts(
            grouped(t.status, STATUSES),
            grouped(t.outcome, OUTCOMES),
            last.finished_at if last else None,
            (last.finished_at - last.started_at).total_seconds() if last else None,
        )
