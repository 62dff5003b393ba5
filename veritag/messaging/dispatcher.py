"""The dispatcher: publishes messages for tasks by name, without importing a worker."""

import threading
from collections.abc import Sequence
from typing import Any, Self

from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from kombu.messaging import Producer

from veritag.errors import BrokerUnavailable
from veritag.messaging.celery_config import celery_app, publisher_options
from veritag.messaging.messages import (
    MAX_INSTANCES,
    TASK_INSPECT,
    TASK_SETTLE,
    TASK_TRAIN,
    InspectInstances,
    SettleSeries,
    TrainBundle,
)
from veritag.settings import Settings


class Dispatcher:
    """Publishes messages over one connection, which is replaced when it breaks.

    Safe to use from several threads; one publishes at a time.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    @classmethod
    def open(
        cls, settings: Settings, name: str = "veritag.messaging.dispatcher"
    ) -> Self:
        """Return a dispatcher; it connects at its first use."""
        return cls(celery_app(settings, name))

    def inspect(self, instance_ids: Sequence[int]) -> None:
        """Request the inspection of instances, up to 32 in a message.

        Raises
        ------
        BrokerUnavailable
            After a bounded time; some of the messages may have been published.
        """
        for start in range(0, len(instance_ids), MAX_INSTANCES):
            ids = tuple(instance_ids[start : start + MAX_INSTANCES])
            self._publish(TASK_INSPECT, InspectInstances(ids).encode())

    def settle(self, series_ids: Sequence[int]) -> None:
        """Request the judgement of settled series.

        Raises
        ------
        BrokerUnavailable
            After a bounded time.
        """
        self._publish(TASK_SETTLE, SettleSeries(tuple(series_ids)).encode())

    def train(self, run_id: int) -> None:
        """Request a training run.

        Raises
        ------
        BrokerUnavailable
            After a bounded time.
        """
        self._publish(TASK_TRAIN, TrainBundle(run_id).encode())

    def ping(self) -> None:
        """Raise BrokerUnavailable, after a bounded time, unless the broker answers."""
        with self._lock:
            try:
                # A new connection: an open one shows too late that the broker is gone.
                with self._connect() as connection:
                    connection.default_channel.close()
            except self._failures as error:
                raise _unavailable(error) from error

    def waiting(self, queue: str) -> int:
        """Return the number of messages that wait in a queue.

        Raises
        ------
        BrokerUnavailable
            If the broker does not answer.
        """
        connection = self._connect()
        try:
            with connection:
                channel: Any = connection.default_channel
                return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:
            # A queue that is not declared yet is empty.
            return 0
        except (OperationalError, *connection.connection_errors) as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def _publish(self, task: str, payload: dict[str, Any]) -> None:
        with self._lock:
            try:
                self._send(task, payload)
            except self._failures as error:
                # A broken connection fails again: the next call makes a new one.
                self._drop()
                raise _unavailable(error) from error

    def _send(self, task: str, payload: dict[str, Any]) -> None:
        if self._producer is None:
            self._producer = Producer(self._connect())  # type: ignore[no-untyped-call]
        self._app.send_task(task, args=(payload,), producer=self._producer, retry=False)

    def _connect(self) -> Connection:
        connection: Connection = self._app.connection_for_write(
            transport_options=publisher_options(self._app.conf.broker_url)
        )
        return connection

    @property
    def _failures(self) -> tuple[type[BaseException], ...]:
        transport = self._connect()  # not connected: it only knows its error classes
        return (
            OperationalError,
            *transport.recoverable_connection_errors,
            *transport.recoverable_channel_errors,
        )

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            # Not `close`: with RabbitMQ it would wait for an answer of the lost broker.
            connection = producer.connection
            producer.channel = None
            connection.collect()


def _unavailable(error: BaseException) -> BrokerUnavailable:
    return BrokerUnavailable(f"the message broker does not answer: {error}")
