"""Liveness, readiness and metrics over HTTP."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from veritag.errors import ConfigurationError
from veritag.process.health import HealthServer
from veritag.process.metrics import INSTANCES_RECEIVED

state: dict[str, str | None] = {}


def _broken() -> str | None:
    raise OSError("no route")


@pytest.fixture
def address() -> Iterator[str]:
    """Base URL of a running health server with one dependency to switch."""
    state["records"] = None
    server = HealthServer("127.0.0.1", 0, {"records": lambda: state["records"]})
    yield f"http://127.0.0.1:{server.start()}"
    server.stop()


def get(url: str) -> tuple[int, str]:
    """Return status and body."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_ready_names_the_dependency_that_is_not(address: str) -> None:
    """200 while all checks pass, else 503 with the reason."""
    assert get(address + "/ready")[0] == 200
    state["records"] = "the database does not answer"
    status, body = get(address + "/ready")
    assert status == 503
    assert json.loads(body)["dependencies"] == {
        "records": "the database does not answer"
    }
    assert get(address + "/live")[0] == 200


def test_a_check_that_raises_is_an_answer() -> None:
    """A check that raises makes the process unready; the server keeps running."""
    server = HealthServer("127.0.0.1", 0, {"spool": _broken})
    status, body = get(f"http://127.0.0.1:{server.start()}/ready")
    server.stop()
    assert status == 503
    assert "no route" in body


def test_metrics_are_in_the_text_format(address: str) -> None:
    """Metrics are served under /metrics; other paths are 404."""
    INSTANCES_RECEIVED.inc()
    assert "veritag_instances_received_total" in get(address + "/metrics")[1]
    assert get(address + "/etc/passwd")[0] == 404


def test_a_taken_port_is_said_in_words() -> None:
    """The error of a taken port names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            HealthServer("127.0.0.1", port, {})
