"""What happens on an association: C-ECHO, and C-STORE into the spool.

The way to 0x0000 is short on purpose: compare the UIDs, write, fsync, rename. No
database, no broker, no decoding, and never `event.dataset`.
"""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt

from services.listener.buffer import DataSetBuffer, EncodeHeader
from services.listener.contexts import VERIFICATION, contexts_for
from services.listener.status import (
    CLASS_NOT_SUPPORTED,
    MISMATCH,
    NOT_AUTHORIZED,
    NOT_UNDERSTOOD,
    OUT_OF_RESOURCES,
    REASONS,
    SUCCESS,
    Refused,
)
from veritag.elements import SOP_CLASS_UID, SOP_INSTANCE_UID, read_uids
from veritag.errors import UnusableInstance
from veritag.instance import Provenance
from veritag.logs import get_logger
from veritag.metrics import (
    ASSOCIATIONS_REJECTED,
    INSTANCES_RECEIVED,
    INSTANCES_REFUSED,
    RECEPTION_SECONDS,
    count_from_zero,
)
from veritag.part10 import encode_file_meta
from veritag.settings import Settings
from veritag.spool import SpoolFull

# PS3.8 table 9-21: (source, reason) of an A-ASSOCIATE-RJ.
_REJECTIONS = {
    (1, 3): "calling_ae_title",
    (1, 7): "called_ae_title",
    (3, 2): "too_many_associations",
}


class Reception:
    """The handlers of one listener."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = get_logger()
        count_from_zero(INSTANCES_REFUSED, REASONS)
        count_from_zero(ASSOCIATIONS_REJECTED, {*_REJECTIONS.values(), "other"})

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
        ]

    def on_requested(self, event: Any) -> None:
        """Offer what is asked for, before pynetdicom negotiates."""
        request = event.assoc.requestor.primitive
        event.assoc.acceptor.supported_contexts = contexts_for(
            request.presentation_context_definition_list,
            self._settings.accept_private_sop_classes,
        )

    def on_acse_sent(self, event: Any) -> None:
        """Count the associations that were rejected, by reason."""
        primitive = event.primitive
        if getattr(primitive, "result", None) not in (1, 2):
            return
        if not hasattr(primitive, "result_source"):
            return
        key = primitive.result_source, primitive.diagnostic
        reason = _REJECTIONS.get(key, "other")
        ASSOCIATIONS_REJECTED.labels(reason=reason).inc()
        self._log.warning("association_rejected", reason=reason, **_who(event.assoc))

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
        try:
            with RECEPTION_SECONDS.time():
                name = self._store(event)
        except Refused as refused:
            return self._refuse(event, refused)
        INSTANCES_RECEIVED.inc()
        self._log.info(
            "instance_stored",
            association_id=event.assoc.association_id,
            spool_name=name,
        )
        return SUCCESS.code

    def _store(self, event: Any) -> str:
        buffer = event.request.DataSet
        if not isinstance(buffer, DataSetBuffer):
            raise Refused(NOT_UNDERSTOOD, "The message has no Data Set")
        with buffer:
            self._require_authorized(event.assoc)
            return self._keep(buffer, event)

    def _keep(self, buffer: DataSetBuffer, event: Any) -> str:
        context = event.context
        sop_class, sop_instance = _command_uids(event.request, context.abstract_syntax)
        syntax = str(context.transfer_syntax)
        if buffer.failure is None:
            _compare(buffer, syntax, sop_class, sop_instance)
        origin = _provenance(event.assoc)
        return self._commit(
            buffer, partial(encode_file_meta, sop_class, sop_instance, syntax, origin)
        )

    def _require_authorized(self, assoc: Any) -> None:
        allowed = self._settings.calling_ae_titles
        if allowed and assoc.requestor.ae_title.strip() not in allowed:
            raise Refused(NOT_AUTHORIZED, "Calling AE title is not authorized")

    def _commit(self, buffer: DataSetBuffer, encode_header: EncodeHeader) -> str:
        try:
            return buffer.commit(encode_header)
        except SpoolFull as error:
            raise Refused(OUT_OF_RESOURCES, "Not enough free disk space") from error
        except OSError as error:
            self._log.exception("spool_failed", errno=error.errno)
            raise Refused(OUT_OF_RESOURCES, "The disk could not be written") from error

    def _refuse(self, event: Any, refused: Refused) -> Dataset:
        status = refused.status
        INSTANCES_REFUSED.labels(reason=status.reason).inc()
        self._log.warning(
            "instance_refused",
            association_id=event.assoc.association_id,
            status=f"0x{status.code:04X}",
            reason=refused.comment,
        )
        answer = Dataset()
        answer.Status = status.code
        answer.ErrorComment = refused.comment
        return answer


def _who(assoc: Any) -> dict[str, str]:
    return {
        "association_id": assoc.association_id,
        "calling_ae_title": (assoc.requestor.ae_title or "").strip(),
        "peer_address": str(assoc.requestor.address),
    }


def _provenance(assoc: Any) -> Provenance:
    request = assoc.requestor.primitive
    return Provenance(
        calling_ae_title=request.calling_ae_title.strip(),
        called_ae_title=request.called_ae_title.strip(),
        peer_address=str(assoc.requestor.address),
        association_id=assoc.association_id,
        received_at=datetime.now(UTC),
    )


def _command_uids(request: Any, abstract_syntax: str) -> tuple[str, str]:
    """Return what the command names; `keep_usable` has looked at it."""
    sop_class = str(request.AffectedSOPClassUID or "")
    sop_instance = str(request.AffectedSOPInstanceUID or "")
    if sop_class != abstract_syntax or sop_class == VERIFICATION:
        raise Refused(
            CLASS_NOT_SUPPORTED, "SOP Class is not that of the presentation context"
        )
    if not sop_instance:
        raise Refused(NOT_UNDERSTOOD, "The command has no usable SOP Instance UID")
    return sop_class, sop_instance


def _compare(
    buffer: DataSetBuffer, transfer_syntax: str, sop_class: str, sop_instance: str
) -> None:
    """Refuse what the command names otherwise than the Data Set."""
    wanted = (SOP_CLASS_UID, SOP_INSTANCE_UID)
    try:
        uids = read_uids(buffer.elements(), transfer_syntax, wanted)
    except UnusableInstance as error:
        raise Refused(NOT_UNDERSTOOD, str(error)) from error
    if SOP_CLASS_UID not in uids or SOP_INSTANCE_UID not in uids:
        raise Refused(NOT_UNDERSTOOD, "The Data Set lacks SOP Class or Instance UID")
    if uids[SOP_CLASS_UID] != sop_class:
        raise Refused(MISMATCH, "SOP Class UID of command and Data Set differ")
    if uids[SOP_INSTANCE_UID] != sop_instance:
        raise Refused(MISMATCH, "SOP Instance UID of command and Data Set differ")
