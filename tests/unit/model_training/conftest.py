"""Phantom files to learn from."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.real_parts import require
from tests.unit.model_training.image_folders import write_phantoms


@pytest.fixture(scope="session", autouse=True)
def _training_packages() -> None:
    """Skip the folder where PyTorch is not installed."""
    require(find_spec("torch"), "PyTorch is not installed")
    require(find_spec("sklearn"), "scikit-learn is not installed")


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of phantom files of four kinds."""
    return write_phantoms(tmp_path_factory.mktemp("phantoms"))
