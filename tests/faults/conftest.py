"""Fixtures: the shim that records steps on files, compiled once."""

from pathlib import Path

import pytest

from tests.faults.steps import Recorder, compile_recorder


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    return compile_recorder(tmp_path_factory.mktemp("steps"))


@pytest.fixture
def recorder(shim: Path, tmp_path: Path) -> Recorder:
    """A recorder of a new data directory."""
    under = tmp_path / "data"
    under.mkdir()
    return Recorder(shim, tmp_path / "steps.log", under)
