"""Keeps the processes of one data directory running, and stops them in good order.

Between events it sleeps in one `select`: a child's death and a signal to us both wake
it through the same pipe, so that watching costs no CPU time.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from veritag.process.health import Check
from veritag.process.run_directory import RunDirectory, RunningChild, birth

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
# A child that lived so long works: it starts again without delay, whatever ended it.
_SETTLED_SECONDS = 10.0
_LARGEST_LOG = 20_000_000
_LOG_CHECK_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """A process to keep running.

    Attributes
    ----------
    check
        Asks the process whether it can do its work: None when it can, else the reason.
    layer
        The highest layer stops first and the lowest last; one layer stops together.
    """

    role: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    check: Check
    layer: int
    http_port: int | None = None


@dataclass
class SupervisedProcess:
    """A program with its present process."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    starts: int = 0
    delay: float = _FIRST_DELAY
    start_again_at: float | None = None
    last_status: int | None = None

    @property
    def running(self) -> bool:
        """Say whether a process is there."""
        return self.process is not None


@dataclass
class Supervisor:
    """Starts programs in the given order and stops them in the opposite one."""

    programs: Sequence[Program]
    run: RunDirectory
    logs_dir: Path
    grace_seconds: float
    children: list[SupervisedProcess] = field(init=False)
    on_restart: Callable[[SupervisedProcess], None] | None = None
    signals: int = field(default=0, init=False)
    stopping: bool = field(default=False, init=False)
    _wake: tuple[socket.socket, socket.socket] = field(init=False)
    _handlers: dict[int, Any] = field(default_factory=dict, init=False)
    _logs_checked_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Make one child per program."""
        self.children = [SupervisedProcess(program) for program in self.programs]

    def __enter__(self) -> Self:
        """Take over the signals; only the main thread can."""
        self._wake = socket.socketpair()
        for end in self._wake:
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake[1].fileno(), warn_on_full_buffer=False)
        stopping = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
            stopping.append(signal.SIGHUP)
        for number in stopping:
            self._handlers[number] = signal.signal(number, self._on_stop)
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _nothing)
        self.logs_dir.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop every child and give the signals back."""
        self.stop()
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for end in self._wake:
            end.close()

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True
        self.signals += 1

    def start(self, role: str) -> None:
        """Start one program."""
        self._start(next(c for c in self.children if c.program.role == role))

    def wait(self, timeout: float) -> None:
        """Sleep until something happens, at most `timeout` seconds, and see to it."""
        due = [c.start_again_at for c in self.children if c.start_again_at is not None]
        now = time.monotonic()
        until = min([now + timeout, now + _LOG_CHECK_SECONDS, *due])
        _sleep_on(self._wake[0], until - now)
        self._reap()
        if not self.stopping:
            self._restart_due()
            self._trim_logs()

    def stop(self) -> None:
        """Stop all children, the highest layer first; each layer has the grace.

        A second signal while we wait kills what is left.
        """
        self.stopping = True
        for layer in sorted({c.program.layer for c in self.children}, reverse=True):
            self._stop([c for c in self.children if c.program.layer == layer])

    def log_path(self, role: str) -> Path:
        """Return where a child's output goes."""
        return self.logs_dir / f"{role}.log"

    def _start(self, child: SupervisedProcess) -> None:
        program = child.program
        with self.log_path(program.role).open("ab") as log:
            child.process = subprocess.Popen(
                program.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(program.environment),
                # Ctrl-C in the terminal is for us alone: we stop them in order.
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call
            )
        child.started_at, child.start_again_at = time.monotonic(), None
        child.starts += 1
        pid = child.process.pid
        self.run.write_child(
            RunningChild(program.role, pid, birth(pid), child.starts, program.http_port)
        )

    def _reap(self) -> None:
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            child.last_status, child.process = child.process.returncode, None
            if self.stopping:
                continue
            lived = time.monotonic() - child.started_at
            if lived > _SETTLED_SECONDS:
                child.delay = _FIRST_DELAY
            child.start_again_at = time.monotonic() + child.delay
            child.delay = min(child.delay * 2, _LONGEST_DELAY)

    def _restart_due(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.start_again_at is not None and child.start_again_at <= now:
                self._start(child)
                if self.on_restart is not None:
                    self.on_restart(child)

    def _stop(self, children: Sequence[SupervisedProcess]) -> None:
        deadline = time.monotonic() + self.grace_seconds
        for child in children:
            child.start_again_at = None
            if child.process is not None:
                child.process.terminate()
        while any(c.running for c in children):
            left = deadline - time.monotonic()
            if left < 0 or self.signals > 1:
                for child in children:
                    if child.process is not None:
                        child.process.kill()
            _sleep_on(self._wake[0], max(left, 0.05))
            self._reap()
        for child in children:
            self.run.forget(child.program.role)

    def _trim_logs(self) -> None:
        """Keep one older copy; the children append, so that truncating is safe."""
        if time.monotonic() - self._logs_checked_at < _LOG_CHECK_SECONDS:
            return
        self._logs_checked_at = time.monotonic()
        for log in self.logs_dir.glob("*.log"):
            if log.stat().st_size > _LARGEST_LOG:
                log.with_suffix(".log.1").write_bytes(log.read_bytes())
                os.truncate(log, 0)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGCHLD: being woken is all that is wanted."""


def _sleep_on(wake: socket.socket, seconds: float) -> None:
    wake.settimeout(max(seconds, 0.001))
    try:
        wake.recv(4096)
    except (TimeoutError, BlockingIOError):
        return


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> Callable[[], None] | None:
    """Return, for `preexec_fn`, what ties a child's life to ours, for when we are killed outright.

    Only Linux has this; elsewhere the next start finds the orphans by `run/`.
    """
    if _libc is None:
        return None
    parent, prctl = os.getpid(), _libc.prctl

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # we died before the tie was made
            os._exit(1)

    return tie
