"""The association of the Storage SCP, hardened against hostile and broken peers.

A Data Set without end goes to disk, not into memory (`message_buffer`); the length of a
PDU is checked before it is read (`upper_layer`); every read and write has a timeout; and
idle threads block in place of polling (`wakeups`).

It overrides these internals of pynetdicom 3.0, whose version is pinned: the attributes
`dul`, `dimse` and `_reactor_checkpoint` are replaced after construction, and `_run_reactor`,
`run_reactor` and `_serve_request` are wrapped. tests/integration/listener would fail if a
later version no longer used them.
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

from services.listener.connections.upper_layer import UpperLayer
from services.listener.connections.wakeups import (
    POLL_SECONDS,
    WakeCheckpoint,
    WakingQueue,
)
from services.listener.message_buffer import BufferingDIMSE
from veritag.process.logs import get_logger
from veritag.process.metrics import ASSOCIATIONS_OPEN

_ABORT_POLLS = 5


class StorageAssociation(Association):
    """An association with an identifier for the log, and replaced layers."""

    def __init__(
        self, ae: Any, mode: str, upper_layer: Callable[[Any], UpperLayer] = UpperLayer
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
        # The setters copy the timeouts to the upper layer, which is a new one.
        self.acse_timeout = self.ae.acse_timeout
        self.network_timeout = self.ae.network_timeout
        self._serving = False
        self.on_end: Callable[[], None] | None = None

    def _has_work(self) -> bool:
        return not (self.dimse.msg_queue.empty() and self.dul.to_user_queue.empty())

    @property
    def is_over(self) -> bool:
        """Whether it has ended; true before the peer can know and request another one."""
        names = ("_sent_release", "_sent_abort", "is_released", "is_aborted")
        return any(getattr(self, name, False) for name in names)

    @property
    def is_receiving(self) -> bool:
        """Whether a message is being received or its answer being sent."""
        return self._upper_layer.is_receiving or self.is_busy

    @property
    def is_busy(self) -> bool:
        """Whether pynetdicom processes a message."""
        return (
            self.dimse.message is not None
            or not self.dimse.msg_queue.empty()
            or self._serving
            or not self.dul.to_provider_queue.empty()
        )

    def end(self) -> None:
        """End an association with A-ABORT, a connection without one by closing it."""
        established = self.is_established
        if established:
            self.abort(block=False)
            self._await_abort_sent()
        # The thread that sends may block in a read for the whole network timeout.
        self._upper_layer.hang_up()
        if established:
            self.kill()

    def _await_abort_sent(self) -> None:
        for _ in range(_ABORT_POLLS):
            time.sleep(POLL_SECONDS)
            if self.dul.to_provider_queue.empty():
                return

    def _serve_request(self, msg: Any, context_id: int) -> None:
        self._serving = True
        try:
            context = self._accepted_cx.get(context_id)
            if isinstance(msg, C_STORE) and msg.MessageID is not None and context:
                self._serve_store(msg, context)
            elif msg.is_valid_request and _fits_context(msg, context):
                super()._serve_request(msg, context_id)
            else:
                # pynetdicom would not answer, and the peer would wait for its timeout.
                self.abort()
        finally:
            self._serving = False

    def _serve_store(self, request: C_STORE, context: PresentationContext) -> None:
        """Serve a C-STORE for any SOP Class; pynetdicom aborts for those it does not know."""
        try:
            StorageServiceClass(self).SCP(request, context)
        except Exception:  # noqa: BLE001 - the sender must get an answer or A-ABORT
            get_logger().exception(
                "association_failed", association_id=self.association_id
            )
            self.abort()

    def run_reactor(self) -> None:
        """Negotiate, then serve; send A-ABORT when the negotiation fails."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - pynetdicom does not check proposed values
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
            self.buffering.discard()
            if self.on_end is not None:
                self.on_end()


def _fits_context(msg: Any, context: PresentationContext | None) -> bool:
    """Whether a request has the SOP Class of its context, which is not a storage one.

    pynetdicom selects the service by the SOP Class of the request, without regard to its
    context, and treats every request of a storage class as a C-STORE.
    """
    sop_class = getattr(msg, "AffectedSOPClassUID", None)
    sop_class = sop_class or getattr(msg, "RequestedSOPClassUID", None)
    if context is None or sop_class != context.abstract_syntax:
        return False
    service = uid_to_service_class(str(sop_class))
    return service not in (StorageServiceClass, ServiceClass)
