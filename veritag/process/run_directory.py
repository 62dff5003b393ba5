"""The `run` folder of a data directory: who runs in it, and since when.

A lock makes sure that only one `veritag up` runs in a data directory. Each child is
written down with what tells it apart from a later process of the same number, so that
children of a killed run are found and stopped, and nothing else ever is.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from veritag.errors import ConfigurationError

SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class RunningChild:
    """A child process as written down in `run/<role>.json`.

    Attributes
    ----------
    born
        Start time as the operating system tells it; a process of the same number but
        of another birth is somebody else.
    """

    role: str
    pid: int
    born: str
    starts: int = 1
    http_port: int | None = None


class RunDirectory:
    """Owns `data_dir/run` while `veritag up` runs."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "run"
        self._lock: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises ConfigurationError if another run holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
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
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Replace `run/<name>.json` at once, so that no reader sees half of it."""
        temporary = self.path / f".{name}.part"
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path / f"{name}.json")

    def write_child(self, child: RunningChild) -> None:
        """Write a child down."""
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
        """Yield children of an earlier run that are still alive."""
        for file in sorted(self.path.glob("*.json")):
            try:
                child = RunningChild(**(self.read(file.stem) or {}))
            except TypeError:
                continue
            if child.born and birth(child.pid) == child.born:
                yield child

    def stop_orphans(self, grace_seconds: float) -> list[str]:
        """Stop what an earlier run left behind; return the roles."""
        found = list(self.orphans())
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + grace_seconds
            for child in found:
                _signal(child, number)
            while any(_alive(c) for c in found) and time.monotonic() < deadline:
                time.sleep(0.05)
        for file in self.path.glob("*.json"):
            file.unlink()
        return [child.role for child in found]


def _alive(child: RunningChild) -> bool:
    return birth(child.pid) == child.born


def _signal(child: RunningChild, number: signal.Signals) -> None:
    if _alive(child):
        os.kill(child.pid, number)


def birth(pid: int) -> str:
    """Return when a process started, empty if nothing of it runs (a zombie is none)."""
    if sys.platform == "linux":
        return _linux_birth(pid)
    answer = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip()


def _linux_birth(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    # Of a process that ends, the first thread may be gone before others let go of ports.
    has_ended = fields[0] == "Z" and int(fields[17]) <= 1
    return "" if has_ended else f"{boot}:{fields[19]}"
