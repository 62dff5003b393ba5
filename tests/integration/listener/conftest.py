"""A listener in this process, listeners as processes, and real brokers."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydicom import config

from services.listener import acceptor as acceptor_module
from services.listener.acceptor import Acceptor
from services.listener.connections import pending_connections as pending_module
from tests.ports import free_port, is_open
from tests.real_parts import require
from tests.waiting import wait_for
from veritag.settings import Settings
from veritag.storage.spool import Spool


@dataclass
class Listening:
    """A Storage SCP with its spool."""

    settings: Settings
    spool: Spool
    acceptor: Acceptor

    @property
    def port(self) -> int:
        """The DICOM port."""
        return self.acceptor.port

    def received(self) -> list[Path]:
        """Return the acknowledged files, oldest first."""
        return [self.spool.path(name) for name in self.spool.names()]


@pytest.fixture
def listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Listening]]:
    """Return a function that starts a Storage SCP with given settings."""
    # As `run_listener` does in a process of its own.
    for mode in ("_reading_validation_mode", "_writing_validation_mode"):
        monkeypatch.setattr(config.settings, mode, config.IGNORE)
    # The stop at the end of each test waits for a turn.
    monkeypatch.setattr(acceptor_module, "_UPKEEP_SECONDS", 0.02)
    started: list[Acceptor] = []

    def start(**changes: Any) -> Listening:
        values = {
            "data_dir": tmp_path / "data",
            "dicom_host": "127.0.0.1",
            "dicom_port": 0,
            "disk_reserve_mb": 0,
            **changes,
        }
        settings = Settings(**values)
        spool = Spool(settings.spool_dir, settings.disk_reserve_mb)
        spool.prepare()
        acceptor = Acceptor(settings, spool)
        acceptor.start()
        started.append(acceptor)
        return Listening(settings, spool, acceptor)

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield start
    for acceptor in started:
        if not acceptor.stopped:
            acceptor.stop(grace_seconds=1)
    structlog.reset_defaults()


@pytest.fixture
def listening(listen: Callable[..., Listening]) -> Listening:
    """A Storage SCP with default limits."""
    return listen()


@dataclass
class Clock:
    """A monotonic clock that a test can advance."""

    ahead: float = 0.0

    def monotonic(self) -> float:
        """Return the time of this clock, in seconds."""
        return time.monotonic() + self.ahead


@pytest.fixture
def pending_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of pending connections, so that a test decides when they are late."""
    clock = Clock()
    monkeypatch.setattr(pending_module, "time", clock)
    return clock


@dataclass
class Broker:
    """A Redis that can be stopped, frozen and started again on the same port."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The broker URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and wait until it answers."""
        binary = _redis_server()
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            [binary, *arguments, "--dir", str(self.folder)], stdout=subprocess.DEVNULL
        )
        wait_for(self._answers)

    def _answers(self) -> bool:
        return is_open(self.port)

    def freeze(self) -> None:
        """Let it accept connections and never answer."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it; its port then refuses connections."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _redis_server() -> str:
    path = shutil.which("redis-server") or shutil.which("valkey-server")
    require(path, "neither redis-server nor valkey-server is on the PATH")
    return str(path)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running Redis with its data in a temporary folder."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder)
    broker.start()
    yield broker
    broker.kill()


@dataclass
class Service:
    """`veritag listen` as a process."""

    data_dir: Path
    broker_url: str
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    indexer_http_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, **changes: str) -> None:
        """Start it with more variables, and wait until it listens."""
        environment = {
            **os.environ,
            "VERITAG_DATA_DIR": str(self.data_dir),
            "VERITAG_DICOM_HOST": "127.0.0.1",
            "VERITAG_DICOM_PORT": str(self.port),
            "VERITAG_LISTENER_HTTP_PORT": str(self.http_port),
            "VERITAG_INDEXER_HTTP_PORT": str(self.indexer_http_port),
            "VERITAG_BROKER_URL": self.broker_url,
            "VERITAG_DISK_RESERVE_MB": "0",
            **changes,
        }
        command = [sys.executable, "-m", "services.listener", "listen", *arguments]
        with (self.data_dir / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log)
        wait_for(self._is_up)

    def _is_up(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log
        return is_open(self.port)

    @property
    def log(self) -> str:
        """The log of the processes so far."""
        return (self.data_dir / "log").read_text()

    def signal(self, number: int) -> None:
        """Send a signal to the listener, not to its indexer."""
        assert self.process
        self.process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end; return the exit status."""
        assert self.process
        return self.process.wait(seconds)


@pytest.fixture
def service(tmp_path: Path, broker: Broker) -> Iterator[Service]:
    """A listener process, not yet started."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    service = Service(data_dir, broker.url)
    yield service
    if service.process is not None and service.process.poll() is None:
        service.process.terminate()
        service.process.wait(60)
