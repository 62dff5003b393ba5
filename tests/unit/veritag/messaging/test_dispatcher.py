"""The dispatcher with a real broker that is killed, frozen and restarted."""

import json
import os
import signal
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.real_parts import program
from tests.waiting import wait_for
from veritag.errors import BrokerUnavailable
from veritag.messaging.dispatcher import Dispatcher
from veritag.messaging.messages import (
    QUEUE_INSPECTION,
    QUEUE_SETTLING,
    TASK_INSPECT,
    InspectInstances,
    SettleSeries,
)
from veritag.settings import Settings


class Redis:
    """A Redis on a socket in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "broker.sock"
        self.folder = folder

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.socket.unlink(missing_ok=True)
        arguments = ["--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        command = [program("redis-server"), *arguments, "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for(self._answers)

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """Return the messages that wait in a queue."""
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            return [json.loads(m) for m in client.lrange(queue, 0, -1)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    """A running Redis."""
    server = Redis(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def dispatcher(server: Redis) -> Iterator[Dispatcher]:
    """A dispatcher to that Redis."""
    dispatcher = Dispatcher.open(Settings(broker_url=f"redis+socket://{server.socket}"))
    yield dispatcher
    dispatcher.close()


def _payload(message: dict[str, Any]) -> Any:
    return json.loads(b64decode(message["body"]))[0][0]


def test_instances_are_published_by_32(server: Redis, dispatcher: Dispatcher) -> None:
    """Seventy instances make three messages with the task's name and the ids."""
    dispatcher.inspect(range(70))
    messages = server.messages(QUEUE_INSPECTION)
    assert {m["headers"]["task"] for m in messages} == {TASK_INSPECT}
    ids = [InspectInstances.decode(_payload(m)).instance_ids for m in messages]
    assert sorted(map(len, ids)) == [6, 32, 32]
    assert sorted(sum(ids, ())) == list(range(70))


def test_series_go_to_their_own_queue(server: Redis, dispatcher: Dispatcher) -> None:
    """Settling has its own queue, so that it does not wait behind inspections."""
    dispatcher.settle([7])
    (message,) = server.messages(QUEUE_SETTLING)
    assert SettleSeries.decode(_payload(message)).series_ids == (7,)


def test_nothing_to_publish_is_nothing(server: Redis, dispatcher: Dispatcher) -> None:
    """An empty list of ids publishes no message."""
    dispatcher.inspect([])
    assert server.messages(QUEUE_INSPECTION) == []


def test_a_dead_broker_is_said_at_once(server: Redis, dispatcher: Dispatcher) -> None:
    """Without a broker publishing fails in bounded time with BrokerUnavailable."""
    dispatcher.inspect([1])
    server.stop()
    for attempt in (dispatcher.ping, lambda: dispatcher.inspect([2])):
        start = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            attempt()
        assert time.monotonic() - start < 60


def test_after_a_restart_it_works_again(server: Redis, dispatcher: Dispatcher) -> None:
    """After a restart of the broker the same dispatcher publishes again."""
    dispatcher.inspect([1])
    server.stop()
    with pytest.raises(BrokerUnavailable):
        dispatcher.inspect([2])
    server.start()
    dispatcher.inspect([3])
    dispatcher.ping()
    assert len(server.messages(QUEUE_INSPECTION)) == 1


def test_an_unnoticed_restart_is_survived(
    server: Redis, dispatcher: Dispatcher
) -> None:
    """A broker that was restarted between two messages gets the second."""
    dispatcher.inspect([1])
    server.stop()
    server.start()
    dispatcher.inspect([2])
    assert len(server.messages(QUEUE_INSPECTION)) == 1


def test_a_frozen_broker_does_not_hang_us(
    server: Redis, dispatcher: Dispatcher
) -> None:
    """A frozen broker costs a bounded time; afterwards publishing works again."""
    dispatcher.inspect([1])
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            dispatcher.inspect([2])
        assert time.monotonic() - start < 60
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    dispatcher.inspect([3])
    assert len(server.messages(QUEUE_INSPECTION)) >= 2
