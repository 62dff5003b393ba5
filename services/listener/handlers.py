"""Event handlers of an association: C-ECHO, and C-STORE into the spool.

Before 0x0000 stand only comparison of the UIDs, write, fsync and rename: no database, no
broker, no decoding. `event.dataset`, which would decode the Data Set, is never used.
"""

from functools import partial
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt

from services.listener.audit.reception import ReceptionAudit, read_study_instance_uid
from services.listener.audit.trail import AuditTrail
from services.listener.commitment.requests import CommitmentRequests
from services.listener.connections.admission import (
    CALLED_AE_TITLE,
    CALLING_AE_TITLE,
    TOO_MANY_ASSOCIATIONS,
    Refusals,
)
from services.listener.message_buffer import DataSetBuffer
from services.listener.presentation_contexts import contexts_for
from services.listener.store_rules import (
    AcceptedContext,
    StoreRequest,
    part10_header,
    refusing_disk_failures,
    require_matching_uids,
    require_storable,
)
from services.listener.store_status import (
    NOT_AUTHORIZED,
    NOT_UNDERSTOOD,
    REASONS,
    SUCCESS,
    StoreRefused,
)
from veritag.process.logs import get_logger
from veritag.process.metrics import (
    INSTANCES_RECEIVED,
    INSTANCES_REFUSED,
    RECEPTION_SECONDS,
    count_from_zero,
)
from veritag.settings import Settings

# PS3.8 table 9-21: (source, reason) of an A-ASSOCIATE-RJ.
_REJECTIONS = {
    (1, 3): CALLING_AE_TITLE,
    (1, 7): CALLED_AE_TITLE,
    (3, 2): TOO_MANY_ASSOCIATIONS,
}


class Reception:
    """The handlers of one listener."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._commitment = CommitmentRequests(settings)
        self._log = get_logger()
        self.audit = ReceptionAudit(AuditTrail.open(settings), settings.ae_title)
        self.refusals = Refusals(self.audit.alert)
        # The upper layers that are receiving a Data Set; `add` and `discard` of a set are
        # atomic, so it needs no lock.
        self.receiving: set[Any] = set()
        count_from_zero(INSTANCES_REFUSED, REASONS)

    def bindings(self) -> list[evt.EventHandlerType]:
        """Return the events of pynetdicom with their handlers."""
        return [
            (evt.EVT_REQUESTED, self.on_requested),
            (evt.EVT_ACSE_SENT, self.on_acse_sent),
            (evt.EVT_ESTABLISHED, self.on_established),
            (evt.EVT_RELEASED, self.on_released),
            (evt.EVT_ABORTED, self.on_aborted),
            (evt.EVT_C_ECHO, self.on_c_echo),
            (evt.EVT_C_STORE, self.on_c_store),
            (evt.EVT_N_ACTION, self._commitment.on_n_action),
        ]

    def on_requested(self, event: Any) -> None:
        """Set the supported contexts to those requested, before the negotiation."""
        request = event.assoc.requestor.primitive
        # From here on no PDU may be longer than the announced maximum (PS3.8 section D.1.1).
        event.assoc.dul.socket.limit = self._settings.max_pdu_bytes
        event.assoc.acceptor.supported_contexts = contexts_for(
            request.presentation_context_definition_list,
            self._settings.accept_private_sop_classes,
        )

    def on_acse_sent(self, event: Any) -> None:
        """Count and log an association that pynetdicom rejects."""
        primitive = event.primitive
        if getattr(primitive, "result", None) not in (1, 2):
            return
        if not hasattr(primitive, "result_source"):
            return
        key = primitive.result_source, primitive.diagnostic
        requestor = event.assoc.requestor
        self.refusals.refuse(
            _REJECTIONS.get(key, "other"),
            (requestor.ae_title or "").strip(),
            host=str(requestor.address),
        )

    def on_established(self, event: Any) -> None:
        """Log the peer."""
        self._log.info("association_established", **_peer(event.assoc))

    def on_released(self, event: Any) -> None:
        """Log the release."""
        self._log.info("association_released", **_peer(event.assoc))

    def on_aborted(self, event: Any) -> None:
        """Log the abort; an instance without an answer is not kept."""
        self._log.warning("association_aborted", **_peer(event.assoc))

    def on_c_echo(self, _event: Any) -> int:
        """Answer a C-ECHO (PS3.4 annex A)."""
        return SUCCESS.code

    def on_c_store(self, event: Any) -> int | Dataset:
        """Store an instance; 0x0000 means that it survives a power cut."""
        message = event.request
        request = StoreRequest(
            message.MessageID,
            str(message.AffectedSOPClassUID or ""),
            str(message.AffectedSOPInstanceUID or ""),
        )
        context = AcceptedContext(
            str(event.context.abstract_syntax), str(event.context.transfer_syntax)
        )
        try:
            with RECEPTION_SECONDS.time():
                name, study = self._store(event, request, context)
        except StoreRefused as refused:
            self.refused(event.assoc, refused)
            return _response(refused)
        self.stored(event.assoc, request, name, study)
        return SUCCESS.code

    def _store(
        self, event: Any, request: StoreRequest, context: AcceptedContext
    ) -> tuple[str, str]:
        """Return the spool name and, for the audit trail, the Study Instance UID."""
        buffer = event.request.DataSet
        if not isinstance(buffer, DataSetBuffer):
            raise StoreRefused(NOT_UNDERSTOOD, "The message has no Data Set")
        with buffer:
            self.require_authorized(event.assoc)
            require_storable(request, context)
            study = ""
            if buffer.failure is None:
                require_matching_uids(buffer.elements(), request, context)
                if self.audit.is_enabled:
                    study = read_study_instance_uid(
                        buffer.elements(), context.transfer_syntax
                    )
            with refusing_disk_failures():
                header = partial(part10_header, event.assoc, request, context)
                return buffer.commit(header), study

    def require_authorized(self, assoc: Any) -> None:
        """Refuse a calling AE title that is not on the list.

        Raises
        ------
        StoreRefused
            With NOT_AUTHORIZED.
        """
        allowed = self._settings.calling_ae_titles
        if allowed and assoc.requestor.ae_title.strip() not in allowed:
            raise StoreRefused(NOT_AUTHORIZED, "Calling AE title is not authorized")

    def stored(
        self,
        assoc: Any,
        request: StoreRequest,
        name: str,
        study: str = "",
    ) -> None:
        """Count, audit and log an instance that was acknowledged."""
        INSTANCES_RECEIVED.inc()
        self.audit.stored(assoc, request.sop_class_uid, study)
        self._log.info(
            "instance_stored", association_id=assoc.association_id, spool_name=name
        )

    def refused(self, assoc: Any, refused: StoreRefused) -> None:
        """Count, audit and log an instance that was refused."""
        status = refused.status
        INSTANCES_REFUSED.labels(reason=status.reason).inc()
        self.audit.refused(assoc, status.reason)
        self._log.warning(
            "instance_refused",
            association_id=assoc.association_id,
            status=f"0x{status.code:04X}",
            reason=refused.comment,
        )


def _response(refused: StoreRefused) -> Dataset:
    response = Dataset()
    response.Status = refused.status.code
    response.ErrorComment = refused.comment
    return response


def _peer(assoc: Any) -> dict[str, str]:
    return {
        "association_id": assoc.association_id,
        "calling_ae_title": (assoc.requestor.ae_title or "").strip(),
        "peer_address": str(assoc.requestor.address),
    }
