"""`veritag up` as a process, seen from outside."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from services.system.ports import HTTP_ROLES
from tests.ports import free_port
from tests.real_parts import outside
from veritag.process.run_directory import SYSTEM, RunDirectory
from veritag.records import Records
from veritag.records.status import SystemCounts, system_counts
from veritag.settings import Settings

_SETTINGS = {
    "VERITAG_SETTLE_IDLE_SECONDS": "1.5",
    # A lost message is published again after this time.
    "VERITAG_REPUBLISH_SECONDS": "4",
    "VERITAG_VISIBILITY_TIMEOUT_SECONDS": "30",
}
_START_SECONDS = 120.0


class System:
    """A running system in a temporary directory, on ports of its own."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str]) -> None:
        # Ports of metrics, too: two systems that start at once would choose the same.
        names = ["DICOM", "REVIEW", *(f"{role.upper()}_HTTP" for role in HTTP_ROLES)]
        ports = {f"VERITAG_{name}_PORT": str(free_port()) for name in names}
        self.data_dir = data_dir
        self.environment = {**outside(), **_SETTINGS, **ports, **environment}
        self.environment["VERITAG_DATA_DIR"] = str(data_dir)
        self.run = RunDirectory(data_dir)
        self.records = Records.open(Settings(data_dir=data_dir).records_url)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until every process is ready."""
        self.run.path.mkdir(parents=True, exist_ok=True)
        self.run.forget(SYSTEM)
        with (self.data_dir / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "veritag.cli", "up"],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_SECONDS
        while self.run.read(SYSTEM) is None:
            assert self._process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop it by SIGTERM; return the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(90)

    def kill(self) -> None:
        """Kill `veritag up` itself, as the kernel may when memory runs out."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def output(self) -> str:
        """Return the output of `veritag up`."""
        return (self.data_dir / "up.log").read_text(encoding="utf-8", errors="replace")

    @property
    def where(self) -> dict[str, Any]:
        """Addresses and paths of the system, from `run/system.json`."""
        return self.run.read(SYSTEM) or {}

    @property
    def port(self) -> int:
        """Port of the Storage SCP."""
        return int(self.environment["VERITAG_DICOM_PORT"])

    def signal_child(self, role: str, number: signal.Signals) -> int:
        """Send a signal to a process of the system; return its process id."""
        child = self.run.read(role)
        assert child is not None
        os.kill(child["pid"], number)
        return int(child["pid"])

    def counts(self) -> SystemCounts:
        """Return the counts from the records."""
        return system_counts(self.records)

    def wait_for(
        self, true: Callable[[SystemCounts], bool], seconds: float = 120
    ) -> SystemCounts:
        """Wait until the counts meet a condition; return them."""
        deadline = time.monotonic() + seconds
        while not true(now := self.counts()):
            assert time.monotonic() < deadline, f"{now}\n{self.output()}"
            time.sleep(0.1)
        return now

    def get(self, path: str) -> Any:
        """Return the answer of the JSON API."""
        url = self.where["review_url"] + "api/v1/" + path
        with urllib.request.urlopen(url, timeout=45) as answer:  # noqa: S310 - ours
            return json.load(answer)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post JSON to the JSON API and return the answer."""
        request = urllib.request.Request(  # noqa: S310 - ours
            self.where["review_url"] + "api/v1/" + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=45) as answer:  # noqa: S310 - ours
            return json.load(answer)

    def metric(self, role: str, name: str) -> float:
        """Return the sum of a metric over its labels, as Prometheus would see it."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.scrape(role))
            for sample in family.samples
            if sample.name == name
        )

    def scrape(self, role: str) -> str:
        """Return the metrics of a process as text."""
        url = self.where["metrics"][role]
        with urllib.request.urlopen(url, timeout=45) as answer:  # noqa: S310 - ours
            return str(answer.read().decode())

    def command(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        """Run a `veritag` command with the system's settings."""
        return subprocess.run(
            [sys.executable, "-m", "veritag.cli", *argv],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
