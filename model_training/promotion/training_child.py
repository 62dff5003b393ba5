"""A training run in a process of its own, with limits, ended with all it has started."""

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

from veritag.process.supervisor import die_with_parent
from veritag.settings import Settings

GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.25
_TAIL_BYTES = 20_000
_LONGEST = 1000
_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class TrainingLimits:
    """What a training may use.

    Attributes
    ----------
    memory_mb
        Resident memory of the process and its children; 0: no limit. What is reserved
        is not limited: torch and CUDA reserve far more than they use.
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
    """Return the CPU threads of scheduled training."""
    return settings.train_threads or max(1, (os.cpu_count() or 2) // 2)


def retrain_command(run_id: int) -> list[str]:
    """Return the command line that carries out a run."""
    return [sys.executable, "-m", "veritag.cli", "retrain", "--run", str(run_id)]


class TrainingChild:
    """One training process, started, watched and ended."""

    def __init__(self, argv: Sequence[str], log: Path, limits: TrainingLimits) -> None:
        self._argv = argv
        self._log = log
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    def start(self) -> None:
        """Start the process; its output replaces that of the run before."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        threads = str(self._limits.threads)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, threads)},
                start_new_session=True,
                preexec_fn=self._prepare(),  # noqa: PLW1509 - two system calls
            )
        self._started = time.monotonic()

    def _prepare(self) -> "_Prepare":
        return _Prepare(self._limits.nice)

    def ended(self, seconds: float, stopping: threading.Event | None = None) -> bool:
        """Wait so long for the end, or until `stopping`; tell whether it has ended."""
        deadline = time.monotonic() + seconds
        while self._running.poll() is None:
            if time.monotonic() >= deadline or (stopping and stopping.is_set()):
                return False
            # Not wait(timeout): Celery's signal handlers want to run in between.
            time.sleep(_POLL_SECONDS)
        return True

    def excess(self) -> str | None:
        """Return which limit is exceeded, None while all are kept."""
        if time.monotonic() - self._started > self._limits.seconds:
            hours = self._limits.seconds / 3600
            return f"ended after {hours:g} hours, as VERITAG_TRAIN_HOURS says"
        limit = self._limits.memory_mb
        used = group_memory(self._running.pid) // _MEGABYTE if limit else 0
        if used > limit:
            return (
                f"ended at {used} MB of memory, over VERITAG_TRAIN_MEMORY_MB ({limit})"
            )
        return None

    def end(self) -> None:
        """End the process and its children, first kindly; nothing where it has ended."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        if not self.ended(GRACE_SECONDS):
            self._signal(signal.SIGKILL)
        self._process.wait()
        # Children that outlived it.
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running.pid, number)

    def failure(self) -> str | None:
        """Return why the ended process failed, None where it did not."""
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


class _Prepare:
    """What the child does before it becomes the training; no allocation, no locks."""

    def __init__(self, nice: int) -> None:
        self._nice = nice
        self._tie = die_with_parent()

    def __call__(self) -> None:
        os.nice(self._nice)
        if self._tie is not None:
            self._tie()


def last_error(log: Path) -> str | None:
    """Return the last error that the output tells.

    Our own errors as they stand, they are written without patient data; of others only
    the kind: their text may quote a Data Set.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    found = text.rfind("error: ")
    if found >= 0:
        return " ".join(text[found + len("error: ") :].split())[:_LONGEST]
    kinds = re.findall(r"^([A-Za-z_][\w.]*(?:Error|Exception))\b", text, re.MULTILINE)
    return f"the training process ended with {kinds[-1]}" if kinds else None


def group_memory(group: int) -> int:
    """Return the resident memory of a process group in bytes; 0 where it cannot be told.

    Pages that processes share are counted for each.
    """
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # A process may end while we look.
        with contextlib.suppress(OSError, ValueError, IndexError):
            # proc(5): pgrp is field 5 and rss field 24; the name, field 2, may hold blanks.
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return total
