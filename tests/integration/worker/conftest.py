"""Sites for worker processes, with a bundle of phantoms."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import make_bundle
from tests.integration.worker.testbed import Site


@pytest.fixture(scope="session")
def phantom_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that knows four kinds of phantoms."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "bundle").path


@pytest.fixture
def make_site(tmp_path: Path, phantom_bundle: Path) -> Iterator[Callable[..., Site]]:
    """Return a function that builds a site with other settings than the defaults."""
    sites: list[Site] = []

    def make(**options: Any) -> Site:
        sites.append(Site(tmp_path, phantom_bundle, options))
        return sites[-1]

    yield make
    for site in sites:
        site.close()
