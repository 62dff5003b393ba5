"""The shim that writes steps down, compiled once."""

from pathlib import Path

import pytest

from tests.faults.steps import Recorder, compile_recorder


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    return compile_recorder(tmp_path_factory.mktemp("steps"))


@pytest.fixture
def recorder(shim: Path, tmp_path: Path) -> Recorder:
    """A recorder that looks at a data directory of its own."""
    under = tmp_path / "data"
    under.mkdir()
    return Recorder(shim, tmp_path / "steps.log", under)
