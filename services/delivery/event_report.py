"""N-EVENT-REPORT of storage commitment, on a new association (PS3.4 section J.3.3)."""

from collections.abc import Iterable

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom import AE, build_role
from pynetdicom.association import Association

from services.delivery.commitment_check import CommitmentResult
from veritag.errors import RetryableError
from veritag.peers.storage_scu import Receiver, keep_answers, not_found, tls_args
from veritag.storage.commitment_folder import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    ReferencedInstance,
)

_ALL_SAFE, _FAILURES_EXIST = 1, 2
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0


class ReportRejected(RetryableError):
    """The requestor is unreachable, or answers the report with a failure."""


def event_information(
    transaction_uid: str, result: CommitmentResult
) -> tuple[int, Dataset]:
    """Return Event Type ID and Event Information (PS3.4 table J.3-2)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    if result.committed:
        ds.ReferencedSOPSequence = _items(result.committed)
    if not result.failed:
        return _ALL_SAFE, ds
    ds.FailedSOPSequence = _items(failed.reference for failed in result.failed)
    for item, failed in zip(ds.FailedSOPSequence, result.failed, strict=True):
        item.FailureReason = failed.reason
    return _FAILURES_EXIST, ds


def _items(references: Iterable[ReferencedInstance]) -> Sequence:
    items = []
    for reference in references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.sop_class_uid
        item.ReferencedSOPInstanceUID = reference.sop_instance_uid
        items.append(item)
    return Sequence(items)


def send_report(
    receiver: Receiver, transaction_uid: str, result: CommitmentResult
) -> None:
    """Report to the requestor of a commitment.

    Raises
    ------
    ReportRejected
        If there is no association, or no response with status 0x0000.
    """
    association = _associate(receiver)
    try:
        event_type, information = event_information(transaction_uid, result)
        status, _ = association.send_n_event_report(
            information, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE
        )
    except (ValueError, RuntimeError) as error:
        raise ReportRejected(f"{_where(receiver)}: {error}") from error
    finally:
        if association.is_established:
            association.release()
    _require_success(receiver, status)


def _require_success(receiver: Receiver, status: Dataset) -> None:
    if "Status" not in status:
        raise ReportRejected(f"{_where(receiver)} does not answer the report")
    if status.Status != 0x0000:
        raise ReportRejected(
            f"{_where(receiver)} answers the report with 0x{status.Status:04X}"
        )


def _associate(receiver: Receiver) -> Association:
    ae = AE(ae_title=receiver.calling_ae_title)
    ae.add_requested_context(PUSH_MODEL)
    ae.connection_timeout = _CONNECT_SECONDS
    ae.dimse_timeout = _ANSWER_SECONDS
    tls = tls_args(receiver)
    try:
        association = ae.associate(
            receiver.host,
            receiver.port,
            ae_title=receiver.called_ae_title,
            # The requestor of an association is SCU unless roles are negotiated (PS3.7
            # section D.3.3.4).
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)],
            tls_args=tls,
        )
    except (OSError, UnicodeError) as error:
        raise ReportRejected(f"{_where(receiver)}: {not_found(error)}") from error
    keep_answers(association)
    if association.is_rejected:
        raise ReportRejected(f"{_where(receiver)} rejects the association")
    if not association.is_established:
        refused = "refuses storage commitment" if association.rejected_contexts else ""
        raise ReportRejected(f"{_where(receiver)} {refused or 'does not answer'}")
    return association


def _where(receiver: Receiver) -> str:
    return f"{receiver.called_ae_title} at {receiver.host}:{receiver.port}"
