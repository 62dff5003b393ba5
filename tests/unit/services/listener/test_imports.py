"""Packages that the listener process must never load."""

import json
import subprocess
import sys

import pytest

from veritag.process.memory import UNNEEDED_PACKAGES

HEAVY = {
    "alembic",
    "celery",
    "fastapi",
    "jinja2",
    "kombu",
    "onnxruntime",
    "psycopg",
    "redis",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "torch",
    *UNNEEDED_PACKAGES,
}
# The command itself, with the process that it runs left out.
LISTENER = """
import json, sys
from services.listener.commands import listen
import services.listener
class Service:
    run_listener = staticmethod(lambda *_, **__: None)
sys.modules["services.listener.service"] = Service
listen()
del sys.modules["services.listener.service"]
import services.listener.acceptor, services.listener.service
print(json.dumps(sorted({n.partition('.')[0] for n, m in sys.modules.items() if m})))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Top-level modules of a fresh interpreter that has run the command."""
    listed = subprocess.run(
        [sys.executable, "-c", LISTENER], capture_output=True, check=True, text=True
    )
    return set(json.loads(listed.stdout))


def test_the_listener_is_loaded(loaded: set[str]) -> None:
    """The interpreter has loaded the Storage SCP."""
    assert {"pynetdicom", "services", "veritag"} <= loaded


def test_the_listener_stays_small(loaded: set[str]) -> None:
    """The Storage SCP loads no database, broker, model, web framework or numpy."""
    assert loaded & HEAVY == set()
