"""Training runs: what was begun, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update

from veritag.records.engine import Records, clean_text
from veritag.records.schema import training_runs

RUNNING, FINISHED, FAILED = "running", "finished", "failed"


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One run: `running`, `finished` with a bundle, or `failed` with an error."""

    run_id: int
    started_at: datetime
    finished_at: datetime | None
    status: str
    snapshot_digest: str | None
    configuration: dict[str, Any]
    bundle_id: str | None
    figures: dict[str, Any] | None
    error: str | None


def training_run_history(records: Records, limit: int = 100) -> list[TrainingRun]:
    """Return the newest runs, newest first."""
    with records.read() as connection:
        rows = connection.execute(
            select(training_runs).order_by(training_runs.c.id.desc()).limit(limit)
        )
        return [TrainingRun(*row) for row in rows]


def begin_run(records: Records, configuration: Mapping[str, Any]) -> int:
    """Record that a training began; return the id of the run."""
    with records.begin() as connection:
        run_id: int = connection.execute(
            records.insert(training_runs)
            .values(
                started_at=datetime.now(UTC),
                status=RUNNING,
                configuration=dict(configuration),
            )
            .returning(training_runs.c.id)
        ).scalar_one()
        return run_id


def finish_run(
    records: Records,
    run_id: int,
    bundle_id: str,
    snapshot_digest: str,
    figures: Mapping[str, Any],
) -> None:
    """Record the bundle that a run made."""
    _end(
        records,
        run_id,
        status=FINISHED,
        bundle_id=bundle_id,
        snapshot_digest=snapshot_digest,
        figures=dict(figures),
    )


def fail_run(records: Records, run_id: int, error: str) -> None:
    """Record why a run made no bundle."""
    _end(records, run_id, status=FAILED, error=clean_text(error))


def _end(records: Records, run_id: int, **values: Any) -> None:
    with records.begin() as connection:
        connection.execute(
            update(training_runs)
            .where(training_runs.c.id == run_id)
            .values(finished_at=datetime.now(UTC), **values)
        )
