"""Shared parts of the benchmarks: a running system, quantiles, options and output."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_START_SECONDS = 120.0


@dataclass(frozen=True)
class RunningSystem:
    """A `veritag up` in a folder of its own."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    description: Mapping[str, Any]

    @property
    def dicom_port(self) -> int:
        """TCP port of the Storage SCP."""
        return int(self.description["dicom_port"])


def veritag(*arguments: str) -> list[str]:
    """Return the command line of a `veritag` command."""
    return [sys.executable, "-m", "veritag.cli", *arguments]


@contextmanager
def running_system(data_dir: Path, **settings: str) -> Iterator[RunningSystem]:
    """Run `veritag up` on free ports, and stop it at the end."""
    environment = {**os.environ, "VERITAG_DICOM_PORT": "0", "VERITAG_REVIEW_PORT": "0"}
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.log").open("wb") as log:
        process = subprocess.Popen(
            veritag("up", "--data", str(data_dir)),
            env={**environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield RunningSystem(process, data_dir, _wait_for_start(process, data_dir))
    finally:
        process.terminate()
        process.wait()


def _wait_for_start(
    process: subprocess.Popen[bytes], data_dir: Path
) -> Mapping[str, Any]:
    description = data_dir / "run" / "system.json"
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if description.is_file():
            return dict(json.loads(description.read_text("utf-8")))
        time.sleep(0.1)
    raise SystemExit((data_dir / "up.log").read_text("utf-8", errors="replace"))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def exit_on_sigterm() -> None:
    """Raise SystemExit at SIGTERM, so that the servers are stopped, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser with the options of all benchmarks."""
    options = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0]
    )
    options.add_argument("--json", action="store_true", help="print one JSON object")
    return options


def show(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a result, as a table or as one JSON object."""
    values = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", **result}
    if as_json:
        print(json.dumps(values))
        return
    for name, value in values.items():
        if isinstance(value, Mapping):
            inner = "   ".join(f"{k} {_short(v)}" for k, v in value.items())
            print(f"{name:32} {inner}")
        else:
            print(f"{name:32} {_short(value)}")


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
