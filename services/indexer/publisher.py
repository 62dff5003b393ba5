"""The publisher: publishes indexed instances to the broker, in a thread of the indexer.

The ids in memory are a shortcut. The records know which instances are not published;
after a failure the publisher reads them from there.
"""

import threading
import time
from collections.abc import Iterable, Sequence

from veritag.errors import BrokerUnavailable, RetryableError
from veritag.messaging.dispatcher import Dispatcher
from veritag.messaging.messages import MAX_INSTANCES
from veritag.process.backoff import Backoff
from veritag.process.logs import get_logger
from veritag.process.metrics import DISPATCH_FAILURES
from veritag.records import Records
from veritag.records.reception import dispatching

# Interval of reading the unpublished instances from the records, without a failure.
_SWEEP_SECONDS = 30.0
_SWEEP_LIMIT = 1024


class Publisher:
    """Publishes instance ids in its own thread.

    Parameters
    ----------
    linger_seconds
        Longest time from the acknowledgement of an instance during which it waits for
        others in the same message.
    """

    def __init__(
        self, records: Records, dispatcher: Dispatcher, linger_seconds: float
    ) -> None:
        self._records = records
        self._dispatcher = dispatcher
        self._linger = linger_seconds
        self._pending: list[int] = []
        self._due = float("inf")
        # The first sweep is due at once: a crash may have left unpublished instances.
        self._sweep_at = 0.0
        self._delays = Backoff(first=0.5, longest=10.0)
        self._problem: str | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._log = get_logger()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Publish the pending ids, then end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def add(self, instance_ids: Iterable[int], age_seconds: float) -> None:
        """Add ids; the oldest instance was acknowledged `age_seconds` ago."""
        with self._changed:
            if self._problem:
                return  # the next sweep reads them from the records
            self._pending.extend(instance_ids)
            if self._pending:
                self._due = min(
                    self._due, time.monotonic() + self._linger - age_seconds
                )
                self._changed.notify()

    def problem(self) -> str | None:
        """Return why the last attempt failed, None if it succeeded."""
        return self._problem

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._has_work():
                    self._changed.wait(self._seconds_left())
                stopping = self._stopping
                batch, self._pending = self._take()
            try:
                self._work(batch)
            except RetryableError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - this thread must not end
                self._log.exception("publisher_failed")
                self._fail(error)
            if stopping:
                return

    def _has_work(self) -> bool:
        full = len(self._pending) >= MAX_INSTANCES
        return self._stopping or full or self._seconds_left() <= 0

    def _seconds_left(self) -> float:
        return max(0.0, min(self._due, self._sweep_at) - time.monotonic())

    def _take(self) -> tuple[list[int], list[int]]:
        """Return the ids to publish now, and the others: full messages, or all when due."""
        if self._stopping or time.monotonic() >= self._due:
            self._due = float("inf")
            return self._pending, []
        full = len(self._pending) // MAX_INSTANCES * MAX_INSTANCES
        return self._pending[:full], self._pending[full:]

    def _work(self, batch: Sequence[int]) -> None:
        if batch and not self._problem:
            self.publish(batch)
        if time.monotonic() >= self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Publish the instances that are unpublished in the records."""
        while ids := dispatching.undispatched_instances(self._records, _SWEEP_LIMIT):
            self.publish(ids)
            with self._changed:
                swept = set(ids)
                self._pending = [i for i in self._pending if i not in swept]
        if self._problem:
            self._log.info("dispatch_recovered")
        self._problem = None
        self._delays.reset()
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS

    def publish(self, instance_ids: Sequence[int]) -> None:
        """Publish ids and mark them in the records; publishing twice is harmless.

        Raises
        ------
        BrokerUnavailable
            The ids that were not published stay unmarked in the records.
        RecordsUnavailable
            Published ids stay unmarked, and are published again.
        """
        sent: list[int] = []
        try:
            for start in range(0, len(instance_ids), MAX_INSTANCES):
                message = instance_ids[start : start + MAX_INSTANCES]
                self._dispatcher.inspect(message)
                sent.extend(message)
        finally:
            # After a failure too: else the next sweep would publish these ids again.
            if sent:
                dispatching.mark_dispatched(self._records, sent)
                self._log.info("instances_dispatched", instance_ids=tuple(sent))

    def _fail(self, error: Exception) -> None:
        if isinstance(error, BrokerUnavailable):
            DISPATCH_FAILURES.inc()
        delay = self._delays.next()
        self._log.warning("dispatch_failed", reason=str(error), retry_in_seconds=delay)
        with self._changed:
            self._problem = str(error)
            self._pending.clear()
            self._due = float("inf")
            self._sweep_at = time.monotonic() + delay
