"""The publisher: from the records to the broker, beside the indexer.

What it has in memory is a shortcut. The records know what was not yet published, and
after any failure that is what counts.
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

# Also without a failure, should an id ever be forgotten.
_SWEEP_SECONDS = 30.0
_SWEEP_LIMIT = 1024


class Publisher:
    """Publishes instance ids from a thread of its own.

    Parameters
    ----------
    linger_seconds
        Longest time since its acknowledgement that an instance waits for others to
        share its message.
    """

    def __init__(
        self, records: Records, dispatcher: Dispatcher, linger_seconds: float
    ) -> None:
        self._records = records
        self._dispatcher = dispatcher
        self._linger = linger_seconds
        self._pending: list[int] = []
        self._due = float("inf")
        # At once: a crash may have left instances that nobody published.
        self._sweep_at = 0.0
        self._delays = Backoff(first=0.5, longest=10.0)
        self._broken: str | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self._log = get_logger()

    def start(self) -> None:
        """Publish from now on."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Publish what is pending, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def add(self, instance_ids: Iterable[int], age_seconds: float) -> None:
        """Take new instances, the oldest of them acknowledged so long ago."""
        with self._changed:
            if self._broken:
                return  # the sweep will find them
            self._pending.extend(instance_ids)
            if self._pending:
                self._due = min(
                    self._due, time.monotonic() + self._linger - age_seconds
                )
                self._changed.notify()

    def problem(self) -> str | None:
        """Return why the last attempt failed, None when all is well."""
        return self._broken

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
        """Split off what goes now: full messages, and the rest when it is due."""
        if self._stopping or time.monotonic() >= self._due:
            self._due = float("inf")
            return self._pending, []
        whole = len(self._pending) // MAX_INSTANCES * MAX_INSTANCES
        return self._pending[:whole], self._pending[whole:]

    def _work(self, batch: Sequence[int]) -> None:
        if batch and not self._broken:
            self.publish(batch)
        if time.monotonic() >= self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Publish what the records hold unpublished."""
        while ids := dispatching.undispatched_instances(self._records, _SWEEP_LIMIT):
            self.publish(ids)
            with self._changed:
                swept = set(ids)
                self._pending = [i for i in self._pending if i not in swept]
        if self._broken:
            self._log.info("dispatch_recovered")
        self._broken = None
        self._delays.reset()
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS

    def publish(self, instance_ids: Sequence[int]) -> None:
        """Publish and remember; publishing twice does no harm.

        Raises
        ------
        BrokerUnavailable
        RecordsUnavailable
            In both cases the instances stay unpublished in the records.
        """
        sent: list[int] = []
        try:
            for start in range(0, len(instance_ids), MAX_INSTANCES):
                message = instance_ids[start : start + MAX_INSTANCES]
                self._dispatcher.inspect(message)
                sent.extend(message)
        finally:
            if sent:
                dispatching.mark_dispatched(self._records, sent)
                self._log.info("instances_dispatched", instance_ids=tuple(sent))

    def _fail(self, error: Exception) -> None:
        if isinstance(error, BrokerUnavailable):
            DISPATCH_FAILURES.inc()
        delay = self._delays.next()
        self._log.warning("dispatch_failed", error=str(error), wait=delay)
        with self._changed:
            self._broken = str(error)
            self._pending.clear()
            self._due = float("inf")
            self._sweep_at = time.monotonic() + delay
