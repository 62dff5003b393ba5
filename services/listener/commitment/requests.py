"""Requests of storage commitment: N-ACTION of the Push Model (PS3.4 annex J).

The response promises a report, not the commitment: 0x0000 means that the request is on
disk. The delivery process checks the instances and reports on an association of its own.
No database is used here.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset

from services.listener.commitment.references import (
    NotUnderstood,
    TooManyReferences,
    read_references,
)
from services.listener.message_buffer import DataSetBuffer
from veritag.errors import RejectError
from veritag.process.logs import get_logger
from veritag.process.metrics import COMMITMENT_REQUESTS, count_from_zero
from veritag.settings import Settings
from veritag.storage.commitment_folder import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentFolder,
    CommitmentRequest,
    NoRoom,
)

MAX_REFERENCES = 20_000
_REQUEST_COMMITMENT = 1  # Action Type ID, PS3.4 table J.3-1
_MAX_COMMENT = 64  # LO

# PS3.7 annex C.
_NO_SUCH_INSTANCE = 0x0112
_INVALID_ARGUMENT = 0x0115
_NO_SUCH_CLASS = 0x0118
_NO_SUCH_ACTION = 0x0123
_NOT_AUTHORIZED = 0x0124
_RESOURCE_LIMITATION = 0x0213


@dataclass
class CommitmentRefused(RejectError):
    """An N-ACTION that is answered with a failure (PS3.7 section 10.1.4.1.10)."""

    status: int
    comment: str


class CommitmentRequests:
    """Stores requests of storage commitment in a folder of the spool."""

    def __init__(self, settings: Settings) -> None:
        self._peers = {peer.ae_title for peer in settings.peers}
        self._folder = CommitmentFolder(settings.spool_dir, settings.disk_reserve_mb)
        count_from_zero(COMMITMENT_REQUESTS, ("accepted", "refused"))

    def on_n_action(self, event: Any) -> tuple[int | Dataset, None]:
        """Answer a request; pynetdicom adds the other elements of the response."""
        assoc = event.assoc
        try:
            request = self._request(event)
            name = self._store(request)
        except CommitmentRefused as refused:
            return self._refuse(assoc, refused), None
        COMMITMENT_REQUESTS.labels("accepted").inc()
        get_logger().info(
            "commitment_requested",
            association_id=assoc.association_id,
            request=name,
            instances=len(request.references),
        )
        return 0x0000, None

    def _request(self, event: Any) -> CommitmentRequest:
        _require_push_model(event)
        assoc = event.assoc
        association_request = assoc.requestor.primitive
        calling = association_request.calling_ae_title.strip()
        if calling not in self._peers:
            # Reports go only to addresses of the settings, not to one from the network.
            raise CommitmentRefused(
                _NOT_AUTHORIZED, "No address is set for this AE title"
            )
        transaction, references = _references(event)
        return CommitmentRequest(
            transaction_uid=transaction,
            references=references,
            calling_ae_title=calling,
            called_ae_title=association_request.called_ae_title.strip(),
            association_id=assoc.association_id,
            received_at=datetime.now(UTC),
        )

    def _store(self, request: CommitmentRequest) -> str:
        try:
            self._folder.prepare()
            return self._folder.store(request)
        except NoRoom as error:
            raise CommitmentRefused(_RESOURCE_LIMITATION, str(error)) from error
        except OSError as error:
            get_logger().exception("commitment_not_stored", errno=error.errno)
            comment = "The disk could not be written"
            raise CommitmentRefused(_RESOURCE_LIMITATION, comment) from error

    def _refuse(self, assoc: Any, refused: CommitmentRefused) -> Dataset:
        COMMITMENT_REQUESTS.labels("refused").inc()
        get_logger().warning(
            "commitment_refused",
            association_id=assoc.association_id,
            calling_ae_title=(assoc.requestor.ae_title or "").strip(),
            status=f"0x{refused.status:04X}",
            reason=refused.comment,
        )
        response = Dataset()
        response.Status = refused.status
        response.ErrorComment = refused.comment[:_MAX_COMMENT]
        return response


def _require_push_model(event: Any) -> None:
    request = event.request
    sop_classes = {
        str(request.RequestedSOPClassUID),
        str(event.context.abstract_syntax),
    }
    if sop_classes != {PUSH_MODEL}:
        raise CommitmentRefused(
            _NO_SUCH_CLASS, "Only the Storage Commitment Push Model is supported"
        )
    if request.RequestedSOPInstanceUID != PUSH_MODEL_INSTANCE:
        raise CommitmentRefused(_NO_SUCH_INSTANCE, "Not the well-known SOP Instance")
    if request.ActionTypeID != _REQUEST_COMMITMENT:
        raise CommitmentRefused(_NO_SUCH_ACTION, "Action Type ID is not 1")


def _references(event: Any) -> tuple[str, Any]:
    encoded = _action_information(event.request.ActionInformation)
    syntax = str(event.context.transfer_syntax)
    try:
        return read_references(encoded, syntax, MAX_REFERENCES)
    except NotUnderstood as error:
        raise CommitmentRefused(_INVALID_ARGUMENT, str(error)) from error
    except TooManyReferences as error:
        raise CommitmentRefused(_RESOURCE_LIMITATION, str(error)) from error


def _action_information(received: object) -> bytes:
    """Return the encoded Data Set, which must be small enough to be in memory."""
    if not isinstance(received, DataSetBuffer):
        raise CommitmentRefused(_INVALID_ARGUMENT, "Action Information is missing")
    with received:
        if received.failure is not None or received.on_disk:
            raise CommitmentRefused(
                _RESOURCE_LIMITATION, "Action Information is too long"
            )
        return received.getvalue()
