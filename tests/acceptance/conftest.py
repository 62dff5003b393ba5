"""One system for all acceptance tests; each counts only what it has sent itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.system import System
from tests.bundles import make_bundle
from veritag.bundles.bundle import MANIFEST, starter_bundle_path
from veritag.phantoms.series import KINDS


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running `veritag up` with the starter bundle."""
    environment = {}
    if not (starter_bundle_path() / MANIFEST).is_file():
        bundle = tmp_path_factory.mktemp("bundle") / "phantoms"
        make_bundle(bundle, KINDS)
        environment["VERITAG_BUNDLE_DIR"] = str(bundle)
    running = System(tmp_path_factory.mktemp("system"), environment)
    running.start()
    yield running
    status = running.stop()
    running.records.close()
    assert status == 0, running.output()


@pytest.fixture
def outgoing(system: System, tmp_path: Path) -> Path:
    """An empty folder for files to send, once all instances of other tests are processed."""
    ready = system.data_dir / "spool" / "ready"
    system.wait_for(lambda now: now.backlog == 0 and not list(ready.iterdir()))
    folder = tmp_path / "outgoing"
    folder.mkdir()
    return folder
