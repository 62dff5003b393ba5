"""A small site for the worker: records, archive and a real broker, no listener."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset

from services.system.private_broker import PrivateBroker, prepare_broker
from tests.real_parts import require
from veritag.errors import MissingPart
from veritag.messaging.dispatcher import Dispatcher
from veritag.records import Records
from veritag.records.reception.registration import register
from veritag.records.status import SystemCounts, system_counts
from veritag.settings import Settings
from veritag.storage.archive import Archive
from veritag.storage.stored_instance import Provenance, StoredInstance

WORK = "run_worker"
SCHEDULE = "run_scheduler"
TRAIN = "run_trainer"
_MODULES = {
    WORK: "worker.process",
    SCHEDULE: "services.scheduler.scheduler",
    TRAIN: "model_training.promotion.trainer",
}

_START = """
import sys
from veritag.process.logs import configure_logging
from veritag.settings import load_settings
from {module} import {run}
{before}
settings = load_settings()
configure_logging(settings, "test")
sys.exit({run}(settings))
"""

# A decoder that crashes on the instance with this patient's name.
CRASH = """
import os, signal
from worker import preparation
make_tile = preparation.make_tile
def crash(ds, *args, **kwargs):
    if str(ds.PatientName) == "CRASH":
        os.kill(os.getpid(), signal.SIGKILL)
    return make_tile(ds, *args, **kwargs)
preparation.make_tile = crash
"""

# A decoder that never ends and holds the interpreter's lock. The time limit leaves time
# for the start of the decoding processes, which the other instances wait for.
HANG = """
from worker import inspect_batch, preparation
inspect_batch.INSTANCE_SECONDS = 8.0
make_tile = preparation.make_tile
def hang(ds, *args, **kwargs):
    if str(ds.PatientName) == "HANG":
        import re
        re.match("(a+)+$", "a" * 64 + "b")
    return make_tile(ds, *args, **kwargs)
preparation.make_tile = hang
"""

# A slow decoder, so that a signal arrives during the work on a message.
SLOW = """
import time
from worker import preparation
make_tile = preparation.make_tile
def slow(ds, *args, **kwargs):
    time.sleep(0.5)
    return make_tile(ds, *args, **kwargs)
preparation.make_tile = slow
"""


@dataclass
class Site:
    """Everything around a worker process."""

    data_dir: Path
    bundle: Path
    options: dict[str, Any] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _names: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        try:
            self.broker: PrivateBroker = prepare_broker(self.data_dir, 0)
        except MissingPart as error:
            require(None, str(error))
        self.settings = Settings(
            data_dir=self.data_dir,
            broker_url=self.broker.url,
            worker_http_port=0,
            scheduler_http_port=0,
            trainer_http_port=0,
            **{
                "bundle_dir": self.bundle,
                "schedule_seconds": 0.2,
                **self.options,
            },
        )
        self.settings.archive_dir.mkdir(parents=True)
        self.records = Records.open(self.settings.records_url)
        self.records.migrate()
        self.dispatcher = Dispatcher.open(self.settings)
        self.start_broker()

    def start_broker(self) -> None:
        """Start the broker and wait until it answers."""
        self.broker_process = self._spawn([*self.broker.argv])
        self.until(self.broker.answers)

    def start(self, run: str, before: str = "") -> subprocess.Popen[bytes]:
        """Start a worker or scheduler process on this site's settings."""
        code = _START.format(run=run, module=_MODULES[run], before=before)
        return self._spawn([sys.executable, "-c", code], log=f"{run}.log")

    def _spawn(
        self, argv: Sequence[str], log: str = "broker.log"
    ) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        for name in ("data_dir", "broker_url", "bundle_dir", *_FOR_PROCESSES):
            value = getattr(self.settings, name) if hasattr(self, "settings") else None
            if value is not None:
                shown = getattr(value, "get_secret_value", lambda v=value: v)()
                environment[f"VERITAG_{name.upper()}"] = str(shown)
        with (self.data_dir / log).open("ab") as output:
            process = subprocess.Popen(
                argv,
                env=environment,
                stdout=output,
                stderr=output,
                cwd=Path(__file__).parents[3],
            )
        self.processes.append(process)
        return process

    def log(self, run: str) -> list[dict[str, Any]]:
        """Return the log lines of a worker or scheduler."""
        written = (self.data_dir / f"{run}.log").read_text()
        # The last line may be incomplete.
        lines = written.rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def receive(self, datasets: Sequence[Dataset]) -> list[int]:
        """Archive and record instances as the indexer does; return their ids."""
        return list(register(self.records, [self._stored(d) for d in datasets]).new_ids)

    def send(self, datasets: Sequence[Dataset]) -> list[int]:
        """Receive instances and publish their inspection."""
        ids = self.receive(datasets)
        self.dispatcher.inspect(ids)
        return ids

    def _stored(self, ds: Dataset) -> StoredInstance:
        stream = BytesIO()
        ds.save_as(stream, enforce_file_format=True)
        content = stream.getvalue()
        name = f"spool-{next(self._names)}"
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        source = self.data_dir / name
        source.write_bytes(content)
        key = Archive(self.settings.archive_dir).put(source, digest)
        now = datetime.now(UTC)
        return StoredInstance(
            spool_name=name,
            digest=digest,
            archive_key=key,
            size=len(content),
            sop_class_uid=ds.SOPClassUID,
            sop_instance_uid=ds.SOPInstanceUID,
            transfer_syntax_uid=ds.file_meta.TransferSyntaxUID,
            study_instance_uid=ds.StudyInstanceUID,
            series_instance_uid=ds.SeriesInstanceUID,
            provenance=Provenance("SENDER", "VERITAG", "127.0.0.1", "a1", now),
        )

    def counts(self) -> SystemCounts:
        """Return the counts of the records."""
        return system_counts(self.records)

    def until(self, condition: Callable[[], bool], seconds: float = 120.0) -> None:
        """Wait until a condition holds; fail after so many seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not hold in time"
            time.sleep(0.05)

    def until_inspected(self, count: int) -> None:
        """Wait until so many instances have a verdict."""
        self.until(lambda: self.counts().inspected >= count)

    def http(self, run: str, path: str) -> tuple[int, str]:
        """Return status and body of a process's HTTP port."""
        started = [line for line in self.log(run) if "http_port" in line]
        url = f"http://127.0.0.1:{started[-1]['http_port']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def close(self) -> None:
        """End every process of the site."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(60)
        self.dispatcher.close()
        self.records.close()


_FOR_PROCESSES = (
    "decode_seconds",
    "database_url",
    "worker_http_port",
    "scheduler_http_port",
    "trainer_http_port",
    "train_clusters",
    "train_hours",
    "train_memory_mb",
    "train_schedule",
    "train_least_instances",
    "train_new_instances",
    "schedule_seconds",
    "settle_idle_seconds",
    "review_budget_per_1000",
    "republish_seconds",
    "stop_grace_seconds",
    "max_attempts",
    "require_gpu",
)
