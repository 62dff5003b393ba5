"""`veritag up`: checks of readiness, environment of the processes, errors and logs."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from services.system.ports import Ports
from services.system.private_broker import PrivateBroker
from services.system.programs import System, http_check
from services.system.up import StartFailed, _wait_ready, run
from services.system.up_display import StartDisplay, summary
from tests.ports import free_port
from tests.real_parts import outside, require
from tests.waiting import wait_for
from veritag.errors import ConfigurationError
from veritag.process.health import HealthServer
from veritag.process.run_directory import RunDirectory
from veritag.process.supervisor import Program, Supervisor
from veritag.settings import Settings

PORTS = Ports(
    11112,
    8080,
    {"listener": 1, "indexer": 2, "worker": 3, "scheduler": 4, "trainer": 5},
)
BROKER = PrivateBroker(("/usr/bin/redis-server",), "redis://:secret@h:1/0", None, 1, "")


def check_of(reason: str | None) -> str | None:
    server = HealthServer("127.0.0.1", 0, {"records": lambda: reason})
    port = server.start()
    try:
        check = http_check("127.0.0.1", port)
        return next(state for state in iter(check, object()) if state != "starting")
    finally:
        server.stop()


def test_a_ready_process_has_no_reason() -> None:
    """200 on /ready means ready."""
    assert check_of(None) is None


def test_a_process_that_is_not_ready_names_its_dependency() -> None:
    """503 on /ready gives the reason of the failing dependency."""
    assert check_of("no answer") == "records: no answer"


def test_a_process_that_does_not_answer_is_starting() -> None:
    """No connection means that the process is still starting."""
    assert http_check("127.0.0.1", free_port())() == "starting"


def test_the_processes_get_their_settings_by_environment(tmp_path: Path) -> None:
    """The environment holds the data directory, the ports and the private broker."""
    system = System(Settings(data_dir=tmp_path), PORTS, BROKER)
    programs = {program.role: program for program in system.programs()}
    assert next(iter(programs)) == "broker"
    assert list(programs)[-1] == "listener"
    environment = programs["worker"].environment
    assert environment["VERITAG_DATA_DIR"] == str(tmp_path)
    assert environment["VERITAG_WORKER_HTTP_PORT"] == "3"
    assert environment["VERITAG_BROKER_URL"] == BROKER.url
    assert programs["listener"].argv[-2:] == ("listen", "--no-indexer")
    assert (
        programs["listener"].layer > programs["worker"].layer > programs["broker"].layer
    )


@pytest.mark.parametrize(
    ("peers", "expected"), [((), False), (("PACS@pacs.example:104;forward",), True)]
)
def test_the_delivery_runs_where_it_has_somebody_to_call(
    tmp_path: Path, peers: tuple[str, ...], expected: bool
) -> None:
    """Without peers the delivery is not started."""
    ports = Ports(11112, 8080, {**PORTS.http, "delivery": 6})
    system = System(Settings(data_dir=tmp_path, peers=peers), ports, BROKER)
    assert ("delivery" in [p.role for p in system.programs()]) is expected
    assert ("delivery" in system.describe()["metrics"]) is expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"train_schedule": "never"}, False),
        ({"train_schedule": "never", "train_new_decisions": 50}, True),
    ],
)
def test_the_trainer_runs_where_something_may_ask_for_it(
    tmp_path: Path, settings: dict[str, Any], expected: bool
) -> None:
    """The trainer is started if a schedule or a need is configured."""
    require(find_spec("torch"), "PyTorch is not installed")
    system = System(Settings(data_dir=tmp_path, **settings), PORTS, BROKER)
    roles = [program.role for program in system.programs()]
    assert ("trainer" in roles) is expected
    assert ("trainer" in system.describe()["metrics"]) is expected


def test_where_everything_is_holds_no_password(tmp_path: Path) -> None:
    """The summary and run/system.json hold addresses and no passwords."""
    system = System(
        Settings(data_dir=tmp_path, review_host="::", dicom_host="0.0.0.0"),  # noqa: S104
        PORTS,
        BROKER,
    )
    description = system.describe()
    assert description["review_url"] == "http://[::1]:8080/"
    assert description["metrics"]["worker"] == "http://127.0.0.1:3/metrics"
    assert "secret" not in str(description)
    shown = io.StringIO()
    Console(width=120, file=shown).print(summary({**description, "moved": ["worker"]}))
    assert "http://127.0.0.1:3/metrics (its default port is taken)" in shown.getvalue()


def test_only_the_dicom_ports_that_are_open_are_shown(tmp_path: Path) -> None:
    """With the plain port closed the summary names the TLS port only."""
    settings = Settings(data_dir=tmp_path, dicom_plain=False, dicom_tls_port=2762)
    description = System(settings, PORTS, BROKER).describe()
    shown = io.StringIO()
    Console(width=120, file=shown).print(summary(description))
    assert "VERITAG @ 0.0.0.0:2762" in shown.getvalue()
    assert f"0.0.0.0:{PORTS.dicom} " not in shown.getvalue()


@pytest.fixture
def supervised(tmp_path: Path) -> Callable[[str], Supervisor]:
    def make(code: str) -> Supervisor:
        run_directory = RunDirectory(tmp_path)
        run_directory.path.mkdir()
        argv = (sys.executable, "-c", code)
        program = Program("worker", argv, os.environ, lambda: "starting", 1)
        return Supervisor([program], run_directory, tmp_path / "logs", 5)

    return make


def test_a_process_that_keeps_ending_is_told_with_its_last_words(
    supervised: Callable[[str], Supervisor],
) -> None:
    """The error holds the exit status and the end of the log of the process."""
    words = "import sys; print('the bundle is damaged'); sys.exit(3)"
    display = StartDisplay(["worker"], Console(quiet=True))
    with supervised(words) as supervisor:
        supervisor.start("worker")
        with pytest.raises(
            StartFailed, match=r"worker ended with status 3[^$]*damaged"
        ):
            _wait_ready(supervisor, supervisor.programs, display)


def test_a_large_log_is_cut(supervised: Callable[[str], Supervisor]) -> None:
    """A log over its limit is copied and emptied."""
    with supervised("") as supervisor:
        log = supervisor.log_path("worker")
        log.write_bytes(b"x" * 20_000_001)
        supervisor._logs_checked_at = float("-inf")
        supervisor.wait(0.01)
        assert log.stat().st_size == 0
        assert log.with_name("worker.log.1").stat().st_size == 20_000_001


def test_a_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A data directory that cannot be created is an error that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file/data"):
        run(Settings(data_dir=tmp_path / "file" / "data"))


_HANGING_START = """
import sys, time
from pathlib import Path
from services.system import up
from veritag.process.run_directory import RunDirectory
from veritag.settings import Settings

def hang(_settings):
    Path(sys.argv[1], "migrating").touch()
    time.sleep(600)

up._migrate = hang
directory = RunDirectory(Path(sys.argv[1]))
directory.acquire()
up._prepare_records(Settings(data_dir=Path(sys.argv[1])), directory)
"""


def test_a_start_killed_while_it_waits_for_the_database_frees_the_folder(
    tmp_path: Path,
) -> None:
    """The process that prepares the records ends with its parent, and holds no lock."""
    start = subprocess.Popen(
        [sys.executable, "-c", _HANGING_START, str(tmp_path)], env=outside()
    )
    try:
        wait_for((tmp_path / "migrating").exists)
        [preparation] = psutil.Process(start.pid).children(recursive=True)
    finally:
        start.kill()
        start.wait()
    directory = RunDirectory(tmp_path)
    directory.acquire()
    directory.release()
    psutil.wait_procs([preparation], timeout=20)
    assert not preparation.is_running()
