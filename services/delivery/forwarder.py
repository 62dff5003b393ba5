"""Forwarding of instances to one destination, in a thread of its own.

An unreachable, slow or full destination delays no other one: they share only the records.
An instance stays queued until its outcome is stored, so that after a crash only a few
instances are sent again.
"""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.delivery.destination_filter import DestinationFilter
from veritag.errors import ArchiveUnavailable, RetryableError
from veritag.peers.association import Receiver, ReceiverUnavailable
from veritag.peers.storage_scu import SendOutcome, send
from veritag.process.backoff import Backoff, delay_after
from veritag.process.logs import get_logger
from veritag.process.metrics import FORWARD_FAILURES, FORWARDED, count_from_zero
from veritag.records import Records
from veritag.records.delivery.destinations import note_failure
from veritag.records.delivery.forwarding import (
    Forward,
    ForwardOutcome,
    due_forwards,
    store_outcomes,
)
from veritag.records.states import ForwardState
from veritag.storage.archive import Archive

BATCH = 200
_POLL_SECONDS = 1.0
# Outcomes are stored together: a transaction for each would slow down the indexer.
_STORE_SECONDS = 0.5
_STORE_BATCH = 32
# Delays after a refusal: 1 min, 4 min, 16 min and so on, up to an hour.
_FIRST_REFUSAL, _REFUSAL_FACTOR, _LONGEST_REFUSAL = 60.0, 4.0, 3600.0
# PS3.4 table B.2-1: out of resources concerns the receiver, not the instance.
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_POSTPONED = timedelta(minutes=1)


class _Interrupted(Exception):
    """The process stops: the rest of the batch stays queued."""


class Forwarder:
    """Sends the queued instances of one destination.

    Parameters
    ----------
    max_attempts
        Refusals of an instance after which it is parked.
    """

    def __init__(
        self,
        destination_id: int,
        name: str,
        receiver: Receiver,
        records: Records,
        archive: Archive,
        destination_filter: DestinationFilter,
        max_attempts: int,
    ) -> None:
        self._id, self._name, self._receiver = destination_id, name, receiver
        self._records, self._archive, self._filter = (
            records,
            archive,
            destination_filter,
        )
        self._max_attempts = max_attempts
        self._backoff = Backoff()
        self._log = get_logger().bind(destination=name)
        count_from_zero(FORWARDED, [name])
        count_from_zero(FORWARD_FAILURES, [name], ["refused", "unavailable"])

    def run(self, stopping: threading.Event) -> None:
        """Send until `stopping` is set."""
        while not stopping.is_set():
            try:
                count = self.round(stopping)
            except ReceiverUnavailable as error:
                self._unavailable(error, stopping)
            except RetryableError as error:
                self._wait(error, stopping)
            except Exception:  # noqa: BLE001 - this thread must not end
                self._log.exception("forwarding_failed")
                stopping.wait(self._backoff.next())
            else:
                self._backoff.reset()
                if not count:
                    stopping.wait(_POLL_SECONDS)

    def round(self, stopping: threading.Event) -> int:
        """Send a batch over one association; return how many instances it had.

        Raises
        ------
        ReceiverUnavailable
            Unsent instances stay queued.
        RecordsUnavailable
            All stay queued; sent ones may be sent again.
        ArchiveUnavailable
            All stay queued; nothing was sent.
        """
        due = due_forwards(self._records, self._id, BATCH)
        if due:
            self._send(due, stopping)
        return len(due)

    def _send(self, due: Sequence[Forward], stopping: threading.Event) -> None:
        result = self._filter.apply(due)
        store_outcomes(
            self._records,
            self._id,
            [
                ForwardOutcome(forward.forward_id, ForwardState.SKIPPED)
                for forward in result.skipped
            ],
        )
        batch = _Batch(self, self._files([*result.wanted, *result.unread]), stopping)
        present = batch.park_missing()
        unread = self._files(result.unread).keys()
        batch.postpone([path for path in present if path in unread])
        readable = [path for path in present if path not in unread]
        try:
            if readable:
                send(self._receiver, readable, batch.add)
        except _Interrupted:
            return
        finally:  # also after a loss: unstored instances would be sent again
            batch.store()

    def _files(self, forwards: Sequence[Forward]) -> dict[Path, Forward]:
        return {
            self._archive.path(forward.archive_key): forward for forward in forwards
        }

    def holds(self, forward: Forward) -> bool:
        """Whether the archive has its file; raises ArchiveUnavailable."""
        return self._archive.size(forward.archive_key) is not None

    def outcome_of(self, forward: Forward, sent: SendOutcome) -> ForwardOutcome:
        """Return the next state of an instance after one attempt."""
        if sent.stored:
            return ForwardOutcome(forward.forward_id, ForwardState.SENT)
        FORWARD_FAILURES.labels(self._name, "refused").inc()
        self._log.warning(
            "instance_not_forwarded",
            instance_id=forward.instance_id,
            status=sent.status and f"0x{sent.status:04X}",
            attempt=forward.attempts + 1,
        )
        if sent.lasting or forward.attempts + 1 >= self._max_attempts:
            return ForwardOutcome(forward.forward_id, ForwardState.PARKED, sent.reason)
        delay = delay_after(
            forward.attempts, _FIRST_REFUSAL, _REFUSAL_FACTOR, _LONGEST_REFUSAL
        )
        due = datetime.now(UTC) + timedelta(seconds=delay)
        return ForwardOutcome(
            forward.forward_id, ForwardState.WAITING, sent.reason, due
        )

    def store(self, outcomes: Sequence[ForwardOutcome]) -> None:
        """Store outcomes, and count the sent instances."""
        store_outcomes(self._records, self._id, outcomes)
        sent = sum(outcome.state == ForwardState.SENT for outcome in outcomes)
        if sent:  # the destination works, even if the batch fails later
            self._backoff.reset()
            FORWARDED.labels(self._name).inc(sent)
            self._log.info("instances_forwarded", instances=sent)

    def _unavailable(
        self, error: ReceiverUnavailable, stopping: threading.Event
    ) -> None:
        FORWARD_FAILURES.labels(self._name, "unavailable").inc()
        delay = self._backoff.next()
        self._log.warning(
            "destination_unavailable", reason=str(error), retry_in_seconds=delay
        )
        try:
            note_failure(self._records, self._id, str(error))
        except RetryableError:
            self._log.warning("records_unavailable")
        stopping.wait(delay)

    def _wait(self, error: RetryableError, stopping: threading.Event) -> None:
        # Shorter than for a destination: all queues wait for records and archive.
        delay = min(10.0, self._backoff.next())
        is_archive = isinstance(error, ArchiveUnavailable)
        event = "archive_unavailable" if is_archive else "records_unavailable"
        self._log.warning(event, reason=str(error), retry_in_seconds=delay)
        stopping.wait(delay)


def _postponed(forward: Forward, sent: SendOutcome) -> ForwardOutcome:
    due = datetime.now(UTC) + _POSTPONED
    return ForwardOutcome(
        forward.forward_id, ForwardState.WAITING, sent.reason, due, counted=False
    )


class _Batch:
    """The files of one association, with the outcomes that are not stored yet."""

    def __init__(
        self,
        forwarder: Forwarder,
        files: dict[Path, Forward],
        stopping: threading.Event,
    ) -> None:
        self._forwarder, self._files, self._stopping = forwarder, files, stopping
        self._outcomes: list[ForwardOutcome] = []
        self._stored_at = time.monotonic()

    def park_missing(self) -> list[Path]:
        """Park the instances that the archive no longer has; return the other files."""
        holds = {
            path: self._forwarder.holds(forward)
            for path, forward in self._files.items()
        }
        for path in (path for path, is_held in holds.items() if not is_held):
            reason = "the archive no longer holds it"
            self._add(SendOutcome(path, reason, lasting=True))
        return [path for path, is_held in holds.items() if is_held]

    def postpone(self, unread: Sequence[Path]) -> None:
        """Try instances later that the archive has but cannot read."""
        for path in unread:
            self._add(SendOutcome(path, "the archive cannot read it"))

    def _add(self, sent: SendOutcome) -> None:
        forward = self._files[sent.path]
        self._outcomes.append(self._forwarder.outcome_of(forward, sent))

    def add(self, sent: SendOutcome) -> None:
        """Add the outcome of one file, and store outcomes now and then."""
        if sent.status in _OUT_OF_RESOURCES:
            # The next one would fail too, unless only this one is too large. It is
            # postponed, so that the next batch begins with another one.
            self._outcomes.append(_postponed(self._files[sent.path], sent))
            raise ReceiverUnavailable(str(sent.reason))
        self._add(sent)
        is_late = time.monotonic() - self._stored_at > _STORE_SECONDS
        if is_late or len(self._outcomes) >= _STORE_BATCH:
            self.store()
        if self._stopping.is_set():
            raise _Interrupted

    def store(self) -> None:
        """Store the outcomes that were added since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        self._forwarder.store(outcomes)
        self._stored_at = time.monotonic()
