"""Training runs in the records."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from veritag.records import Records
from veritag.records.schema import training_runs
from veritag.records.states import GateOutcome, RunTrigger
from veritag.records.training.run_counts import run_counts
from veritag.records.training.runs import (
    DIED,
    begin_run,
    claim_run,
    fail_run,
    fail_stale_runs,
    finish_run,
    open_run,
    record_heartbeat,
    request_run,
    store_gate,
    training_run_history,
)


def age_heartbeats(records: Records, **age: float) -> None:
    """Set the heartbeat of every run to so long ago."""
    moment = datetime.now(UTC) - timedelta(**age)
    with records.begin() as connection:
        connection.execute(update(training_runs).values(heartbeat_at=moment))


def test_a_requested_run_is_claimed_once(records: Records) -> None:
    """Two messages of the same run start one training."""
    run_id = request_run(records, RunTrigger.NEED, "500 new instances")
    assert claim_run(records, run_id)
    assert not claim_run(records, run_id)
    (run,) = training_run_history(records)
    assert (run.status, run.trigger, run.reason) == (
        "running",
        "need",
        "500 new instances",
    )


def test_a_request_waits_while_another_run_lives(records: Records) -> None:
    """A requested run cannot be claimed while a run by hand is alive."""
    run_id = request_run(records, RunTrigger.NEED, "drift")
    by_hand = begin_run(records, {})
    assert not claim_run(records, run_id)
    fail_run(records, by_hand, "no image")
    assert claim_run(records, run_id)


def test_a_run_whose_heartbeat_ended_has_failed(records: Records) -> None:
    """Its error says that the process died, and its heartbeat no longer counts."""
    run_id = begin_run(records, {"size": 32})
    age_heartbeats(records, seconds=50)
    assert fail_stale_runs(records, 60) == []
    assert fail_stale_runs(records, 40) == [run_id]
    (run,) = training_run_history(records)
    assert (run.status, run.error) == ("failed", DIED)
    assert run.finished_at is not None
    assert not record_heartbeat(records, run_id)


def test_a_beating_run_is_left_alone(records: Records) -> None:
    """A new heartbeat keeps a run from failing."""
    run_id = begin_run(records, {})
    age_heartbeats(records, hours=1)
    assert record_heartbeat(records, run_id)
    assert fail_stale_runs(records, 60) == []


def test_only_one_run_is_open(records: Records) -> None:
    """A run is open while it is requested or running, and not after its end."""
    assert open_run(records) is None
    run_id = request_run(records, RunTrigger.NEED, "drift")
    assert open_run(records) is not None
    claim_run(records, run_id)
    run = open_run(records)
    assert run is not None
    assert run.run_id == run_id
    fail_run(records, run_id, "no image")
    assert open_run(records) is None


def test_runs_are_counted_by_status_and_outcome(records: Records) -> None:
    """Statuses and outcomes that never happened count 0; the last success is given."""
    assert run_counts(records).last_success_at is None
    run_id = begin_run(records, {})
    finish_run(records, run_id, "vb-1", "digest", {"images": 3})
    store_gate(records, run_id, GateOutcome.PROMOTED, "vb-0", {"reasons": ["better"]})
    fail_run(records, begin_run(records, {}), "too few")
    counts = run_counts(records)
    assert counts.by_status == {
        "requested": 0,
        "running": 0,
        "finished": 1,
        "failed": 1,
    }
    assert counts.by_outcome == {"promoted": 1, "kept": 0, "undecided": 0}
    assert counts.last_success_at is not None
    assert counts.last_seconds is not None
    assert training_run_history(records)[-1].reasons == ["better"]
