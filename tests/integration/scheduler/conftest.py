"""The sites of the worker tests, for the scheduler."""

from tests.integration.worker.conftest import make_site, phantom_bundle

__all__ = ["make_site", "phantom_bundle"]
