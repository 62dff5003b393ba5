"""The review service on a port of its own, over records and an archive of phantoms."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from services.review.app import create_app
from tests.integration.review import http
from tests.integration.review.testbed import ReviewTestbed, fill
from tests.waiting import wait_for
from veritag.records import Records
from veritag.settings import Settings

Serve = Callable[..., str]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """An empty data directory."""
    return tmp_path / "data"


@contextmanager
def _testbed(data_dir: Path) -> Iterator[ReviewTestbed]:
    records = Records.open(Settings(data_dir=data_dir).records_url)
    records.migrate()
    yield ReviewTestbed(records, data_dir)
    records.close()


@pytest.fixture
def testbed(data_dir: Path) -> Iterator[ReviewTestbed]:
    """Empty records and archive."""
    with _testbed(data_dir) as testbed:
        yield testbed


@pytest.fixture(scope="session")
def filled_day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The data directory of a day, for copies, and its studies by kind."""
    folder = tmp_path_factory.mktemp("day") / "data"
    with _testbed(folder) as testbed:
        return folder, fill(testbed).studies


@pytest.fixture
def day(
    filled_day: tuple[Path, dict[str, str]], data_dir: Path
) -> Iterator[ReviewTestbed]:
    """Records and archive after a day with findings."""
    folder, studies = filled_day
    shutil.copytree(folder, data_dir)
    with _testbed(data_dir) as testbed:
        testbed.studies.update(studies)
        yield testbed


@pytest.fixture
def serve(data_dir: Path) -> Iterator[Serve]:
    """A function that serves the data directory and returns the address."""
    with ExitStack() as services:
        yield lambda **changes: services.enter_context(
            _serving(Settings(data_dir=data_dir, **changes))
        )


@contextmanager
def _serving(settings: Settings) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), port=0, access_log=False, log_config=None)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started or not thread.is_alive())
    assert server.started
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=60)


@pytest.fixture
def client(day: ReviewTestbed, serve: Serve) -> Iterator[httpx.Client]:
    """A client of the served day."""
    assert day.studies
    with http.client(base_url=serve()) as client:
        yield client
