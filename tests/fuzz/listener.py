"""A `veritag listen` process in folders of its own, with checks of its state."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.ports import free_port, is_open

# Deep enough that a few `..` in a path still lead into the watched root.
_DEPTH = ("a", "b", "c", "d", "data")
_EXPECTED = {"spool", "records.sqlite3", "records.sqlite3-wal", "records.sqlite3-shm",
             "archive"}  # fmt: skip

# Events that the listener may log during fuzzing, all of them without traceback.
EVENTS = {
    "association_aborted",
    "association_established",
    "association_failed",
    "association_rejected",
    "association_released",
    "dispatch_failed",  # there is no broker
    "indexing",
    "instance_refused",
    "instance_stored",
    "instances_indexed",
    "listening",
    "message_not_understood",
    "pdu_not_understood",
    "reception_stopped",
}


@dataclass
class ProcessUsage:
    """Memory, threads and descriptors of the listener process."""

    rss_mb: float
    threads: int
    descriptors: int


@dataclass
class Target:
    """The process, its folders and its log."""

    root: Path
    reception: str = "fast"
    indexer: bool = False
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    events: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the folders."""
        self.data_dir = self.root.joinpath(*_DEPTH)
        self.cwd, self.tmp = self.root / "cwd", self.root / "tmp"
        for folder in (self.data_dir, self.cwd, self.tmp):
            folder.mkdir(parents=True)
        self._log = self.root / "log"

    def start(self, **variables: str) -> None:
        """Start the process, and wait until it listens."""
        environment = {
            **os.environ,
            "HOME": str(self.cwd),
            "TMPDIR": str(self.tmp),
            "VERITAG_DATA_DIR": str(self.data_dir),
            "VERITAG_DICOM_HOST": "127.0.0.1",
            "VERITAG_DICOM_PORT": str(self.port),
            "VERITAG_LISTENER_HTTP_PORT": str(self.http_port),
            "VERITAG_INDEXER_HTTP_PORT": "0",
            "VERITAG_BROKER_URL": "redis://127.0.0.1:9/0",
            "VERITAG_RECEPTION": self.reception,
            "VERITAG_MAX_ASSOCIATIONS": "200",
            "VERITAG_NETWORK_TIMEOUT_SECONDS": "10",
            "VERITAG_DISK_RESERVE_MB": "0",
            **variables,
        }
        arguments = ["listen"] if self.indexer else ["listen", "--no-indexer"]
        command = [sys.executable, "-m", "services.listener", *arguments]
        with self._log.open("ab") as log:
            self.process = psutil.Popen(
                command, env=environment, cwd=self.cwd, stderr=log, stdout=log
            )
        deadline = time.monotonic() + 90
        while not is_open(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it does not start: {self._log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop with SIGTERM; another exit status than 0 is a problem."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(60)
            if status != 0:
                self.problems.append(f"exit status {status}")
        except subprocess.TimeoutExpired:
            self.problems.append("does not stop within 60 s")
            self.process.kill()
            self.process.wait()

    def usage(self) -> ProcessUsage:
        """Return what the process uses now."""
        with self.process.oneshot():
            rss = self.process.memory_info().rss / 1e6
            return ProcessUsage(rss, self.process.num_threads(), self.process.num_fds())

    def idle_usage(self, base: ProcessUsage, seconds: float = 30.0) -> ProcessUsage:
        """Return the usage once threads and descriptors are as before, or note a problem."""
        deadline = time.monotonic() + seconds
        while True:
            now = self.usage()
            if now.threads <= base.threads and now.descriptors <= base.descriptors:
                return now
            if time.monotonic() > deadline:
                self.problems.append(
                    f"left over after {seconds} s: {now}, at first {base}"
                )
                return now
            time.sleep(0.1)

    def ready(self) -> list[Path]:
        """Return the acknowledged files in the spool."""
        return sorted((self.data_dir / "spool" / "ready").iterdir())

    def kept(self, seconds: float = 120.0) -> list[Path]:
        """Return the stored files: those of the archive once an indexer emptied the spool."""
        if not self.indexer:
            return self.ready()
        deadline = time.monotonic() + seconds
        while files := self.ready():
            if time.monotonic() > deadline:
                self.problems.append(f"{len(files)} files are not indexed")
                break
            time.sleep(0.1)
        return sorted((self.data_dir / "archive").rglob("*.dcm"))

    def look_for_strays(self) -> None:
        """Note every file in an unexpected place."""
        for folder in (self.cwd, self.tmp):
            self.problems += [f"stray file {path}" for path in folder.rglob("*")]
        expected = {
            self.data_dir,
            *self.data_dir.parents,
            self._log,
            self.cwd,
            self.tmp,
        }
        for path in self.root.rglob("*"):
            inside = self.data_dir in path.parents
            if path not in expected and not inside:
                self.problems.append(f"stray file {path}")
        for path in self.data_dir.iterdir():
            if path.name not in _EXPECTED:
                self.problems.append(f"stray file {path}")

    def read_log(self) -> None:
        """Check the new lines of the log, and truncate it."""
        lines = self._log.read_bytes().split(b"\n")
        os.truncate(self._log, 0)
        stray: list[bytes] = []
        for line in lines:
            if line.startswith(b"{"):
                self._check_line(line)
            elif line:
                stray.append(line)
        for text in b"\n".join(stray).split(b"Exception in thread"):
            if text:
                self.problems.append(f"no JSON in the log: {text.decode()[-3000:]}")

    def _check_line(self, line: bytes) -> None:
        if any(byte < 0x20 or byte > 0x7E for byte in line):
            self.problems.append(f"raw control character in the log: {line[:300]!r}")
        try:
            event = json.loads(line)
        except ValueError:
            self.problems.append(f"no JSON in the log: {line[:2000]!r}")
            return
        self.events[str(event.get("event"))[:80]] += 1
        if "exception" in event or event.get("event") not in EVENTS:
            self.problems.append(f"unforeseen in the log: {line[:3000].decode()}")

    def metrics(self) -> str:
        """Return the metrics page."""
        url = f"http://127.0.0.1:{self.http_port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return str(answer.read().decode())
