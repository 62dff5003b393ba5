"""What the process that receives must never load."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "onnxruntime", "fastapi", "sqlalchemy", "celery", "kombu", "alembic"}
LISTENER = """
import json, sys
import services.listener.acceptor, services.listener.commands, services.listener.service
print(json.dumps(sorted(m.partition('.')[0] for m in sys.modules)))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Top-level modules of a fresh interpreter that has loaded the Storage SCP."""
    found = subprocess.run(
        [sys.executable, "-c", LISTENER], capture_output=True, check=True, text=True
    )
    return set(json.loads(found.stdout))


def test_the_listener_is_loaded(loaded: set[str]) -> None:
    """The interpreter in question really has the Storage SCP."""
    assert {"pynetdicom", "services", "veritag"} <= loaded


def test_the_listener_stays_small(loaded: set[str]) -> None:
    """The Storage SCP loads no database, no broker, no model and no web framework."""
    assert loaded & HEAVY == set()
