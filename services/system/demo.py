"""`veritag demo`: runs the system on synthetic studies, from C-STORE to findings."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from services.system.demo_report import DemoReport, flagged_series, show_report
from services.system.demo_studies import DemoStudies, real_files, write_studies
from services.system.ports import is_taken
from services.system.programs import reachable, require_extras
from veritag.errors import StopError
from veritag.peers.association import Receiver
from veritag.peers.storage_scu import SendOutcome, send
from veritag.process.run_directory import SYSTEM, RunDirectory
from veritag.process.supervisor import die_with_parent
from veritag.records import Records
from veritag.records.inspection.settling import due_series
from veritag.records.status import SystemCounts, system_counts
from veritag.settings import NEVER, Settings, load_settings

_SETTLE_SECONDS = "2"
_START_SECONDS = 150.0
_INSPECT_SECONDS = 300.0
# Settings that the demo ignores: those of the data, records and broker of an installation.
_IGNORED_VARIABLES = (
    "VERITAG_DATA_DIR",
    "VERITAG_DATABASE_URL",
    "VERITAG_BROKER_URL",
    "VERITAG_CONFIG",
    "VERITAG_CALLING_AE_TITLES",
)


class DemoFailed(StopError):
    """The demo failed."""


@dataclass(frozen=True)
class _RunningSystem:
    process: subprocess.Popen[bytes]
    description: dict[str, Any]
    settings: Settings


def run_demo(*, leave: bool, as_json: bool) -> int:
    """Run the demo; return the exit status.

    Parameters
    ----------
    leave
        Stop the system at the end instead of waiting for Ctrl-C.
    """
    require_extras()
    started = time.monotonic()
    console = Console(stderr=True)
    # At either signal the system is stopped and its directory removed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="veritag-demo-") as folder:
        data_dir, outgoing = Path(folder) / "data", Path(folder) / "outgoing"
        outgoing.mkdir()
        with _system(data_dir, console, lambda: write_studies(outgoing)) as (
            system,
            studies,
        ):
            outcomes = _send_all(system, outgoing, console)
            report = _report(system, studies, outcomes, console)
            report = replace(report, seconds=round(time.monotonic() - started, 1))
            if as_json:
                sys.stdout.write(json.dumps(asdict(report)) + "\n")
                sys.stdout.flush()
            else:
                show_report(report)
            if not leave:
                _wait_for_ctrl_c(system, console)
    return 0 if report.succeeded or not leave else 1


@contextmanager
def _system(
    data_dir: Path, console: Console, make_studies: Callable[[], DemoStudies]
) -> Iterator[tuple[_RunningSystem, DemoStudies]]:
    """Run `veritag up` in its own process; write the studies while it starts."""
    data_dir.mkdir(parents=True)
    with (data_dir / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "veritag.cli", "up"],
            env=_environment(data_dir),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one system call
        )
    try:
        with _step(console, "starting the system and drawing synthetic studies"):
            studies = make_studies()
            description = _wait_for_start(process, data_dir)
        yield _RunningSystem(process, description, _settings(data_dir)), studies
    finally:
        process.terminate()
        with _step(console, "stopping the system"):
            process.wait()


@contextmanager
def _step(console: Console, title: str) -> Iterator[None]:
    """Show a step: on a terminal while it runs, else as a line."""
    if console.is_terminal:
        with console.status(title):
            yield
    else:
        console.print(title, highlight=False)
        yield


def _environment(data_dir: Path) -> dict[str, str]:
    variables = {k: v for k, v in os.environ.items() if k not in _IGNORED_VARIABLES}
    variables["VERITAG_DATA_DIR"] = str(data_dir)
    variables.setdefault("VERITAG_SETTLE_IDLE_SECONDS", _SETTLE_SECONDS)
    # A dozen studies are too few for a training.
    variables.setdefault("VERITAG_TRAIN_SCHEDULE", NEVER)
    defaults = Settings.model_construct()
    for variable, host, port in (
        ("VERITAG_DICOM_PORT", defaults.dicom_host, defaults.dicom_port),
        ("VERITAG_REVIEW_PORT", defaults.review_host, defaults.review_port),
    ):
        if variable not in variables and is_taken(host, port):
            variables[variable] = "0"
    return variables


def _settings(data_dir: Path) -> Settings:
    """Return the settings that open the records of the demo."""
    for variable in _IGNORED_VARIABLES:
        os.environ.pop(variable, None)
    return load_settings(data_dir=data_dir)


def _wait_for_start(process: subprocess.Popen[bytes], data_dir: Path) -> dict[str, Any]:
    run, deadline = RunDirectory(data_dir), time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        description = run.read(SYSTEM)
        if description is not None:
            return description
        time.sleep(0.1)
    output = (data_dir / "up.log").read_text(encoding="utf-8", errors="replace")
    raise DemoFailed(f"the system did not start:\n{output}")


def _send_all(
    system: _RunningSystem, outgoing: Path, console: Console
) -> list[SendOutcome]:
    description = system.description
    receiver = Receiver(
        reachable(description["dicom_host"]),
        description["dicom_port"],
        description["ae_title"],
        "VERITAG-DEMO",
    )
    files = [*real_files(), *sorted(outgoing.glob("*.dcm"))]
    with _step(console, f"sending {len(files)} instances to port {receiver.port}"):
        outcomes = send(receiver, files)
    for outcome in outcomes:
        if outcome.reason is not None:
            console.print(
                f"not stored: {outcome.path.name}: {outcome.reason}",
                markup=False,
                soft_wrap=True,
            )
    return outcomes


def _report(
    system: _RunningSystem,
    studies: DemoStudies,
    outcomes: list[SendOutcome],
    console: Console,
) -> DemoReport:
    sent = sum(o.stored for o in outcomes)
    records = Records.open(system.settings.records_url)
    try:
        with _step(console, "inspecting"):
            counts = _wait_until_settled(records, sent)
        series, bundle_id = flagged_series(records)
    finally:
        records.close()
    return DemoReport.of(
        studies=studies,
        flagged=series,
        counts=counts,
        sent=sent,
        refused=len(outcomes) - sent,
        review_url=system.description["review_url"],
        bundle_id=bundle_id,
    )


def _wait_until_settled(records: Records, sent: int) -> SystemCounts:
    deadline = time.monotonic() + _INSPECT_SECONDS
    while time.monotonic() < deadline:
        counts = system_counts(records)
        done = counts.received >= sent and counts.backlog == 0
        if done and not due_series(records, 0.0, 1e9, limit=1):
            return counts
        time.sleep(0.3)
    raise DemoFailed(
        f"not all instances were inspected: sent {sent}, recorded {counts.received}, "
        f"waiting {counts.backlog}"
    )


def _wait_for_ctrl_c(system: _RunningSystem, console: Console) -> None:
    console.print(
        f"Veritag keeps running; review at {system.description['review_url']}, Ctrl-C stops it."
    )
    try:
        system.process.wait()
    except KeyboardInterrupt:
        return
