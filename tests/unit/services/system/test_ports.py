"""The ports of `veritag up`: those of the settings, or free ones for metrics."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from services.system.ports import choose_ports, is_taken
from tests.ports import free_port
from veritag.errors import ConfigurationError
from veritag.settings import Settings


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settings(**values: object) -> Settings:
    free = {
        "dicom_host": "127.0.0.1",
        "dicom_port": 0,
        "review_port": 0,
        "listener_http_port": 0,
        "indexer_http_port": 0,
        "worker_http_port": 0,
        "scheduler_http_port": 0,
        "trainer_http_port": 0,
        "delivery_http_port": 0,
    }
    return Settings(**{**free, **values})  # type: ignore[arg-type]


def test_a_taken_dicom_port_is_an_error_with_the_variable_to_set(taken: int) -> None:
    """The DICOM port never moves: senders are configured for it."""
    with pytest.raises(ConfigurationError, match="VERITAG_DICOM_PORT"):
        choose_ports(settings(dicom_port=taken))


def test_a_taken_metrics_port_that_was_asked_for_is_an_error(taken: int) -> None:
    """An explicitly configured metrics port never moves."""
    with pytest.raises(ConfigurationError, match="VERITAG_WORKER_HTTP_PORT"):
        choose_ports(settings(worker_http_port=taken))


def test_a_taken_default_metrics_port_moves() -> None:
    """A metrics port that is not configured moves to a free port, and is listed."""
    values = settings().model_dump(exclude={"worker_http_port"})
    default = Settings().worker_http_port
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # somebody else holds it already
            held.enter_context(socket.create_server(("127.0.0.1", default)))
        ports = choose_ports(Settings(**values))
    assert ports.moved == ("worker",)
    assert ports.http["worker"] not in {0, default}


def test_two_roles_on_one_port_are_refused() -> None:
    """The error names both roles."""
    port = free_port()
    with pytest.raises(ConfigurationError, match="dicom and review"):
        choose_ports(settings(dicom_port=port, review_port=port))


def test_the_processes_are_told_their_ports() -> None:
    """Each process reads its port from its own variable."""
    ports = choose_ports(settings())
    environment = ports.environment()
    assert environment["VERITAG_DICOM_PORT"] == str(ports.dicom)
    assert environment["VERITAG_INDEXER_HTTP_PORT"] == str(ports.http["indexer"])
    assert all(int(port) > 0 for port in environment.values())


def test_a_port_is_taken_while_somebody_listens(taken: int) -> None:
    """A listening port is taken, a free one is not."""
    assert is_taken("127.0.0.1", taken)
    assert not is_taken("127.0.0.1", free_port())


def test_free_ports_are_never_the_same() -> None:
    """In 2,000 choices no two roles have the same port."""
    wanted = settings()
    for _ in range(2000):
        choose_ports(wanted)
