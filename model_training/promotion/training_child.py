"""A training run as a child process with limits, ended together with its descendants."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from veritag.process.supervisor import die_with_parent
from veritag.settings import Settings

GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL."""
_POLL_SECONDS = 0.25
_TAIL_BYTES = 20_000
_LONGEST_ERROR = 1000
_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class TrainingLimits:
    """Limits of a training process.

    Attributes
    ----------
    nice
        Added to the niceness of the process.
    memory_mb
        Resident memory of the process and its children in MB; 0: no limit. Reserved
        memory is not limited: torch and CUDA reserve far more than they use.
    seconds
        Longest duration.
    """

    threads: int
    nice: int
    memory_mb: int
    seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of the settings."""
        return cls(
            threads_of(settings),
            settings.train_nice,
            settings.train_memory_mb,
            settings.train_hours * 3600,
        )


def threads_of(settings: Settings) -> int:
    """Return the number of CPU threads of scheduled training, by default half of all."""
    return settings.train_threads or max(1, (os.cpu_count() or 2) // 2)


def retrain_command(run_id: int) -> list[str]:
    """Return the command line that carries out a run."""
    return [sys.executable, "-m", "veritag.cli", "retrain", "--run", str(run_id)]


class TrainingChild:
    """One training process: start it, watch its limits, end it."""

    def __init__(self, argv: Sequence[str], log: Path, limits: TrainingLimits) -> None:
        self._argv = argv
        self._log = log
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def start(self) -> None:
        """Start the process; its output replaces the output of the previous run."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        threads = str(self._limits.threads)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, threads)},
                # A group of its own: signals reach the descendants and not the trainer.
                start_new_session=True,
                preexec_fn=_ChildSetup(self._limits.nice),  # noqa: PLW1509 - two system calls
            )
        self._started = time.monotonic()

    def ended(self, seconds: float, stopping: threading.Event | None = None) -> bool:
        """Wait; return whether the process ended, before the deadline and `stopping`."""
        deadline = time.monotonic() + seconds
        while self._running.poll() is None:
            if time.monotonic() >= deadline or (stopping and stopping.is_set()):
                return False
            # Not wait(timeout): Celery's signal handlers must run in between.
            time.sleep(_POLL_SECONDS)
        return True

    def excess(self) -> str | None:
        """Return which limit the process exceeds, None while it keeps all."""
        if time.monotonic() - self._started > self._limits.seconds:
            hours = self._limits.seconds / 3600
            return f"ended after {hours:g} hours, the limit of VERITAG_TRAIN_HOURS"
        limit = self._limits.memory_mb
        # Measured only under a limit, because all processes of the machine are read.
        used = group_memory(self._running.pid) // _MEGABYTE if limit else 0
        if used > limit:
            return (
                f"ended at {used} MB of memory, over VERITAG_TRAIN_MEMORY_MB ({limit})"
            )
        return None

    def end(self) -> None:
        """End the process and its children: SIGTERM, after a grace period SIGKILL."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        if not self.ended(GRACE_SECONDS):
            self._signal(signal.SIGKILL)
        self._process.wait()
        # Children may outlive their parent; they are in the same process group.
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running.pid, number)

    def failure(self) -> str | None:
        """Return why the ended process failed, None where it succeeded."""
        status = self._running.returncode
        if status == 0:
            return None
        if status < 0:
            name = signal.Signals(-status).name
            hint = ": out of memory?" if name == "SIGKILL" else ""
            return f"the training process was killed by {name}{hint}"
        return (
            last_error(self._log) or f"the training process ended with status {status}"
        )

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the training was not started")
        return self._process


_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class _ChildSetup:
    """Function that runs in the child between fork and exec.

    Another thread may hold a lock at the fork: it makes system calls only.
    """

    def __init__(self, nice: int) -> None:
        self._nice = nice
        self._die_with_parent = die_with_parent()

    def __call__(self) -> None:
        os.nice(self._nice)
        if self._die_with_parent is not None:
            self._die_with_parent()


def last_error(log: Path) -> str | None:
    """Return the last error in the output, None where there is none.

    Veritag's own errors are returned as written, they hold no patient data; of others
    only the class name, because their text may quote a Data Set.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    start = text.rfind("error: ")
    if start >= 0:
        return " ".join(text[start + len("error: ") :].split())[:_LONGEST_ERROR]
    names = re.findall(r"^([A-Za-z_][\w.]*(?:Error|Exception))\b", text, re.MULTILINE)
    return f"the training process ended with {names[-1]}" if names else None


def group_memory(group: int) -> int:
    """Return the resident memory of a process group in bytes.

    Pages that processes share are counted for each.
    """
    total = 0
    for process in psutil.process_iter():
        # A process may end between the listing and the reading.
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group:
                total += process.memory_info().rss
    return total
