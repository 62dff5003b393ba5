"""What pynetdicom's association lacks for a server that faces a hospital's network.

A Data Set that does not end goes to disk, not into memory (see `buffer`); nothing is
believed of a PDU that was not checked (see `upper_layer`); every read and write has a
timeout, so that no thread waits for ever; and idle threads wait (see `waiting`).

These classes override internals of pynetdicom 3.0; its version is pinned.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from services.listener.connections.upper_layer import PromptDUL
from services.listener.connections.wakeups import TURN, WakeCheckpoint, WakingQueue
from services.listener.message_buffer import BufferingDIMSE
from veritag.process.logs import get_logger
from veritag.process.metrics import ASSOCIATIONS_OPEN

_ABORT_TURNS = 5


class StorageAssociation(Association):
    """An association with an identifier of ours and the classes above."""

    def __init__(
        self, ae: Any, mode: str, upper_layer: Callable[[Any], PromptDUL] = PromptDUL
    ) -> None:
        super().__init__(ae, mode)
        self.association_id = secrets.token_hex(8)
        self.dul = self._upper_layer = upper_layer(self)
        self.dimse = self.buffering = BufferingDIMSE(self)
        checkpoint = WakeCheckpoint(self._has_work)
        checkpoint.set()
        self.dul.to_user_queue = WakingQueue(checkpoint.wake)
        self.dimse.msg_queue = WakingQueue(checkpoint.wake)
        self._reactor_checkpoint = checkpoint
        # Timers belong to the upper layer; set them again on the new one.
        self.acse_timeout = self.ae.acse_timeout
        self.network_timeout = self.ae.network_timeout
        self._serving = False
        self.when_over: Callable[[], None] | None = None

    def _has_work(self) -> bool:
        return not (self.dimse.msg_queue.empty() and self.dul.to_user_queue.empty())

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended, before the peer can know and ask for another."""
        names = ("_sent_release", "_sent_abort", "is_released", "is_aborted")
        return any(getattr(self, name, False) for name in names)

    @property
    def is_receiving(self) -> bool:
        """Tell whether a message is on its way in, or its answer on its way out."""
        return self._upper_layer.is_receiving or self.is_busy

    @property
    def is_busy(self) -> bool:
        """Tell whether pynetdicom has a message under way."""
        return (
            self.dimse.message is not None
            or not self.dimse.msg_queue.empty()
            or self._serving
            or not self.dul.to_provider_queue.empty()
        )

    def end(self) -> None:
        """End an association with A-ABORT, a mere connection by closing it."""
        established = self.is_established
        if established:
            self.abort(block=False)
            self._let_it_out()
        # The thread that sends may wait for the rest of a PDU, and would for long.
        self._upper_layer.hang_up()
        if established:
            self.kill()

    def _let_it_out(self) -> None:
        for _ in range(_ABORT_TURNS):
            time.sleep(TURN)
            if self.dul.to_provider_queue.empty():
                return

    def _serve_request(self, msg: Any, context_id: int) -> None:
        self._serving = True
        try:
            context = self._accepted_cx.get(context_id)
            if isinstance(msg, C_STORE) and msg.MessageID is not None and context:
                self._serve_store(msg, context)
            elif msg.is_valid_request and _has_its_place(msg, context):
                super()._serve_request(msg, context_id)
            else:
                # pynetdicom would leave the peer without an answer until its timeout.
                self.abort()
        finally:
            self._serving = False

    def _serve_store(self, request: C_STORE, context: PresentationContext) -> None:
        """Serve a C-STORE whatever SOP Class it names; pynetdicom goes by that."""
        try:
            StorageServiceClass(self).SCP(request, context)
        except Exception:  # noqa: BLE001 - whatever it was, the sender must hear of it
            get_logger().exception(
                "association_failed", association_id=self.association_id
            )
            self.abort()

    def run_reactor(self) -> None:
        """Negotiate, then serve; what cannot be negotiated is aborted."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - pynetdicom trusts what was proposed
            get_logger().warning(
                "association_failed",
                association_id=self.association_id,
                error=type(error).__name__,
            )
            self.abort()

    def _run_reactor(self) -> None:
        ASSOCIATIONS_OPEN.inc()
        try:
            super()._run_reactor()
        finally:
            ASSOCIATIONS_OPEN.dec()
            self.buffering.forget()
            if self.when_over is not None:
                self.when_over()


def _has_its_place(msg: Any, context: PresentationContext | None) -> bool:
    """Tell whether a request names the SOP Class of its context, and no storage.

    pynetdicom serves what a request names, over whatever context it came, and whatever
    it is as if it were a C-STORE.
    """
    named = getattr(msg, "AffectedSOPClassUID", None)
    named = named or getattr(msg, "RequestedSOPClassUID", None)
    if context is None or named != context.abstract_syntax:
        return False
    service = uid_to_service_class(str(named))
    return service not in (StorageServiceClass, ServiceClass)
