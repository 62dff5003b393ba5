"""A drawn set of pictures of known kind, as a folder with a table of labels."""

from pathlib import Path

import pytest

from tests.unit.model_training.image_folders import write_labelled


@pytest.fixture(scope="session")
def labelled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return drawn pictures of four kinds, a patient each, with their labels."""
    return write_labelled(tmp_path_factory.mktemp("labelled"))
