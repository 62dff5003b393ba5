"""Takes requests of storage commitment into the records, and reports on them.

Taking in and reporting are apart: a request is recorded within a second, while a
requestor that is away is tried again for days.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from services.delivery.commitment_check import CommitmentCheck, CommitmentResult
from services.delivery.event_report import ReportNotTaken, report
from veritag.errors import ArchiveUnavailable, RecordsUnavailable
from veritag.peers.storage_scu import Receiver
from veritag.process.backoff import delay_after
from veritag.process.logs import get_logger
from veritag.process.metrics import COMMITMENT_REPORTS, count_from_zero
from veritag.records import Records
from veritag.records.delivery.commitments import (
    FAILED,
    REPORTED,
    Commitment,
    add_commitment,
    claim_commitment,
    due_commitments,
    end_commitment,
    postpone_commitment,
)
from veritag.storage.commitment_folder import CommitmentFolder, DamagedRequest

_POLL_SECONDS = 1.0
_AT_ONCE = 4
# 15 s, half a minute and so on, up to an hour.
_FIRST_DELAY, _FACTOR, _LONGEST_DELAY = 15.0, 2.0, 3600.0
# Longer than any try takes: until then a request in hand is nobody else's.
_IN_HAND = timedelta(minutes=2)
_RECORDS_DELAY = 5.0


class Commitments:
    """Storage commitment of one host.

    Parameters
    ----------
    receivers
        AE title of a requestor, and the title by which it called us, to its address.
    give_up_hours
        Age of a request at which its report is given up.
    """

    def __init__(
        self,
        folder: CommitmentFolder,
        records: Records,
        witness: CommitmentCheck,
        receivers: Mapping[str, Receiver],
        give_up_hours: float,
    ) -> None:
        self._folder, self._records, self._witness = folder, records, witness
        self._receivers = receivers
        self._give_up = timedelta(hours=give_up_hours)
        self._unread: set[str] = set()
        self._log = get_logger()
        count_from_zero(COMMITMENT_REPORTS, [REPORTED, FAILED])

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        with ThreadPoolExecutor(_AT_ONCE, "commitment") as pool:
            while not stop.is_set():
                try:
                    self.take_in()
                    worked = self.report_due(pool)
                except RecordsUnavailable as error:
                    self._log.warning("records_unavailable", reason=str(error))
                    stop.wait(_RECORDS_DELAY)
                except Exception:  # noqa: BLE001 - this thread must not end
                    self._log.exception("commitments_failed")
                    stop.wait(_RECORDS_DELAY)
                else:
                    if not worked:
                        stop.wait(_POLL_SECONDS)

    def take_in(self) -> None:
        """Record the requests that lie in the spool; done twice it does no harm."""
        for name, request in self._folder.requests():
            if isinstance(request, OSError):
                self._tell_unread(name, request)
                continue
            if isinstance(request, DamagedRequest):
                self._log.error("commitment_damaged", request=name)
                self._folder.set_aside(name)
                continue
            add_commitment(self._records, name, request)
            self._folder.remove(name)

    def _tell_unread(self, name: str, error: OSError) -> None:
        """Say once that a request cannot be read; it is tried again."""
        if name not in self._unread:
            self._unread.add(name)
            self._log.error("commitment_unread", request=name, reason=error.strerror)

    def report_due(self, pool: ThreadPoolExecutor) -> int:
        """Report what is due, a few at a time; return how many were tried."""
        due = due_commitments(self._records, _AT_ONCE)
        for done in [pool.submit(self._report, commitment) for commitment in due]:
            done.result()
        return len(due)

    def _report(self, commitment: Commitment) -> None:
        now = datetime.now(UTC)
        if not claim_commitment(self._records, commitment, now + _IN_HAND):
            return
        try:
            answer = self._witness.answer(commitment.references)
        except (ArchiveUnavailable, OSError) as error:
            # It is in hand still, and due again when that ends.
            id_ = commitment.commitment_id
            self._log.warning("commitment_waits", commitment_id=id_, reason=str(error))
            return
        try:
            report(self._receiver(commitment), commitment.transaction_uid, answer)
        except ReportNotTaken as error:
            self._not_taken(commitment, error)
        else:
            self._taken(commitment, answer)

    def _receiver(self, commitment: Commitment) -> Receiver:
        receiver = self._receivers.get(commitment.calling_ae_title)
        if receiver is None:
            raise ReportNotTaken(
                f"VERITAG_PEERS no longer names {commitment.calling_ae_title}"
            )
        # By the title it knows us under; it may know no other.
        return Receiver(
            receiver.host,
            receiver.port,
            receiver.called_ae_title,
            commitment.called_ae_title,
            receiver.tls,
        )

    def _taken(self, commitment: Commitment, answer: CommitmentResult) -> None:
        end_commitment(
            self._records,
            commitment.commitment_id,
            REPORTED,
            committed=len(answer.committed),
        )
        COMMITMENT_REPORTS.labels(REPORTED).inc()
        self._log.info(
            "commitment_reported",
            commitment_id=commitment.commitment_id,
            committed=len(answer.committed),
            failed=len(answer.failed),
        )

    def _not_taken(self, commitment: Commitment, error: ReportNotTaken) -> None:
        self._log.warning(
            "commitment_not_reported",
            commitment_id=commitment.commitment_id,
            attempt=commitment.attempts + 1,
            reason=str(error),
        )
        if datetime.now(UTC) - commitment.received_at < self._give_up:
            delay = delay_after(
                commitment.attempts, _FIRST_DELAY, _FACTOR, _LONGEST_DELAY
            )
            due = datetime.now(UTC) + timedelta(seconds=delay)
            postpone_commitment(
                self._records, commitment.commitment_id, due, str(error)
            )
            return
        COMMITMENT_REPORTS.labels(FAILED).inc()
        end_commitment(
            self._records, commitment.commitment_id, FAILED, reason=str(error)
        )
