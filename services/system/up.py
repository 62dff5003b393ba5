"""`veritag up`: runs all processes of the system on this machine."""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from services.system.ports import choose_ports, free_port
from services.system.private_broker import prepare_broker
from services.system.programs import System, require_extras
from services.system.up_display import StartDisplay, summary
from veritag.errors import ConfigurationError, StopError
from veritag.process.memory import release_memory
from veritag.process.run_directory import SYSTEM, RunDirectory
from veritag.process.supervised_process import SupervisedProcess
from veritag.process.supervisor import Program, Supervisor, die_with_parent
from veritag.settings import Settings
from veritag.storage.spool import make_folder

_START_SECONDS = 120.0
_MAX_STARTS = 3
_STOP_EXTRA_SECONDS = 5.0  # beyond the grace, which the processes observe themselves


class StartFailed(StopError):
    """A process of the system does not start."""


def run(settings: Settings) -> None:
    """Run the system until SIGTERM or Ctrl-C.

    Raises
    ------
    StopError
        If it cannot start.
    """
    require_extras()
    errors = Console(stderr=True)
    try:
        make_folder(settings.data_dir, mode=0o777)
    except OSError as error:
        raise ConfigurationError(f"{settings.data_dir}: {error.strerror}") from error
    directory = RunDirectory(settings.data_dir)
    directory.acquire()
    try:
        for role in directory.stop_orphans(settings.stop_grace_seconds):
            errors.print(f"stopped the {role} that an earlier run left behind")
        _run(_prepare(settings), directory, errors)
    finally:
        directory.forget(SYSTEM)
        directory.release()


def _prepare(settings: Settings) -> System:
    ports = choose_ports(settings)
    broker = None
    if settings.broker_url is None:
        broker = prepare_broker(settings.data_dir, free_port("127.0.0.1"))
    return System(settings, ports, broker)


def _run(system: System, directory: RunDirectory, errors: Console) -> None:
    def show_restart(child: SupervisedProcess) -> None:
        errors.print(
            f"{child.name} ended with status {child.last_status}; started again",
            style="yellow",
        )

    settings = system.settings
    supervisor = Supervisor(
        system.programs(),
        directory,
        settings.data_dir / "logs",
        settings.stop_grace_seconds + _STOP_EXTRA_SECONDS,
        show_restart,
    )
    with supervisor:
        _start(supervisor, settings, directory, errors)
        if not supervisor.stopping:
            description = system.describe()
            directory.write(SYSTEM, description)
            Console().print(summary(description))
        release_memory()
        while not supervisor.stopping:
            supervisor.wait(3600)
        errors.print("stopping ...")


def _start(
    supervisor: Supervisor,
    settings: Settings,
    directory: RunDirectory,
    errors: Console,
) -> None:
    """Start the processes and wait until each can do its work."""
    with StartDisplay([p.role for p in supervisor.programs], errors) as display:
        broker, others = _split_broker(supervisor.programs)
        for program in broker:
            supervisor.start(program.role)
        _prepare_records(settings, directory)
        _wait_ready(supervisor, broker, display)
        if supervisor.stopping:
            return
        for program in others:
            supervisor.start(program.role)
        _wait_ready(supervisor, others, display)


def _split_broker(programs: Sequence[Program]) -> tuple[list[Program], list[Program]]:
    return (
        [p for p in programs if p.role == "broker"],
        [p for p in programs if p.role != "broker"],
    )


def _prepare_records(settings: Settings, directory: RunDirectory) -> None:
    """Bring the database to this version, and record the destinations.

    Done in a process of its own: the supervisor runs for months and does not need
    SQLAlchemy and Alembic, which would take half of its memory.
    """
    # By fork: what is loaded already need not be loaded again.
    detach = partial(_detach, directory, die_with_parent())
    with ProcessPoolExecutor(1, get_context("fork"), detach) as pool:
        pool.submit(_migrate, settings).result()


def _detach(directory: RunDirectory, die: Callable[[], None] | None) -> None:
    """Let the forked process end with its parent, and not keep what it inherited.

    Its copy of the lock would outlive a parent that is killed while the database does
    not answer, and no later `veritag up` could start.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor
    if die is not None:
        die()
    directory.release()


def _migrate(settings: Settings) -> None:
    from veritag.records import Records
    from veritag.records.delivery.destinations import sync_destinations

    records = Records.open(settings.records_url)
    try:
        records.migrate()
        # Before the first instance arrives, so that it is queued for each of them.
        sync_destinations(
            records, {p.name: p.since for p in settings.peers if p.forward}
        )
    finally:
        records.close()


def _wait_ready(
    supervisor: Supervisor, programs: Sequence[Program], display: StartDisplay
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    waiting: Sequence[Program] = programs
    while waiting and not supervisor.stopping:
        reasons = [(program, program.check()) for program in waiting]
        for program, reason in reasons:
            display.update(program.role, reason)
            if reason is not None and time.monotonic() > deadline:
                raise _failure(supervisor, program.role, f"is not ready: {reason}")
        _require_running(supervisor)
        waiting = [program for program, reason in reasons if reason is not None]
        if waiting:
            supervisor.wait(0.2)


def _require_running(supervisor: Supervisor) -> None:
    """Raise StartFailed if a process has ended for the last time that is tolerated."""
    for child in supervisor.children:
        if child.starts >= _MAX_STARTS and not child.running:
            problem = f"ended with status {child.last_status}"
            raise _failure(supervisor, child.name, problem)


def _failure(supervisor: Supervisor, role: str, problem: str) -> StartFailed:
    log = supervisor.log_path(role)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
    return StartFailed(
        f"{role} {problem}; the end of {_short(log)}:\n" + "\n".join(lines)
    )


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
