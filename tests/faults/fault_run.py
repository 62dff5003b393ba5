"""One run: send instances, inject faults, wait until all is processed, check the result."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.claims import Claim, check
from tests.faults.failing_parts import (
    Clock,
    Database,
    Destination,
    Disk,
    Postgres,
    Sqlite,
)
from tests.faults.injector import Fault, Incident, Injector, possible_faults, schedule
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.senders import Meeting, Pace, Sender
from tests.faults.testbed import SystemUnderTest
from veritag.errors import RecordsUnavailable
from veritag.records.states import ForwardState
from veritag.records.status import SystemCounts, system_counts

_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Plan:
    """Parameters of a run.

    Attributes
    ----------
    seconds
        In which instances are sent and faults happen.
    faults
        Beginnings of the names of faults; all by default.
    script
        Faults in this very order instead of drawn ones.
    """

    seconds: float
    instances: int
    kills: int
    seed: int = 1
    senders: int = 6
    database: str = "sqlite"
    faults: Sequence[str] = ()
    script: Sequence[str] = ()
    disk_mb: int = 4096
    quiet_seconds: float = 240.0
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Result:
    """The result of a run: the incidents and the claims."""

    plan: Plan
    seconds: float
    ledger: Ledger
    incidents: list[Incident]
    claims: list[Claim]
    counts: SystemCounts | None
    starts: int
    notes: list[str]

    @property
    def holds(self) -> bool:
        """Whether all claims hold."""
        return all(claim.holds for claim in self.claims)


ShowProgress = Callable[[Pace, Ledger, Sequence[Incident], str], None]


def _show_nothing(
    _pace: Pace, _ledger: Ledger, _done: Sequence[Incident], _what: str
) -> None:
    """Report no progress."""


@contextmanager
def _testbed(plan: Plan, root: Path) -> Iterator[SystemUnderTest]:
    disk, clock = Disk(root, plan.disk_mb), Clock(root)
    destination = Destination(root)
    database: Database = Sqlite(disk.path / "data" / "records.sqlite3")
    if plan.database == "postgresql":
        database = Postgres()
    try:
        disk.make()
        clock.make()
        database.make()
        destination.make()
        testbed = SystemUnderTest(
            root, disk, clock, database, destination, plan.settings
        )
        yield testbed
    finally:
        destination.remove()
        database.remove()
        disk.remove()


def run(
    plan: Plan, show: ShowProgress = _show_nothing, root: Path | None = None
) -> Result:
    """Run once, in the given folder or in a temporary one."""
    if root is not None:
        return _run(plan, show, root)
    folder = Path(tempfile.mkdtemp(prefix="veritag-faults-"))
    try:
        return _run(plan, show, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(plan: Plan, show: ShowProgress, root: Path) -> Result:
    with _testbed(plan, root) as testbed:
        begun = time.monotonic()
        testbed.start()
        try:
            return _strike(plan, testbed, show, begun)
        finally:
            testbed.stop()
            testbed.records.close()


def _strike(
    plan: Plan, testbed: SystemUnderTest, show: ShowProgress, begun: float
) -> Result:
    load, ledger = Load(plan.seed, plan.instances), Ledger()
    pace, meeting = Pace(load, plan.seconds), Meeting()
    senders = [
        Sender(f"SENDER{n}", testbed.port, pace, ledger, meeting)
        for n in range(plan.senders)
    ]
    injector = Injector(testbed, plan.seed)
    for sender in senders:
        sender.start()
    faults = possible_faults(testbed, plan.faults)
    moments = _scripted(faults, plan) or schedule(
        faults, plan.seed, plan.seconds, plan.kills
    )
    _let_happen(
        moments, injector, lambda what: show(pace, ledger, injector.incidents, what)
    )
    show(pace, ledger, injector.incidents, "waiting for the recovery")
    injector.wait()
    notes = _finish(plan, testbed, senders, show, pace, ledger, injector)
    claims = check(testbed, load, ledger)
    return Result(
        plan,
        time.monotonic() - begun,
        ledger,
        injector.incidents,
        claims,
        _counts(testbed),
        testbed.starts,
        notes,
    )


def _scripted(faults: Sequence[Fault], plan: Plan) -> list[tuple[float, Fault]]:
    """Return the possible faults of the script, evenly spread over the time."""
    named = {fault.name: fault for fault in faults}
    wanted = [named[name] for name in plan.script if name in named]
    step = plan.seconds / max(1, len(wanted))
    return [(step * place, fault) for place, fault in enumerate(wanted)]


def _let_happen(
    moments: Sequence[tuple[float, Fault]],
    injector: Injector,
    show: Callable[[str], None],
) -> None:
    begun = time.monotonic()
    for moment, fault in moments:
        while (left := begun + moment - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
            show("")
        show(fault.name)
        injector.inject(fault)


def _finish(
    plan: Plan,
    testbed: SystemUnderTest,
    senders: Sequence[Sender],
    show: ShowProgress,
    pace: Pace,
    ledger: Ledger,
    injector: Injector,
) -> list[str]:
    """Wait until all is sent and processed; return remarks on what was late."""
    deadline = time.monotonic() + plan.quiet_seconds
    notes = list(injector.failures)
    while any(s.is_alive() for s in senders) and time.monotonic() < deadline:
        show(pace, ledger, injector.incidents, "sending the rest")
        time.sleep(_LOOK_SECONDS)
    for sender in senders:
        if sender.is_alive():
            notes.append(f"{sender.name} did not get rid of all its instances")
        if sender.failure is not None:
            notes.append(f"{sender.name} failed: {sender.failure!r}")
        sender.given_up.set()
    while not _quiet(testbed) and time.monotonic() < deadline:
        show(pace, ledger, injector.incidents, "waiting for the last verdicts")
        time.sleep(_LOOK_SECONDS)
    if not _quiet(testbed):
        notes.append(f"not quiet in time: {_counts(testbed)}\n{testbed.output()}")
    return notes


def _quiet(testbed: SystemUnderTest) -> bool:
    now = _counts(testbed)
    if now is None or any((testbed.data_dir / "spool" / "ready").iterdir()):
        return False
    return now.backlog == 0 and _all_done(testbed)


def _all_done(testbed: SystemUnderTest) -> bool:
    """Return whether every series has settled and every instance is forwarded."""
    from sqlalchemy import exists, or_, select

    from veritag.records.schema import forwards, series

    open_series = exists().where(series.c.settled_at.is_(None))
    unsent = exists().where(forwards.c.state == ForwardState.WAITING)
    with testbed.records.read() as connection:
        return not connection.scalar(select(or_(open_series, unsent)))


def _counts(testbed: SystemUnderTest) -> SystemCounts | None:
    try:
        return system_counts(testbed.records)
    except RecordsUnavailable:
        return None
