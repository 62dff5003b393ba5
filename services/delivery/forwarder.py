"""Sends instances on to one destination, in a thread of its own.

A destination that is away, slow or full waits alone: it shares nothing with the others
but the records. An instance stays queued until its outcome is stored, so that a crash
at any moment costs nothing but sending a few again.
"""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.delivery.destination_filter import Filter
from veritag.errors import ArchiveUnavailable, RetryableError
from veritag.peers.storage_scu import Receiver, ReceiverUnavailable, SendOutcome, send
from veritag.process.backoff import Backoff, delay_after
from veritag.process.logs import get_logger
from veritag.process.metrics import FORWARD_FAILURES, FORWARDED, count_from_zero
from veritag.records import Records
from veritag.records.delivery.destinations import (
    PARKED,
    SENT,
    SKIPPED,
    WAITING,
    note_failure,
)
from veritag.records.delivery.forwarding import (
    Forward,
    ForwardOutcome,
    due_forwards,
    settle_forwards,
)
from veritag.storage.archive import Archive

BATCH = 200
_POLL_SECONDS = 1.0
# Outcomes are stored together, for a transaction each would slow down the indexer.
_STORE_SECONDS = 0.5
_STORE_AT_ONCE = 32
# After a refusal: a minute, four, a quarter of an hour, an hour.
_FIRST_REFUSAL, _REFUSAL_FACTOR, _LONGEST_REFUSAL = 60.0, 4.0, 3600.0
# PS3.4 table B.2-1: out of resources is a state of the receiver, not of the instance.
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_AFTER_OTHERS = timedelta(minutes=1)


class _Interrupted(Exception):
    """We stop: the rest of the batch is for later."""


class Forwarder:
    """Works off the queue of one destination.

    Parameters
    ----------
    most_attempts
        Refusals of an instance after which it is parked.
    """

    def __init__(
        self,
        destination_id: int,
        name: str,
        receiver: Receiver,
        records: Records,
        archive: Archive,
        wanted: Filter,
        most_attempts: int,
    ) -> None:
        self._id, self._name, self._receiver = destination_id, name, receiver
        self._records, self._archive, self._filter = records, archive, wanted
        self._most_attempts = most_attempts
        self._backoff = Backoff()
        self._log = get_logger().bind(destination=name)
        count_from_zero(FORWARDED, [name])
        count_from_zero(FORWARD_FAILURES, [name], ["refused", "unavailable"])

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop."""
        while not stop.is_set():
            try:
                worked = self.round(stop)
            except ReceiverUnavailable as error:
                self._unavailable(error, stop)
            except RetryableError as error:
                self._wait(error, stop)
            except Exception:  # noqa: BLE001 - this thread must not end
                self._log.exception("forwarding_failed")
                stop.wait(self._backoff.next())
            else:
                self._backoff.reset()
                if not worked:
                    stop.wait(_POLL_SECONDS)

    def round(self, stop: threading.Event) -> int:
        """Send a batch over one association; return how many instances it had.

        Raises
        ------
        ReceiverUnavailable
            What was not sent stays queued.
        RecordsUnavailable
            Likewise; what was sent may be sent again.
        ArchiveUnavailable
            Likewise; nothing was sent.
        """
        due = due_forwards(self._records, self._id, BATCH)
        if due:
            self._send(due, stop)
        return len(due)

    def _send(self, due: Sequence[Forward], stop: threading.Event) -> None:
        parted = self._filter.part(due)
        settle_forwards(
            self._records,
            self._id,
            [ForwardOutcome(forward.forward_id, SKIPPED) for forward in parted.skipped],
        )
        batch = _Batch(self, self._files([*parted.wanted, *parted.unread]), stop)
        present = batch.park_missing()
        unread = self._files(parted.unread).keys()
        batch.put_off([path for path in present if path in unread])
        readable = [path for path in present if path not in unread]
        try:
            if readable:
                send(self._receiver, readable, batch.tell)
        except _Interrupted:
            return
        finally:
            batch.store()

    def _files(self, forwards: Sequence[Forward]) -> dict[Path, Forward]:
        return {self._archive.path(one.archive_key): one for one in forwards}

    def holds(self, forward: Forward) -> bool:
        """Tell whether the archive has its file; raises ArchiveUnavailable."""
        return self._archive.size(forward.archive_key) is not None

    def outcome_of(self, forward: Forward, sent: SendOutcome) -> ForwardOutcome:
        """Return what follows from one file's sending."""
        if sent.stored:
            return ForwardOutcome(forward.forward_id, SENT)
        FORWARD_FAILURES.labels(self._name, "refused").inc()
        self._log.warning(
            "instance_not_forwarded",
            instance_id=forward.instance_id,
            status=sent.status and f"0x{sent.status:04X}",
            attempt=forward.attempts + 1,
        )
        if sent.lasting or forward.attempts + 1 >= self._most_attempts:
            return ForwardOutcome(forward.forward_id, PARKED, sent.reason)
        delay = delay_after(
            forward.attempts, _FIRST_REFUSAL, _REFUSAL_FACTOR, _LONGEST_REFUSAL
        )
        due = datetime.now(UTC) + timedelta(seconds=delay)
        return ForwardOutcome(forward.forward_id, WAITING, sent.reason, due)

    def store(self, outcomes: Sequence[ForwardOutcome]) -> None:
        """Store outcomes, and count what was taken."""
        settle_forwards(self._records, self._id, outcomes)
        sent = sum(outcome.state == SENT for outcome in outcomes)
        if sent:
            self._backoff.reset()
            FORWARDED.labels(self._name).inc(sent)
            self._log.info("instances_forwarded", instances=sent)

    def _unavailable(self, error: ReceiverUnavailable, stop: threading.Event) -> None:
        FORWARD_FAILURES.labels(self._name, "unavailable").inc()
        delay = self._backoff.next()
        self._log.warning("destination_unavailable", reason=str(error), wait=delay)
        try:
            note_failure(self._records, self._id, str(error))
        except RetryableError:
            self._log.warning("records_unavailable")
        stop.wait(delay)

    def _wait(self, error: RetryableError, stop: threading.Event) -> None:
        delay = min(10.0, self._backoff.next())
        is_archive = isinstance(error, ArchiveUnavailable)
        what = "archive_unavailable" if is_archive else "records_unavailable"
        self._log.warning(what, reason=str(error), wait=delay)
        stop.wait(delay)


def _after_others(forward: Forward, sent: SendOutcome) -> ForwardOutcome:
    due = datetime.now(UTC) + _AFTER_OTHERS
    return ForwardOutcome(forward.forward_id, WAITING, sent.reason, due, counted=False)


class _Batch:
    """The files of one association, and the outcomes that are not stored yet."""

    def __init__(
        self, forwarder: Forwarder, files: dict[Path, Forward], stop: threading.Event
    ) -> None:
        self._forwarder, self._files, self._stop = forwarder, files, stop
        self._outcomes: list[ForwardOutcome] = []
        self._stored_at = time.monotonic()

    def park_missing(self) -> list[Path]:
        """Park what the archive no longer holds; return the files that are there."""
        holds = {path: self._forwarder.holds(one) for path, one in self._files.items()}
        for path in (path for path, is_held in holds.items() if not is_held):
            reason = "the archive no longer holds it"
            self._take(SendOutcome(path, reason, lasting=True))
        return [path for path, is_held in holds.items() if is_held]

    def put_off(self, unread: Sequence[Path]) -> None:
        """Try later what the archive holds but does not give."""
        for path in unread:
            self._take(SendOutcome(path, "the archive does not give it"))

    def _take(self, sent: SendOutcome) -> None:
        forward = self._files[sent.path]
        self._outcomes.append(self._forwarder.outcome_of(forward, sent))

    def tell(self, sent: SendOutcome) -> None:
        """Take the outcome of one file."""
        if sent.status in _OUT_OF_RESOURCES:
            # The next one would fare no better, unless it is this one that is too much:
            # the next round begins with another.
            self._outcomes.append(_after_others(self._files[sent.path], sent))
            raise ReceiverUnavailable(str(sent.reason))
        self._take(sent)
        late = time.monotonic() - self._stored_at > _STORE_SECONDS
        if late or len(self._outcomes) >= _STORE_AT_ONCE:
            self.store()
        if self._stop.is_set():
            raise _Interrupted

    def store(self) -> None:
        """Store the outcomes so far."""
        outcomes, self._outcomes = self._outcomes, []
        self._forwarder.store(outcomes)
        self._stored_at = time.monotonic()
