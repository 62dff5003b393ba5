"""The supervisor with real children: restarts, order of the stop, CPU time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.waiting import wait_for
from veritag.errors import ConfigurationError
from veritag.process.run_directory import RunDirectory, RunningChild, start_time
from veritag.process.supervisor import Program, Supervisor

SLEEP = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(600)"
)
# Its first thread ends, another one continues.
HALF_ENDED = (
    "import ctypes, platform, threading, time\n"
    "threading.Thread(target=time.sleep, args=(600,)).start()\n"
    "exit = {'x86_64': 60, 'aarch64': 93}[platform.machine()]\n"
    "ctypes.CDLL(None).syscall(exit, 0)\n"
)
# Writes down when it gets SIGTERM.
RECORDER = (
    "import pathlib, signal, sys, time\n"
    "def stop(*_):\n"
    "    pathlib.Path(sys.argv[1]).write_text(str(time.monotonic())); sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, stop); print('up', flush=True)\n"
    "time.sleep(600)"
)


def ready() -> str | None:
    return None


def program(role: str, code: str, *argv: str, layer: int = 1) -> Program:
    return Program(role, (sys.executable, "-c", code, *argv), os.environ, ready, layer)


@pytest.fixture
def supervise(tmp_path: Path) -> Callable[..., Supervisor]:
    def make(*programs: Program, grace: float = 60.0) -> Supervisor:
        run = RunDirectory(tmp_path)
        run.path.mkdir(exist_ok=True)
        return Supervisor(programs, run, tmp_path / "logs", grace)

    return make


def start_all(supervisor: Supervisor) -> None:
    for each in supervisor.programs:
        supervisor.start(each.role)


def wait_until(supervisor: Supervisor, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        supervisor.wait(0.05)


def test_a_child_that_dies_starts_again(supervise: Callable[..., Supervisor]) -> None:
    """A child that ends is started again, and its status is kept."""
    with supervise(program("dying", "import sys; sys.exit(3)")) as supervisor:
        start_all(supervisor)
        child = supervisor.children[0]
        wait_until(supervisor, lambda: child.starts == 2)
        assert child.last_status == 3


def test_restarts_slow_down(supervise: Callable[..., Supervisor]) -> None:
    """A child that keeps ending is started again after growing delays."""
    with supervise(program("dying", "")) as supervisor:
        start_all(supervisor)
        child = supervisor.children[0]
        wait_until(supervisor, lambda: child.starts == 3 and not child.running)
        assert child.start_again_at is not None
        assert child.start_again_at - child.started_at >= 1.0


def test_layers_stop_from_the_top(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    """A higher layer has ended before the next lower one gets SIGTERM."""
    roles = {"broker": 0, "worker": 1, "listener": 2}
    programs = [
        program(role, RECORDER, str(tmp_path / role), layer=layer)
        for role, layer in roles.items()
    ]
    with supervise(*programs) as supervisor:
        start_all(supervisor)
        logs = [supervisor.log_path(role) for role in roles]
        wait_until(supervisor, lambda: all(log.read_text() for log in logs))
    ended = {role: float((tmp_path / role).read_text()) for role in roles}
    assert ended["listener"] < ended["worker"] < ended["broker"]
    assert not list(supervisor.run.path.glob("*.json"))


def test_a_child_that_will_not_stop_is_killed(
    supervise: Callable[..., Supervisor],
) -> None:
    """A child that ignores SIGTERM is killed after the grace."""
    with supervise(program("stubborn", STUBBORN), grace=0.3) as supervisor:
        start_all(supervisor)
        log = supervisor.log_path("stubborn")
        wait_until(supervisor, lambda: log.read_text() == "up\n")
        started = time.monotonic()
    assert time.monotonic() - started < 30
    assert supervisor.children[0].last_status == -signal.SIGKILL


def test_sigterm_ends_the_wait_at_once(supervise: Callable[..., Supervisor]) -> None:
    """A signal wakes the supervisor from a long sleep."""
    with supervise(program("idle", SLEEP)) as supervisor:
        start_all(supervisor)
        started = time.monotonic()
        killer = subprocess.Popen(
            ["/bin/sh", "-c", f"sleep 0.3; kill -TERM {os.getpid()}"]
        )
        while not supervisor.stopping:
            supervisor.wait(60)
        assert time.monotonic() - started < 50
        killer.wait()


def test_watching_costs_no_cpu_time(supervise: Callable[..., Supervisor]) -> None:
    """A second of watching takes less than a twentieth of a second of CPU time.

    Whatever else this process does only adds to it: one quiet second is enough to tell.
    """
    with supervise(program("idle", SLEEP)) as supervisor:
        start_all(supervisor)
        assert any(cpu_seconds(supervisor) < 0.05 for _ in range(10))


def cpu_seconds(supervisor: Supervisor) -> float:
    before, end = time.process_time(), time.monotonic() + 1
    while time.monotonic() < end:
        supervisor.wait(end - time.monotonic())
    return time.process_time() - before


def test_signal_handlers_are_given_back(supervise: Callable[..., Supervisor]) -> None:
    """After the supervisor the process has the handlers it had before."""
    before = signal.getsignal(signal.SIGTERM)
    with supervise():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties children to us")
def test_children_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    """When the supervisor is killed, its children get SIGTERM."""
    code = (
        "import os, sys; from pathlib import Path; "
        "from veritag.process.run_directory import RunDirectory; "
        "from veritag.process.supervisor import Program, Supervisor\n"
        "home = Path(sys.argv[1]); run = RunDirectory(home); run.acquire()\n"
        f"idle = Program('idle', (sys.executable, '-c', {SLEEP!r}), os.environ, "
        "lambda: None, 1)\n"
        "with Supervisor([idle], run, home / 'logs', 5) as s:\n"
        "    s.start('idle'); print('up', flush=True); s.wait(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"up\n"
    child = RunningChild(**json.loads((tmp_path / "run" / "idle.json").read_text()))
    assert child.runs()
    process.kill()
    process.wait()
    wait_for(lambda: not child.runs())


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", SLEEP])


def orphans_of(run: RunDirectory) -> Sequence[str]:
    return [child.role for child in run.orphans()]


def test_an_orphan_is_found_and_stopped(tmp_path: Path) -> None:
    """A child that an earlier run wrote down and that still runs is stopped."""
    run = RunDirectory(tmp_path)
    run.acquire()
    process = sleeper()
    run.write_child(RunningChild("worker", process.pid, start_time(process.pid)))
    assert orphans_of(run) == ["worker"]
    assert run.stop_orphans(60) == ["worker"]
    assert process.wait(60) == -signal.SIGTERM
    assert not list(run.path.glob("*.json"))
    run.release()


@pytest.mark.skipif(sys.platform != "linux", reason="of the threads of Linux")
def test_an_orphan_that_ends_is_waited_for_to_its_last_thread(tmp_path: Path) -> None:
    """A process whose first thread has ended counts as running while others run."""
    run = RunDirectory(tmp_path)
    run.acquire()
    process = subprocess.Popen([sys.executable, "-c", HALF_ENDED])
    born = start_time(process.pid)
    state = Path(f"/proc/{process.pid}/stat")
    wait_for(lambda: state.read_text().rpartition(")")[2].split()[0] == "Z")
    run.write_child(RunningChild("worker", process.pid, born))
    assert run.stop_orphans(60) == ["worker"]
    assert start_time(process.pid) is None
    process.wait()
    run.release()


def test_another_process_of_the_same_number_is_left_alone(tmp_path: Path) -> None:
    """A process of the same number that started at another time is not stopped."""
    run = RunDirectory(tmp_path)
    run.acquire()
    process = sleeper()
    born = start_time(process.pid)
    assert born is not None
    run.write_child(RunningChild("worker", process.pid, born - 60))
    assert run.stop_orphans(1) == []
    assert process.poll() is None
    process.kill()
    process.wait()
    run.release()


def test_a_second_run_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    """The error names the process that holds the directory, until it releases it."""
    first, second = RunDirectory(tmp_path), RunDirectory(tmp_path)
    first.acquire()
    with pytest.raises(ConfigurationError, match=rf"process {os.getpid()}\b"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
