"""The bundle of phantoms that the tests of the worker share."""

import pytest

from tests.bundles import make_bundle
from veritag.bundles.bundle import ModelBundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """A bundle that knows four kinds of phantoms."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "bundle")
