"""Requests of storage commitment: recorded from the spool, checked and reported.

Recording and reporting are separate: a request is recorded within a second, while the
report to an unreachable requestor is tried for days.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from services.delivery.commitment_check import CommitmentCheck, CommitmentResult
from services.delivery.event_report import ReportRejected, send_report
from veritag.errors import ArchiveUnavailable, RecordsUnavailable
from veritag.peers.association import Receiver
from veritag.process.backoff import delay_after
from veritag.process.logs import get_logger
from veritag.process.metrics import COMMITMENT_REPORTS, count_from_zero
from veritag.records import Records
from veritag.records.delivery.commitments import (
    DueCommitment,
    add_commitment,
    claim_commitment,
    due_commitments,
    end_commitment,
    postpone_commitment,
)
from veritag.records.states import CommitmentState
from veritag.storage.commitment_folder import CommitmentFolder, DamagedRequest

_POLL_SECONDS = 1.0
_AT_ONCE = 4
# Delays of 15 s, 30 s and so on, up to an hour.
_FIRST_DELAY, _FACTOR, _LONGEST_DELAY = 15.0, 2.0, 3600.0
# Longer than an attempt takes. A claimed request is due again after it, should this
# process end before the outcome is recorded.
_CLAIM = timedelta(minutes=2)
_RECORDS_DELAY = 5.0


class CommitmentReports:
    """Records and reports the requests of one host.

    Parameters
    ----------
    receivers
        Address by AE title of the requestor.
    give_up_hours
        Age of a request after which its report is no longer tried.
    """

    def __init__(
        self,
        folder: CommitmentFolder,
        records: Records,
        check: CommitmentCheck,
        receivers: Mapping[str, Receiver],
        give_up_hours: float,
    ) -> None:
        self._folder, self._records, self._check = folder, records, check
        self._receivers = receivers
        self._give_up = timedelta(hours=give_up_hours)
        self._unread: set[str] = set()
        self._log = get_logger()
        count_from_zero(
            COMMITMENT_REPORTS, [CommitmentState.REPORTED, CommitmentState.FAILED]
        )

    def run(self, stopping: threading.Event) -> None:
        """Record and report until `stopping` is set."""
        with ThreadPoolExecutor(_AT_ONCE, "commitment") as pool:
            while not stopping.is_set():
                try:
                    self.record_requests()
                    count = self.report_due(pool)
                except RecordsUnavailable as error:
                    self._log.warning("records_unavailable", reason=str(error))
                    stopping.wait(_RECORDS_DELAY)
                except Exception:  # noqa: BLE001 - this thread must not end
                    self._log.exception("commitments_failed")
                    stopping.wait(_RECORDS_DELAY)
                else:
                    if not count:
                        stopping.wait(_POLL_SECONDS)

    def record_requests(self) -> None:
        """Record the requests in the spool; recording one twice is harmless."""
        for name, request in self._folder.requests():
            if isinstance(request, OSError):
                self._log_unread(name, request)
                continue
            if isinstance(request, DamagedRequest):
                self._log.error("commitment_damaged", request=name)
                self._folder.set_aside(name)
                continue
            # In this order: after a crash in between the request is recorded once more.
            add_commitment(self._records, name, request)
            self._folder.remove(name)

    def _log_unread(self, name: str, error: OSError) -> None:
        """Log once that a request cannot be read; it is tried again."""
        if name not in self._unread:
            self._unread.add(name)
            self._log.error("commitment_unread", request=name, reason=error.strerror)

    def report_due(self, pool: ThreadPoolExecutor) -> int:
        """Report due requests, a few at a time; return the number of attempts."""
        due = due_commitments(self._records, _AT_ONCE)
        for report in [pool.submit(self._report, commitment) for commitment in due]:
            report.result()
        return len(due)

    def _report(self, commitment: DueCommitment) -> None:
        now = datetime.now(UTC)
        # Several hosts with the same records may see it due at the same time.
        if not claim_commitment(self._records, commitment, now + _CLAIM):
            return
        try:
            result = self._check.check(commitment.references)
        except (ArchiveUnavailable, OSError) as error:
            # Due again when the claim ends.
            id_ = commitment.commitment_id
            self._log.warning("commitment_waits", commitment_id=id_, reason=str(error))
            return
        try:
            receiver = self._receiver(commitment)
            send_report(receiver, commitment.transaction_uid, result)
        except ReportRejected as error:
            self._fail(commitment, error)
        else:
            self._end(commitment, result)

    def _receiver(self, commitment: DueCommitment) -> Receiver:
        receiver = self._receivers.get(commitment.calling_ae_title)
        if receiver is None:
            raise ReportRejected(
                f"VERITAG_PEERS no longer names {commitment.calling_ae_title}"
            )
        # Call with the AE title that the requestor used for us: it may know no other.
        return Receiver(
            receiver.host,
            receiver.port,
            receiver.called_ae_title,
            commitment.called_ae_title,
            receiver.tls,
        )

    def _end(self, commitment: DueCommitment, result: CommitmentResult) -> None:
        end_commitment(
            self._records,
            commitment.commitment_id,
            CommitmentState.REPORTED,
            committed=len(result.committed),
        )
        COMMITMENT_REPORTS.labels(CommitmentState.REPORTED).inc()
        self._log.info(
            "commitment_reported",
            commitment_id=commitment.commitment_id,
            committed=len(result.committed),
            failed=len(result.failed),
        )

    def _fail(self, commitment: DueCommitment, error: ReportRejected) -> None:
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
        COMMITMENT_REPORTS.labels(CommitmentState.FAILED).inc()
        end_commitment(
            self._records,
            commitment.commitment_id,
            CommitmentState.FAILED,
            reason=str(error),
        )
