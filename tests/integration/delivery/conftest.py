"""Destinations, requestors and the delivery process, over real archives."""

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom.dsutils import split_dataset

from services.indexer.indexer import describe
from services.system.ports import is_taken
from tests.integration.listener.wire import CT_IMAGE_STORAGE, data_set, element
from tests.ports import free_port, is_open
from tests.real_parts import program
from tests.waiting import wait_for
from veritag.dicom.part10 import encode_file_meta
from veritag.records import Records
from veritag.records.reception.registration import register
from veritag.settings import Settings
from veritag.storage.archive import Archive
from veritag.storage.spool import Spool
from veritag.storage.stored_instance import Provenance, StoredInstance

IMPLICIT = "1.2.840.10008.1.2"


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Collect the garbage of each test before the next one starts."""
    yield
    gc.collect()


@dataclass
class Site:
    """A data directory with its received instances."""

    data_dir: Path
    records: Records
    sent: dict[str, bytes] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """Settings of this site."""
        return Settings(data_dir=self.data_dir)

    @property
    def spool(self) -> Spool:
        """The spool, with its folders."""
        spool = Spool(self.settings.spool_dir)
        spool.prepare()
        return spool

    def receive(
        self,
        uid: str,
        *,
        sop_class: str = CT_IMAGE_STORAGE,
        modality: str = "CT",
        calling: str = "SCANNER1",
        filler: int = 0,
    ) -> str:
        """Acknowledge an instance; return its spool name."""
        body = element(0x00080060, modality.encode())
        encoded = data_set(sop_class, uid)
        # Modality follows the SOP Instance UID (PS3.5 section 7.1).
        start = len(element(0x00080016, sop_class.encode())) + len(
            element(0x00080018, uid.encode())
        )
        encoded = (
            encoded[:start]
            + body
            + encoded[start:]
            + element(0x00291010, bytes(filler))
        )
        self.sent[uid] = encoded
        origin = Provenance(calling, "VERITAG", "127.0.0.1", "a1", datetime.now(UTC))
        header = encode_file_meta(sop_class, uid, IMPLICIT, origin)
        return self.spool.store((header, encoded))

    def index(self, *names: str) -> list[StoredInstance]:
        """Index what is in the spool."""
        spool, archive = self.spool, Archive(self.settings.archive_dir)
        archive.root.mkdir(parents=True, exist_ok=True)
        instances = [describe(spool.path(name)) for name in names]
        for instance in instances:
            archive.put(spool.path(instance.spool_name), instance.digest)
        register(self.records, instances)
        for name in names:
            spool.remove(name)
        return instances


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A migrated data directory without instances."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    records = Records.open(Settings(data_dir=data_dir).records_url)
    records.migrate()
    yield Site(data_dir, records)
    records.close()


@dataclass
class Destination:
    """DCMTK's storescp, which can be stopped and started on the same port."""

    folder: Path
    arguments: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.folder.mkdir(exist_ok=True)
        options = self.arguments or ("--accept-all",)
        self.process = subprocess.Popen(
            [
                program("storescp"),
                *options,
                "--bit-preserving",
                "--unique-filenames",
                "-od",
                str(self.folder),
                str(self.port),
            ],
            env={"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: is_taken("127.0.0.1", self.port))

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def count(self) -> int:
        """Return the number of received instances."""
        return sum(1 for _ in self.folder.iterdir())

    def received(self) -> dict[str, bytes]:
        """Return the encoded Data Sets by SOP Instance UID."""
        data_sets = {}
        for path in self.folder.iterdir():
            meta, offset = split_dataset(path)
            assert meta.TransferSyntaxUID == IMPLICIT
            uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
            data_sets[uid] = path.read_bytes()[offset:]
        return data_sets


@pytest.fixture
def destination(tmp_path: Path) -> Iterator[Callable[..., Destination]]:
    """Return a function that makes destinations, running by default."""
    destinations: list[Destination] = []

    def make(*arguments: str, running: bool = True) -> Destination:
        new = Destination(tmp_path / f"destination-{len(destinations)}", arguments)
        destinations.append(new)
        new.folder.mkdir()
        if running:
            new.start()
        return new

    yield make
    for each in destinations:
        each.stop()


@dataclass
class Delivery:
    """`veritag deliver` as a process."""

    data_dir: Path
    peers: str
    changes: dict[str, str] = field(default_factory=dict)
    http_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {
            **os.environ,
            "VERITAG_DATA_DIR": str(self.data_dir),
            "VERITAG_PEERS": self.peers,
            "VERITAG_DELIVERY_HTTP_PORT": str(self.http_port),
            **self.changes,
        }
        command = [sys.executable, "-m", "veritag.cli", "deliver"]
        with (self.data_dir / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log)
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log
        return is_open(self.http_port)

    @property
    def log(self) -> str:
        """The log so far."""
        return (self.data_dir / "log").read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for its end; return the exit status."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def deliver(site: Site) -> Iterator[Callable[..., Delivery]]:
    """Return a function that starts the delivery of the site."""
    started: list[Delivery] = []

    def start(*peers: str, **changes: Any) -> Delivery:
        new = Delivery(site.data_dir, ",".join(peers), changes)
        started.append(new)
        new.start()
        return new

    yield start
    for each in started:
        if each.process is not None and each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@contextmanager
def thread_of(work: Callable[[Any], None]) -> Iterator[None]:
    """Run a function of the delivery in a thread, and stop it at the end."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(45)
    assert not thread.is_alive()
