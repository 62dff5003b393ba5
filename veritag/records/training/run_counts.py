"""Counts of training runs, for metrics."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import func, select

from veritag.records.engine import Records
from veritag.records.schema import training_runs
from veritag.records.states import GateOutcome, RunStatus

_Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Counts of all runs.

    Attributes
    ----------
    by_status, by_outcome
        Number of runs, with 0 for those that never happened.
    last_success_at, last_seconds
        End and duration of the newest finished run; None before the first.
    """

    by_status: dict[RunStatus, int]
    by_outcome: dict[GateOutcome, int]
    last_success_at: datetime | None
    last_seconds: float | None


def run_counts(records: Records) -> RunCounts:
    """Count the runs of all time."""
    t = training_runs.c
    with records.read() as connection:

        def grouped(column: Any, words: type[_Word]) -> dict[_Word, int]:
            rows = connection.execute(select(column, func.count()).group_by(column))
            counts = {word: int(n) for word, n in rows}
            return {word: counts.get(word, 0) for word in words}

        last = connection.execute(
            select(t.started_at, t.finished_at)
            .where(t.status == RunStatus.FINISHED)
            .order_by(t.finished_at.desc())
            .limit(1)
        ).first()
        return RunCounts(
            grouped(t.status, RunStatus),
            grouped(t.outcome, GateOutcome),
            last.finished_at if last else None,
            (last.finished_at - last.started_at).total_seconds() if last else None,
        )
