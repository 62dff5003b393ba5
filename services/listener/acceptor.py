"""The Storage SCP: Application Entity, limits, start and clean stop."""

import threading
import time
from functools import partial
from typing import Any, cast

from pynetdicom import AE, _config

from services.listener.association import StorageAssociation
from services.listener.contexts import VERIFICATION
from services.listener.handlers import Reception
from services.listener.in_place import InPlaceDUL, unexpected
from services.listener.server import StorageRequestHandler, StorageServer
from veritag.errors import ConfigurationError
from veritag.logs import get_logger
from veritag.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from veritag.settings import Settings
from veritag.spool import Spool

# A requestor that has connected must ask for an association within so many seconds
# (ARTIM, PS3.8 section 9.1.5).
ACSE_SECONDS = 15.0
# How soon a stop is noticed; pynetdicom runs the garbage collector every 60 turns.
_TURN_SECONDS = 0.1
_LOOK_SECONDS = 0.02
FAST, STOCK = "fast", "stock"


class Acceptor:
    """A Storage SCP that takes instances into a spool."""

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        self._ae = _application_entity(settings)
        # Its own handlers would format every data set for the debug log.
        _config.LOG_HANDLER_LEVEL = "none"
        reception = Reception(settings)
        try:
            self._server = self._make_server(reception)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {settings.dicom_host}:{settings.dicom_port}: "
                f"{error.strerror}; set VERITAG_DICOM_HOST or VERITAG_DICOM_PORT"
            ) from error
        self._server.spool = spool
        self.reception = self._choose_way(reception, spool)
        self._stopped = False
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_TURN_SECONDS,),
            name="acceptor",
            daemon=True,
        )

    def _make_server(self, reception: Reception) -> StorageServer:
        server: Any = self._ae.make_server(
            (self._settings.dicom_host, self._settings.dicom_port),
            evt_handlers=reception.bindings(),
            server_class=StorageServer,
            request_handler=StorageRequestHandler,
        )
        return cast(StorageServer, server)

    def _choose_way(self, reception: Reception, spool: Spool) -> str:
        """Return which way C-STORE takes: as set, or pynetdicom's own where it must."""
        if self._settings.reception == STOCK:
            return STOCK
        problem = unexpected()
        if problem:
            get_logger().warning("reception_falls_back", reason=problem)
            return STOCK
        self._server.upper_layer = partial(InPlaceDUL, reception, spool)
        return FAST

    @property
    def port(self) -> int:
        """The TCP port in use."""
        return int(self._server.server_address[1])

    @property
    def associations(self) -> list[StorageAssociation]:
        """Connections and associations of this moment."""
        return [
            assoc
            for assoc in self._ae.active_associations
            if isinstance(assoc, StorageAssociation)
        ]

    def start(self) -> None:
        """Accept associations from now on."""
        self._thread.start()

    def problem(self) -> str | None:
        """Return why no association can be accepted, None when all is well."""
        return None if self._thread.is_alive() else "not accepting associations"

    @property
    def stopped(self) -> bool:
        """Whether it has stopped accepting for good."""
        return self._stopped

    def stop(self, grace_seconds: float) -> None:
        """Accept no more, let what is being received finish, then end the rest."""
        # shutdown() takes it off this list, on which only start_server() puts it.
        self._ae._servers.append(self._server)  # type: ignore[arg-type]  # noqa: SLF001
        self._server.shutdown()
        self._stopped = True
        deadline = time.monotonic() + grace_seconds
        aborting: dict[StorageAssociation, threading.Thread] = {}
        while left := self.associations:
            late = time.monotonic() >= deadline
            for assoc in left:
                if assoc not in aborting and (late or _is_quiet(assoc)):
                    aborting[assoc] = _abort(assoc)
            if late and all(assoc in aborting for assoc in left):
                break
            time.sleep(_LOOK_SECONDS)
        for thread in aborting.values():
            thread.join(timeout=2.0)
        get_logger().info("reception_stopped", aborted=len(aborting))


def _is_quiet(assoc: StorageAssociation) -> bool:
    """Look twice: between two fragments or steps an association looks idle."""
    if assoc.is_receiving:
        return False
    time.sleep(_LOOK_SECONDS)
    return not assoc.is_receiving


def _abort(assoc: StorageAssociation) -> threading.Thread:
    thread = threading.Thread(target=assoc.end, name="abort", daemon=True)
    thread.start()
    return thread


def _application_entity(settings: Settings) -> AE:
    ae = AE(ae_title=settings.ae_title)
    ae.add_supported_context(VERIFICATION)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = settings.max_pdu_bytes
    ae.maximum_associations = settings.max_associations
    ae.require_called_aet = settings.check_called_ae_title
    ae.require_calling_aet = list(settings.calling_ae_titles)
    ae.acse_timeout = ACSE_SECONDS
    ae.dimse_timeout = settings.network_timeout_seconds
    ae.network_timeout = settings.network_timeout_seconds
    return ae
