"""What happens on an association: C-ECHO, and C-STORE into the spool.

The way to 0x0000 is short on purpose: compare the UIDs, write, fsync, rename. No
database, no broker, no decoding, and never `event.dataset`.
"""

from functools import partial
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt

from services.listener.audit.reception import ReceptionAudit, study_of
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
    Negotiated,
    StoreRequest,
    compare,
    header_of,
    refusing_disk_failures,
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
        # The associations of which a Data Set is on its way in.
        self.arriving: set[Any] = set()
        count_from_zero(INSTANCES_REFUSED, REASONS)

    def bindings(self) -> list[evt.EventHandlerType]:
        """Return pynetdicom's events with our handlers."""
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
        """Offer what is asked for, before pynetdicom negotiates."""
        request = event.assoc.requestor.primitive
        # From here on no PDU may be longer than announced (PS3.8 section D.1.1).
        event.assoc.dul.socket.limit = self._settings.max_pdu_bytes
        event.assoc.acceptor.supported_contexts = contexts_for(
            request.presentation_context_definition_list,
            self._settings.accept_private_sop_classes,
        )

    def on_acse_sent(self, event: Any) -> None:
        """Take note of the associations that pynetdicom rejects, by reason."""
        primitive = event.primitive
        if getattr(primitive, "result", None) not in (1, 2):
            return
        if not hasattr(primitive, "result_source"):
            return
        key = primitive.result_source, primitive.diagnostic
        who = event.assoc.requestor
        self.refusals.refuse(
            _REJECTIONS.get(key, "other"),
            (who.ae_title or "").strip(),
            host=str(who.address),
        )

    def on_established(self, event: Any) -> None:
        """Log who is here."""
        self._log.info("association_established", **_who(event.assoc))

    def on_released(self, event: Any) -> None:
        """Log the regular end."""
        self._log.info("association_released", **_who(event.assoc))

    def on_aborted(self, event: Any) -> None:
        """Log the irregular end; what was not acknowledged is not kept."""
        self._log.warning("association_aborted", **_who(event.assoc))

    def on_c_echo(self, _event: Any) -> int:
        """Answer a C-ECHO (PS3.4 annex A)."""
        return SUCCESS.code

    def on_c_store(self, event: Any) -> int | Dataset:
        """Store an instance; the answer is a promise."""
        message = event.request
        request = StoreRequest(
            message.MessageID,
            str(message.AffectedSOPClassUID or ""),
            str(message.AffectedSOPInstanceUID or ""),
        )
        context = Negotiated(
            str(event.context.abstract_syntax), str(event.context.transfer_syntax)
        )
        try:
            with RECEPTION_SECONDS.time():
                name, study = self._store(event, request, context)
        except StoreRefused as refused:
            self.refused(event.assoc, refused)
            return _answer(refused)
        self.stored(event.assoc, request, name, study)
        return SUCCESS.code

    def _store(
        self, event: Any, request: StoreRequest, context: Negotiated
    ) -> tuple[str, str]:
        """Return the spool name and, where an audit wants it, the study."""
        buffer = event.request.DataSet
        if not isinstance(buffer, DataSetBuffer):
            raise StoreRefused(NOT_UNDERSTOOD, "The message has no Data Set")
        with buffer:
            self.require_authorized(event.assoc)
            require_storable(request, context)
            study = ""
            if buffer.failure is None:
                compare(buffer.elements(), request, context)
                if self.audit.is_kept:
                    study = study_of(buffer.elements(), context.transfer_syntax)
            with refusing_disk_failures():
                header = partial(header_of, event.assoc, request, context)
                return buffer.commit(header), study

    def require_authorized(self, assoc: Any) -> None:
        """Refuse a calling AE title that is not on the list.

        Raises
        ------
        StoreRefused
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
        """Account for an instance that was acknowledged."""
        INSTANCES_RECEIVED.inc()
        self.audit.stored(assoc, request.sop_class_uid, study)
        self._log.info(
            "instance_stored", association_id=assoc.association_id, spool_name=name
        )

    def refused(self, assoc: Any, refused: StoreRefused) -> None:
        """Account for an instance that was refused."""
        status = refused.status
        INSTANCES_REFUSED.labels(reason=status.reason).inc()
        self.audit.refused(assoc, status.reason)
        self._log.warning(
            "instance_refused",
            association_id=assoc.association_id,
            status=f"0x{status.code:04X}",
            reason=refused.comment,
        )


def _answer(refused: StoreRefused) -> Dataset:
    answer = Dataset()
    answer.Status = refused.status.code
    answer.ErrorComment = refused.comment
    return answer


def _who(assoc: Any) -> dict[str, str]:
    return {
        "association_id": assoc.association_id,
        "calling_ae_title": (assoc.requestor.ae_title or "").strip(),
        "peer_address": str(assoc.requestor.address),
    }
