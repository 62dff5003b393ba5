"""The supervisor: keeps the processes of one data directory running, stops them in order.

It sleeps in one `recv` between events. The end of a child and a signal both wake it
through the same socket pair, so that watching costs no CPU time.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from veritag.process.health import Check
from veritag.process.run_directory import RunDirectory, RunningChild, start_time
from veritag.process.supervised_process import SupervisedProcess

_LARGEST_LOG = 20_000_000
_LOG_CHECK_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """A program that the supervisor keeps running.

    Attributes
    ----------
    check
        Whether the process can do its work: None when it can, else the reason.
    layer
        The highest layer stops first, the lowest last; one layer stops together.
    """

    role: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    check: Check
    layer: int
    http_port: int | None = None


@dataclass
class Supervisor:
    """Starts programs, starts again those that end, and stops them layer by layer.

    Attributes
    ----------
    children
        The process of each program, in the order of the programs.
    on_restart
        Called with a process after it was started again.
    signals
        Signals to stop that have arrived.
    """

    programs: Sequence[Program]
    run: RunDirectory
    logs_dir: Path
    grace_seconds: float
    on_restart: Callable[[SupervisedProcess], None] | None = None
    children: list[SupervisedProcess] = field(init=False)
    signals: int = field(default=0, init=False)
    stopping: bool = field(default=False, init=False)
    _wake: tuple[socket.socket, socket.socket] = field(init=False)
    _handlers: dict[int, Any] = field(default_factory=dict, init=False)
    _logs_checked_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Prepare one process per program."""
        self.children = [
            SupervisedProcess(p.role, partial(self._launch, p)) for p in self.programs
        ]

    def __enter__(self) -> Self:
        """Install signal handlers; this works in the main thread only."""
        self._wake = socket.socketpair()
        for end in self._wake:
            end.setblocking(False)
        # Python writes a byte to it at each signal, which ends the sleep in `recv`.
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
        """Stop every child and restore the signal handlers."""
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
        for program, child in self._pairs():
            if program.role == role:
                self._start(program, child)

    def wait(self, timeout: float) -> None:
        """Sleep until an event, at most `timeout` seconds, and act on it."""
        due = [c.start_again_at for c in self.children if c.start_again_at is not None]
        now = time.monotonic()
        until = min([now + timeout, now + _LOG_CHECK_SECONDS, *due])
        _sleep_on(self._wake[0], until - now)
        self._note_ends()
        if not self.stopping:
            self._restart_due()
            self._trim_logs()

    def stop(self) -> None:
        """Stop all children, the highest layer first; each layer has the grace.

        A second signal during the grace kills the children that still run.
        """
        self.stopping = True
        for layer in sorted({p.layer for p in self.programs}, reverse=True):
            self._stop([c for p, c in self._pairs() if p.layer == layer])

    def log_path(self, role: str) -> Path:
        """Return the file of a child's output."""
        return self.logs_dir / f"{role}.log"

    def _pairs(self) -> Iterator[tuple[Program, SupervisedProcess]]:
        return zip(self.programs, self.children, strict=True)

    def _launch(self, program: Program) -> "subprocess.Popen[bytes]":
        with self.log_path(program.role).open("ab") as log:
            return subprocess.Popen(
                program.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(program.environment),
                # Ctrl-C must reach the supervisor alone, which stops them in order.
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call
            )

    def _start(self, program: Program, child: SupervisedProcess) -> None:
        child.start()
        if child.process is not None:
            pid, port = child.process.pid, program.http_port
            self.run.write_child(
                RunningChild(program.role, pid, start_time(pid), child.starts, port)
            )

    def _note_ends(self) -> None:
        for child in self.children:
            child.poll()

    def _restart_due(self) -> None:
        for program, child in self._pairs():
            if child.start_again_at is None or child.seconds_to_start:
                continue
            # Without memory or descriptors it cannot start; it stays planned.
            with suppress(OSError):
                self._start(program, child)
                if self.on_restart is not None:
                    self.on_restart(child)

    def _stop(self, children: Sequence[SupervisedProcess]) -> None:
        deadline = time.monotonic() + self.grace_seconds
        for child in children:
            child.terminate()
        while any(c.running for c in children):
            left = deadline - time.monotonic()
            if left < 0 or self.signals > 1:
                for child in children:
                    child.kill()
            _sleep_on(self._wake[0], max(left, 0.05))
            self._note_ends()
        for child in children:
            self.run.forget(child.name)

    def _trim_logs(self) -> None:
        """Copy each long log aside and empty it; the children append to it."""
        if time.monotonic() - self._logs_checked_at < _LOG_CHECK_SECONDS:
            return
        self._logs_checked_at = time.monotonic()
        for log in self.logs_dir.glob("*.log"):
            if log.stat().st_size > _LARGEST_LOG:
                log.with_suffix(".log.1").write_bytes(log.read_bytes())
                os.truncate(log, 0)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGCHLD: without a handler the signal would not wake the supervisor."""


def _sleep_on(wake: socket.socket, seconds: float) -> None:
    wake.settimeout(max(seconds, 0.001))
    try:
        wake.recv(4096)
    except (TimeoutError, BlockingIOError):
        return


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent() -> Callable[[], None] | None:
    """Return a `preexec_fn` with which a child ends when this process is killed.

    Only Linux has such a call; elsewhere the next start finds the orphans in `run/`.
    """
    if _libc is None:
        return None
    parent, prctl = os.getpid(), _libc.prctl

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent ended before prctl was called
            os._exit(1)

    return tie
