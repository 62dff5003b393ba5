"""A complete `veritag up`, restarted when it ends as by systemd, with faults from outside."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from services.system.ports import HTTP_ROLES
from tests.faults.failing_parts import Clock, Database, Destination, Disk
from tests.ports import free_port
from tests.real_parts import outside
from veritag.process.run_directory import SYSTEM, RunDirectory
from veritag.records import Records
from veritag.settings import Settings

RESERVE_MB = 64
UP = "up"
PARTS = ("listener", "indexer", "worker", "scheduler", "broker", "review")
_SETTINGS = {
    "VERITAG_SETTLE_IDLE_SECONDS": "3",
    "VERITAG_REPUBLISH_SECONDS": "5",
    "VERITAG_VISIBILITY_TIMEOUT_SECONDS": "30",
    "VERITAG_STOP_GRACE_SECONDS": "5",
    "VERITAG_DISK_RESERVE_MB": str(RESERVE_MB),
    # Workers are killed every minute here, also while they inspect valid instances: the
    # default of three attempts would make dead letters of those.
    "VERITAG_MAX_ATTEMPTS": "20",
    "VERITAG_TRAIN_SCHEDULE": "never",
    "OMP_NUM_THREADS": "1",
}
_START_SECONDS = 120.0
_STOP_SECONDS = 60.0


@dataclass
class SystemUnderTest:
    """The system with its disk, clock, database and destination."""

    root: Path
    disk: Disk
    clock: Clock
    database: Database
    destination: Destination
    settings: Mapping[str, str] = field(default_factory=dict)
    starts: int = 0
    _process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.data_dir = self.disk.path / "data"
        self.run = RunDirectory(self.data_dir)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._watch = threading.Thread(target=self._keep_up, daemon=True)

    def start(self) -> None:
        """Start the system, and restart it from now on whenever it ends."""
        # Fixed ports, so that a part that was killed is found again under its own.
        names = ("DICOM", "REVIEW", *(f"{role.upper()}_HTTP" for role in HTTP_ROLES))
        ports = {f"VERITAG_{name}_PORT": str(free_port()) for name in names}
        own = {"VERITAG_DATA_DIR": str(self.data_dir)}
        if self.database.url:
            own["VERITAG_DATABASE_URL"] = self.database.url
        self.environment = {**outside(), **self.clock.environment, **_SETTINGS}
        self.environment |= {**ports, **own, **self.destination.environment}
        self.environment |= self.settings
        self.run.path.mkdir(parents=True)
        url = own.get("VERITAG_DATABASE_URL")
        settings = Settings(data_dir=self.data_dir, database_url=url)
        self.records = Records.open(settings.records_url)
        self._start()
        self._wait_until_up()
        self._watch.start()

    def _start(self) -> None:
        with (self.root / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "veritag.cli", "up"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.starts += 1

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while self.pid(UP) is None or self.problem(UP) is not None:
            if time.monotonic() > deadline or not self.is_up:
                raise RuntimeError(f"it does not start:\n{self.output()}")
            time.sleep(0.1)

    def _keep_up(self) -> None:
        """Restart the system when it has ended."""
        while not self._ended.wait(0.1):
            with self._lock:
                if not self.is_up and not self._ended.is_set():
                    self._start()

    @property
    def is_up(self) -> bool:
        """Whether `veritag up` itself runs."""
        return self._process is not None and self._process.poll() is None

    def output(self) -> str:
        """Return the end of the output of `veritag up`."""
        text = (self.root / "up.log").read_text("utf-8", errors="replace")
        return text[-4000:]

    @property
    def parts(self) -> tuple[str, ...]:
        """The roles of its processes."""
        return (*PARTS, "delivery") if self.destination.is_there else PARTS

    @property
    def port(self) -> int:
        """Port of the Storage SCP."""
        return int(self.environment["VERITAG_DICOM_PORT"])

    def pid(self, role: str) -> int | None:
        """Return the process id of a role, None while it does not run."""
        if role == UP:
            return self._process.pid if self._process is not None else None
        child = self.run.read(role)
        return int(child["pid"]) if child else None

    def problem(self, role: str) -> str | None:
        """Return why a role is not ready, None if it is ready."""
        if role == UP:
            described = self.run.read(SYSTEM) or {}
            return None if described.get("pid") == self.pid(UP) else "starting"
        child = self.run.read(role)
        if child is None:
            return "not started"
        if role == "broker":
            return self._broker_problem()
        return _ready(int(child["http_port"]))

    def _broker_problem(self) -> str | None:
        try:
            with self.broker() as client:
                client.ping()
        except redis.RedisError as error:
            return str(error)
        return None

    def broker(self) -> "redis.Redis":
        """Return a connection to the private broker."""
        config = (self.data_dir / "broker" / "broker.conf").read_text("utf-8")
        options = dict(
            line.split(" ", 1) for line in config.splitlines() if " " in line
        )
        if "unixsocket" in options:
            path = options["unixsocket"].strip('"')
            return redis.Redis(unix_socket_path=path, socket_timeout=2)
        return redis.Redis(
            port=int(options["port"]), password=options["requirepass"], socket_timeout=2
        )

    def signal(self, role: str, number: signal.Signals) -> int | None:
        """Send a signal to a role; return its process id, None if it does not run."""
        pid = self.pid(role)
        if pid is None:
            return None
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
        return pid

    def kill_all(self) -> int:
        """Kill `veritag up` and all of its processes at once; return how many."""
        with self._lock:
            first = psutil.Process(self.pid(UP))
            family = [first, *first.children(recursive=True)]
            for process in family:
                with suppress(psutil.NoSuchProcess):  # it ended with its parent
                    process.kill()
            psutil.wait_procs(family[1:], timeout=10)
            if self._process is not None:
                self._process.wait()
        return len(family)

    def stop(self) -> int | None:
        """Stop it by SIGTERM; return its exit status."""
        self._ended.set()
        if self._watch.is_alive():
            self._watch.join()
        if self._process is None:
            return None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill_all()
            return None


def _ready(port: int) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        return "does not answer"
    finally:
        connection.close()
    return None if answer.status == http.HTTPStatus.OK else str(body)
