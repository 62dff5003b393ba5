"""N-EVENT-REPORT of storage commitment, on an association of our own (PS3.4 J.3.3)."""

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


class ReportNotTaken(RetryableError):
    """The requestor is away, or does not want the report."""


def event_information(
    transaction_uid: str, answer: CommitmentResult
) -> tuple[int, Dataset]:
    """Return Event Type ID and Event Information (PS3.4 table J.3-2)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    if answer.committed:
        ds.ReferencedSOPSequence = _items(answer.committed)
    if not answer.failed:
        return _ALL_SAFE, ds
    ds.FailedSOPSequence = _items(failed.reference for failed in answer.failed)
    for item, failed in zip(ds.FailedSOPSequence, answer.failed, strict=True):
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


def report(receiver: Receiver, transaction_uid: str, answer: CommitmentResult) -> None:
    """Tell the requestor what is safe; raises ReportNotTaken."""
    association = _associate(receiver)
    try:
        event_type, information = event_information(transaction_uid, answer)
        status, _ = association.send_n_event_report(
            information, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE
        )
    except (ValueError, RuntimeError) as error:
        raise ReportNotTaken(f"{_where(receiver)}: {error}") from error
    finally:
        if association.is_established:
            association.release()
    _require_taken(receiver, status)


def _require_taken(receiver: Receiver, status: Dataset) -> None:
    if "Status" not in status:
        raise ReportNotTaken(f"{_where(receiver)} does not answer the report")
    if status.Status != 0x0000:
        raise ReportNotTaken(
            f"{_where(receiver)} answers the report with 0x{status.Status:04X}"
        )


def _associate(receiver: Receiver) -> Association:
    ae = AE(ae_title=receiver.calling_ae_title)
    ae.add_requested_context(PUSH_MODEL)
    ae.connection_timeout = _CONNECT_SECONDS
    ae.dimse_timeout = _ANSWER_SECONDS
    secured = tls_args(receiver)
    try:
        association = ae.associate(
            receiver.host,
            receiver.port,
            ae_title=receiver.called_ae_title,
            # Who opens an association is SCU unless both say otherwise (PS3.7 D.3.3.4).
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)],
            tls_args=secured,
        )
    except (OSError, UnicodeError) as error:
        raise ReportNotTaken(f"{_where(receiver)}: {not_found(error)}") from error
    keep_answers(association)
    if association.is_rejected:
        raise ReportNotTaken(f"{_where(receiver)} rejects the association")
    if not association.is_established:
        refused = "refuses storage commitment" if association.rejected_contexts else ""
        raise ReportNotTaken(f"{_where(receiver)} {refused or 'does not answer'}")
    return association


def _where(receiver: Receiver) -> str:
    return f"{receiver.called_ae_title} at {receiver.host}:{receiver.port}"
