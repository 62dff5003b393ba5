"""Sites with a real broker and records for the trainer, and folders of images."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import make_bundle
from tests.integration.worker.testbed import Site
from tests.real_parts import require
from tests.unit.model_training.image_folders import write_labelled, write_phantoms


@pytest.fixture(scope="session", autouse=True)
def _training_packages() -> None:
    """Skip the folder where PyTorch is not installed."""
    require(find_spec("torch"), "PyTorch is not installed")
    require(find_spec("sklearn"), "scikit-learn is not installed")


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of phantom files of four kinds."""
    return write_phantoms(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(scope="session")
def labelled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return drawn pictures of four kinds, a patient each, with their labels."""
    return write_labelled(tmp_path_factory.mktemp("labelled"))


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Return a function that builds a site with other settings than the defaults."""
    sites: list[Site] = []

    def make(**options: Any) -> Site:
        bundles = tmp_path / "bundles"
        if not bundles.exists():
            make_bundle(bundles / "first", ["CT-HEAD", "MR-KNEE"])
            (bundles / "active").write_text("first\n")
        sites.append(Site(tmp_path, bundles, options))
        return sites[-1]

    yield make
    for site in sites:
        site.close()
