"""The review service on a port of its own, over records and an archive of phantoms."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from services.review.app import create_app
from tests.integration.review import http
from tests.integration.review.testbed import Ward, fill
from veritag.records import Records
from veritag.settings import Settings

Serve = Callable[..., str]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data directory."""
    return tmp_path / "data"


@contextmanager
def _ward(data_dir: Path) -> Iterator[Ward]:
    records = Records.open(Settings(data_dir=data_dir).records_url)
    records.migrate()
    yield Ward(records, data_dir)
    records.close()


@pytest.fixture
def ward(data_dir: Path) -> Iterator[Ward]:
    """Records and archive in which nothing has arrived yet."""
    with _ward(data_dir) as empty:
        yield empty


@pytest.fixture(scope="session")
def filled_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The data directory of a day, to be copied, and its studies by kind."""
    folder = tmp_path_factory.mktemp("day") / "data"
    with _ward(folder) as ward:
        return folder, fill(ward).studies


@pytest.fixture
def day(filled_day: tuple[Path, dict[str, str]], data_dir: Path) -> Iterator[Ward]:
    """Records and archive after a day with findings."""
    folder, studies = filled_day
    shutil.copytree(folder, data_dir)
    with _ward(data_dir) as ward:
        ward.studies.update(studies)
        yield ward


@pytest.fixture
def serve(data_dir: Path) -> Iterator[Serve]:
    """Return a function that serves the data directory and returns the address."""
    running = []

    def start(**changes: Any) -> str:
        service = _serving(Settings(data_dir=data_dir, **changes))
        running.append(service)
        return service.__enter__()

    yield start
    for service in running:
        service.__exit__(None, None, None)


@contextmanager
def _serving(settings: Settings) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), port=0, access_log=False, log_config=None)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=60)


@pytest.fixture
def client(day: Ward, serve: Serve) -> Iterator[httpx.Client]:
    """A client of the served day."""
    assert day.studies
    with http.client(base_url=serve()) as client:
        yield client
