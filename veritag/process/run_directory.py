"""The `run` folder of a data directory: which processes run there, and since when.

A lock allows only one `veritag up` in a data directory. Each child is written down with
its start time, which tells it apart from a later process of the same number: the
children of a killed run are found and stopped, and no other process.
"""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from veritag.errors import ConfigurationError

SYSTEM = "system"

# Linux derives the start time from the boot time, which moves a little when the system
# clock is adjusted. No process number comes again within so short a time.
_SAME_START_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RunningChild:
    """A child process as written down in `run/<role>.json`.

    Attributes
    ----------
    born
        Start time in seconds since 1970; None if it ended before that was read.
    """

    role: str
    pid: int
    born: float | None
    starts: int = 1
    http_port: int | None = None

    def runs(self) -> bool:
        """Return whether this process runs, and not a later one of the same number."""
        now = start_time(self.pid)
        if now is None or self.born is None:
            return False
        return abs(now - self.born) < _SAME_START_SECONDS


class RunDirectory:
    """The folder `data_dir/run`, which one `veritag up` holds at a time."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "run"
        self._lock: int | None = None

    def acquire(self) -> None:
        """Lock the folder.

        Raises
        ------
        ConfigurationError
            If another run holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            # The kernel releases it when the process ends, by SIGKILL too.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 32).decode().strip() or "unknown"
            os.close(lock)
            raise ConfigurationError(
                f"veritag up already runs in {self.path.parent} (process {holder}); "
                "stop it, or choose another directory with --data"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def release(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write `run/<name>.json`; a reader sees the old or the new content."""
        temporary = self.path / f".{name}.part"
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path / f"{name}.json")

    def write_child(self, child: RunningChild) -> None:
        """Write `run/<role>.json`."""
        self.write(child.role, asdict(child))

    def forget(self, name: str) -> None:
        """Remove `run/<name>.json`."""
        (self.path / f"{name}.json").unlink(missing_ok=True)

    def read(self, name: str) -> dict[str, Any] | None:
        """Return the content of `run/<name>.json`, None where there is none."""
        try:
            content = json.loads(
                (self.path / f"{name}.json").read_text(encoding="utf-8")
            )
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def orphans(self) -> Iterator[RunningChild]:
        """Yield the children of an earlier run that still run."""
        for file in sorted(self.path.glob("*.json")):
            try:
                child = RunningChild(**(self.read(file.stem) or {}))
                runs = child.runs()
            except TypeError:  # another file, or one of another version
                continue
            if runs:
                yield child

    def stop_orphans(self, grace_seconds: float) -> list[str]:
        """Stop the children of an earlier run; return their roles."""
        orphans = list(self.orphans())
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + grace_seconds
            for child in orphans:
                if child.runs():
                    os.kill(child.pid, number)
            while any(c.runs() for c in orphans) and time.monotonic() < deadline:
                time.sleep(0.05)
        for file in self.path.glob("*.json"):
            file.unlink()
        return [child.role for child in orphans]


def start_time(pid: int) -> float | None:
    """Return when a process started, in seconds since 1970; None if nothing of it runs."""
    try:
        process = psutil.Process(pid)
        # When a process ends, its first thread may be gone before others free the ports.
        if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1:
            return None
        return process.create_time()
    except psutil.NoSuchProcess:
        return None
