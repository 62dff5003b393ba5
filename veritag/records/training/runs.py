"""Training runs: requests, progress and outcome.

A run is `requested` by the scheduler, and `running` while a process works on it and sends
a heartbeat. It ends `finished` with a bundle, or `failed` with an error. A finished run
whose bundle went through the gate has an outcome as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, exists, select, update

from veritag.records.engine import Records, clean_text
from veritag.records.schema import training_runs
from veritag.records.states import GateOutcome, RunStatus, RunTrigger

HEARTBEAT_SECONDS = 15.0
"""Time between two heartbeats of a run."""

STALE_SECONDS = 180.0
"""Time without a heartbeat after which a run is dead."""

DIED = "the training process died or was stopped: its heartbeat ended"


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One run.

    Attributes
    ----------
    trigger
        None for a plain `veritag train`.
    reason
        Why it was started, as a sentence.
    heartbeat_at
        When its process last gave a sign of life; of a requested run, when the request
        was last repeated.
    champion_id
        The bundle that was in use when the gate decided.
    gate
        The comparison with the champion, JSON-ready, with its `reasons`.
    outcome
        None where no gate compared the bundle.
    """

    run_id: int
    started_at: datetime
    finished_at: datetime | None
    status: RunStatus
    snapshot_digest: str | None
    configuration: dict[str, Any]
    bundle_id: str | None
    figures: dict[str, Any] | None
    error: str | None
    trigger: RunTrigger | None = None
    reason: str | None = None
    heartbeat_at: datetime | None = None
    champion_id: str | None = None
    gate: dict[str, Any] | None = None
    outcome: GateOutcome | None = None

    @property
    def reasons(self) -> list[str]:
        """The reasons of the gate, as sentences."""
        return list((self.gate or {}).get("reasons", []))


def training_run_history(records: Records, limit: int = 100) -> list[TrainingRun]:
    """Return the newest runs, newest first."""
    with records.read() as connection:
        rows = connection.execute(
            select(training_runs).order_by(training_runs.c.id.desc()).limit(limit)
        )
        return [_run(row) for row in rows]


def open_run(records: Records) -> TrainingRun | None:
    """Return the newest run that is requested or running."""
    with records.read() as connection:
        row = connection.execute(
            select(training_runs)
            .where(
                training_runs.c.status.in_((RunStatus.REQUESTED, RunStatus.RUNNING)),
                training_runs.c.heartbeat_at.is_not(None),
            )
            .order_by(training_runs.c.id.desc())
            .limit(1)
        ).first()
        return None if row is None else _run(row)


def training_run(records: Records, run_id: int) -> TrainingRun | None:
    """Return one run, None where there is none of this id."""
    with records.read() as connection:
        row = connection.execute(
            select(training_runs).where(training_runs.c.id == run_id)
        ).first()
        return None if row is None else _run(row)


def _run(row: Row[Any]) -> TrainingRun:
    return TrainingRun(*tuple(row))  # its fields have the order of the columns


def request_run(records: Records, trigger: RunTrigger, reason: str) -> int:
    """Record a request for a training; return the id of the run."""
    now = datetime.now(UTC)
    return _insert(
        records,
        started_at=now,
        heartbeat_at=now,
        status=RunStatus.REQUESTED,
        trigger=trigger,
        reason=clean_text(reason),
        configuration={},
    )


def begin_run(
    records: Records,
    configuration: Mapping[str, Any],
    *,
    trigger: RunTrigger | None = None,
    reason: str | None = None,
) -> int:
    """Record the start of a training; return the id of the run."""
    now = datetime.now(UTC)
    return _insert(
        records,
        started_at=now,
        heartbeat_at=now,
        status=RunStatus.RUNNING,
        trigger=trigger,
        reason=clean_text(reason),
        configuration=dict(configuration),
    )


def _insert(records: Records, **values: Any) -> int:
    with records.begin() as connection:
        run_id: int = connection.execute(
            records.insert(training_runs).values(values).returning(training_runs.c.id)
        ).scalar_one()
        return run_id


def claim_run(records: Records, run_id: int) -> bool:
    """Claim a requested run; False where it was claimed or has ended.

    Also False while another run is alive: the request stays, and is repeated.
    """
    now = datetime.now(UTC)
    other = training_runs.alias()
    other_alive = exists().where(
        other.c.status == RunStatus.RUNNING,
        other.c.heartbeat_at >= now - timedelta(seconds=STALE_SECONDS),
    )
    with records.begin() as connection:
        claimed = connection.execute(
            update(training_runs)
            .where(
                training_runs.c.id == run_id,
                training_runs.c.status == RunStatus.REQUESTED,
                ~other_alive,
            )
            .values(status=RunStatus.RUNNING, started_at=now, heartbeat_at=now)
        )
        return bool(claimed.rowcount)


def record_heartbeat(records: Records, run_id: int) -> bool:
    """Record a sign of life or a repeated request; False once the run has ended."""
    with records.begin() as connection:
        alive = connection.execute(
            update(training_runs)
            .where(
                training_runs.c.id == run_id,
                training_runs.c.status.in_((RunStatus.REQUESTED, RunStatus.RUNNING)),
            )
            .values(heartbeat_at=datetime.now(UTC))
        )
        return bool(alive.rowcount)


def configure_run(
    records: Records, run_id: int, configuration: Mapping[str, Any]
) -> None:
    """Record the configuration of a claimed run."""
    with records.begin() as connection:
        _update(connection, run_id, configuration=dict(configuration))


def fail_stale_runs(records: Records, seconds: float) -> list[int]:
    """Mark runs without a heartbeat for so long as failed; return their ids."""
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    with records.begin() as connection:
        rows = connection.execute(
            update(training_runs)
            .where(
                training_runs.c.status == RunStatus.RUNNING,
                training_runs.c.heartbeat_at < before,
            )
            .values(status=RunStatus.FAILED, finished_at=datetime.now(UTC), error=DIED)
            .returning(training_runs.c.id)
        )
        return [row.id for row in rows]


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
        status=RunStatus.FINISHED,
        bundle_id=bundle_id,
        snapshot_digest=snapshot_digest,
        figures=dict(figures),
    )


def store_gate(
    records: Records,
    run_id: int,
    outcome: GateOutcome,
    champion_id: str,
    gate: Mapping[str, Any],
) -> None:
    """Record the decision of the gate on the bundle of a run."""
    with records.begin() as connection:
        _update(
            connection,
            run_id,
            outcome=outcome,
            champion_id=champion_id,
            gate=dict(gate),
        )


def fail_run(records: Records, run_id: int, error: str) -> None:
    """Record why a run made no bundle, or why its bundle was never compared."""
    _end(records, run_id, status=RunStatus.FAILED, error=clean_text(error))


def _end(records: Records, run_id: int, **values: Any) -> None:
    with records.begin() as connection:
        _update(connection, run_id, finished_at=datetime.now(UTC), **values)


def _update(connection: Connection, run_id: int, **values: Any) -> None:
    connection.execute(
        update(training_runs).where(training_runs.c.id == run_id).values(**values)
    )
