"""`veritag demo`: the whole life of an image, from a scanner's C-STORE to a finding."""

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
# A demo never touches the records, the broker or the data of a real installation.
_FRESH = (
    "VERITAG_DATA_DIR",
    "VERITAG_DATABASE_URL",
    "VERITAG_BROKER_URL",
    "VERITAG_CONFIG",
    "VERITAG_CALLING_AE_TITLES",
)


class DemoFailed(StopError):
    """The demo did not get to its end."""


@dataclass(frozen=True)
class _RunningSystem:
    process: subprocess.Popen[bytes]
    where: dict[str, Any]
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
    # However it is asked to end, the system is stopped and its directory removed.
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
    data_dir: Path, console: Console, meanwhile: Callable[[], DemoStudies]
) -> Iterator[tuple[_RunningSystem, DemoStudies]]:
    """Run `veritag up` as a process of its own; draw the studies while it starts."""
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
            studies = meanwhile()
            where = _wait_for_start(process, data_dir)
        yield _RunningSystem(process, where, _settings(data_dir)), studies
    finally:
        process.terminate()
        with _step(console, "stopping the system"):
            process.wait()


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    """Show what is going on, on a terminal only while it does."""
    if console.is_terminal:
        with console.status(what):
            yield
    else:
        console.print(what, highlight=False)
        yield


def _environment(data_dir: Path) -> dict[str, str]:
    told = {k: v for k, v in os.environ.items() if k not in _FRESH}
    told["VERITAG_DATA_DIR"] = str(data_dir)
    told.setdefault("VERITAG_SETTLE_IDLE_SECONDS", _SETTLE_SECONDS)
    # Nothing is learnt from a dozen studies.
    told.setdefault("VERITAG_TRAIN_SCHEDULE", NEVER)
    defaults = Settings.model_construct()
    for variable, host, port in (
        ("VERITAG_DICOM_PORT", defaults.dicom_host, defaults.dicom_port),
        ("VERITAG_REVIEW_PORT", defaults.review_host, defaults.review_port),
    ):
        if variable not in told and is_taken(host, port):
            told[variable] = "0"
    return told


def _settings(data_dir: Path) -> Settings:
    """Return settings that only tell where the demo's records are."""
    for variable in _FRESH:
        os.environ.pop(variable, None)
    return load_settings(data_dir=data_dir)


def _wait_for_start(process: subprocess.Popen[bytes], data_dir: Path) -> dict[str, Any]:
    run, deadline = RunDirectory(data_dir), time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        where = run.read(SYSTEM)
        if where is not None:
            return where
        time.sleep(0.1)
    said = (data_dir / "up.log").read_text(encoding="utf-8", errors="replace")
    raise DemoFailed(f"the system did not start:\n{said}")


def _send_all(
    system: _RunningSystem, outgoing: Path, console: Console
) -> list[SendOutcome]:
    where = system.where
    receiver = Receiver(
        reachable(where["dicom_host"]),
        where["dicom_port"],
        where["ae_title"],
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
            found = _wait_until_settled(records, sent)
        series, bundle_id = flagged_series(records)
    finally:
        records.close()
    return DemoReport.of(
        studies=studies,
        flagged=series,
        counts=found,
        sent=sent,
        refused=len(outcomes) - sent,
        review_url=system.where["review_url"],
        bundle_id=bundle_id,
    )


def _wait_until_settled(records: Records, sent: int) -> SystemCounts:
    deadline = time.monotonic() + _INSPECT_SECONDS
    while time.monotonic() < deadline:
        found = system_counts(records)
        done = found.received >= sent and found.backlog == 0
        if done and not due_series(records, 0.0, 1e9, limit=1):
            return found
        time.sleep(0.3)
    raise DemoFailed(
        f"not all was inspected: sent {sent}, recorded {found.received}, "
        f"waiting {found.backlog}"
    )


def _wait_for_ctrl_c(system: _RunningSystem, console: Console) -> None:
    console.print(
        f"Veritag keeps running; review at {system.where['review_url']}, Ctrl-C stops it."
    )
    try:
        system.process.wait()
    except KeyboardInterrupt:
        return
