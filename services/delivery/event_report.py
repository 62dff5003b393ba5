"""N-EVENT-REPORT of storage commitment, on a new association (PS3.4 section J.3.3)."""

from collections.abc import Iterable

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom import build_role
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from services.delivery.commitment_check import CommitmentResult
from veritag.errors import RetryableError
from veritag.peers.association import Receiver, ReceiverUnavailable, associate
from veritag.storage.commitment_folder import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    ReferencedInstance,
)

_ALL_SAFE, _FAILURES_EXIST = 1, 2
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
        raise ReportRejected(f"{receiver}: {error}") from error
    finally:
        if association.is_established:
            association.release()
    _require_success(receiver, status)


def _require_success(receiver: Receiver, status: Dataset) -> None:
    if "Status" not in status:
        raise ReportRejected(f"{receiver} does not answer the report")
    if status.Status != 0x0000:
        raise ReportRejected(
            f"{receiver} answers the report with 0x{status.Status:04X}"
        )


def _associate(receiver: Receiver) -> Association:
    # The requestor of an association is SCU unless roles are negotiated (PS3.7 section
    # D.3.3.4); an N-EVENT-REPORT comes from the SCP.
    role = build_role(PUSH_MODEL, scp_role=True)
    try:
        association = associate(receiver, [build_context(PUSH_MODEL)], [role])
    except ReceiverUnavailable as error:
        raise ReportRejected(str(error)) from error
    if not association.is_established:
        raise ReportRejected(f"{receiver} refuses storage commitment")
    association.dimse_timeout = _ANSWER_SECONDS
    return association
