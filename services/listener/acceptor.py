"""The Storage SCP: Application Entity, limits, start and clean stop."""

import threading
import time
from functools import partial
from typing import Any, cast

from pynetdicom import AE, _config

from services.listener.connections.admission import MAX_ENDING_ASSOCIATIONS, Admission
from services.listener.connections.server import StorageRequestHandler, StorageServer
from services.listener.connections.storage_association import StorageAssociation
from services.listener.connections.tls_contexts import TlsContexts, server_tls
from services.listener.fast.fast_upper_layer import FastUpperLayer
from services.listener.fast.negotiation_cache import cache_negotiations
from services.listener.fast.pynetdicom_check import missing_internal
from services.listener.handlers import Reception
from services.listener.presentation_contexts import VERIFICATION
from veritag.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from veritag.errors import ConfigurationError
from veritag.process.logs import get_logger
from veritag.settings import Settings
from veritag.storage.spool import Spool

# Time from the connection to the complete A-ASSOCIATE-RQ (ARTIM, PS3.8 section 9.1.5).
ACSE_SECONDS = 15.0
# Interval at which a stop is noticed. pynetdicom's `service_actions` collects garbage at
# every 60th call.
_UPKEEP_SECONDS = 0.1
_POLL_SECONDS = 0.02
FAST, STOCK = "fast", "stock"


class Acceptor:
    """A Storage SCP that receives instances into a spool."""

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        self._ae = _application_entity(settings)
        # pynetdicom's own event handlers would format every Data Set for the debug log.
        _config.LOG_HANDLER_LEVEL = "none"
        reception = Reception(settings)
        self._audit = reception.audit
        self._admission = Admission(settings)
        self._plain, self._secured = self._open_ports(reception)
        for server in self._servers:
            server.spool = spool
        self.reception = self._choose_reception(reception, spool)
        self._stopped = False
        self._threads = [
            threading.Thread(
                target=server.serve_forever,
                args=(_UPKEEP_SECONDS,),
                name="acceptor",
                daemon=True,
            )
            for server in self._servers
        ]

    def _open_ports(
        self, reception: Reception
    ) -> tuple[StorageServer | None, StorageServer | None]:
        """Return the servers of the plain and of the TLS port."""
        settings, tls = self._settings, server_tls(self._settings)
        contexts = TlsContexts(tls) if tls else None
        plain = secured = None
        if settings.dicom_plain:
            plain = self._open(reception, settings.dicom_port, "VERITAG_DICOM_PORT")
        if settings.dicom_tls_port is not None:
            port = settings.dicom_tls_port
            secured = self._open(reception, port, "VERITAG_DICOM_TLS_PORT")
            secured.tls = contexts
        return plain, secured

    def _open(self, reception: Reception, port: int, variable: str) -> StorageServer:
        host = self._settings.dicom_host
        shared = self._settings.listener_processes > 1
        server_class: Any = partial(StorageServer, share_port=shared)
        try:
            server: Any = self._ae.make_server(
                (host, port),
                evt_handlers=reception.bindings(),
                server_class=server_class,
                request_handler=StorageRequestHandler,
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {host}:{port}: {error.strerror}; "
                f"set VERITAG_DICOM_HOST or {variable}"
            ) from error
        server.admission, server.refusals = self._admission, reception.refusals
        server.audit = reception.audit
        return cast(StorageServer, server)

    @property
    def _servers(self) -> list[StorageServer]:
        return [server for server in (self._plain, self._secured) if server]

    def _choose_reception(self, reception: Reception, spool: Spool) -> str:
        """Return FAST, or STOCK by setting or for a pynetdicom that FAST does not know."""
        if self._settings.reception == STOCK:
            return STOCK
        problem = missing_internal()
        if problem:
            get_logger().warning("reception_falls_back", reason=problem)
            return STOCK
        cache_negotiations()
        for server in self._servers:
            server.upper_layer = partial(FastUpperLayer, reception, spool)
        return FAST

    @property
    def port(self) -> int:
        """The TCP port in use; the TLS port where it is the only one."""
        return int(self._servers[0].server_address[1])

    @property
    def tls_port(self) -> int | None:
        """The TCP port for DICOM TLS, None without TLS."""
        return int(self._secured.server_address[1]) if self._secured else None

    @property
    def associations(self) -> list[StorageAssociation]:
        """The present associations."""
        return [
            assoc
            for assoc in self._ae.active_associations
            if isinstance(assoc, StorageAssociation)
        ]

    def start(self) -> None:
        """Start accepting associations."""
        for thread in self._threads:
            thread.start()
        self._audit.started()

    def problem(self) -> str | None:
        """Return why no association can be accepted, None when it can."""
        is_accepting = all(thread.is_alive() for thread in self._threads)
        return None if is_accepting else "not accepting associations"

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def stop(self, grace_seconds: float) -> None:
        """Stop accepting, let messages in reception finish, then end all associations.

        Idle associations are aborted at once, the others after `grace_seconds`.
        """
        for server in self._servers:
            server.shutdown()
        self._stopped = True
        aborts = self._abort_all(time.monotonic() + grace_seconds)
        for thread in aborts:
            thread.join(timeout=2.0)
        self._audit.stop()
        get_logger().info("reception_stopped", aborted=len(aborts))

    def _abort_all(self, deadline: float) -> list[threading.Thread]:
        """Abort each association once it is idle, all at the deadline."""
        aborts: dict[StorageAssociation, threading.Thread] = {}
        while associations := self.associations:
            is_late = time.monotonic() >= deadline
            for assoc in associations:
                if assoc not in aborts and (is_late or _is_idle(assoc)):
                    aborts[assoc] = _abort(assoc)
            if is_late:  # each is in `aborts` now
                break
            time.sleep(_POLL_SECONDS)
        return list(aborts.values())


def _is_idle(assoc: StorageAssociation) -> bool:
    """Check twice: between two fragments an association looks idle."""
    if assoc.is_receiving:
        return False
    time.sleep(_POLL_SECONDS)
    return not assoc.is_receiving


def _abort(assoc: StorageAssociation) -> threading.Thread:
    # In a thread each: `end` waits up to half a second until the A-ABORT is sent.
    thread = threading.Thread(target=assoc.end, name="abort", daemon=True)
    thread.start()
    return thread


def _application_entity(settings: Settings) -> AE:
    ae = AE(ae_title=settings.ae_title)
    ae.add_supported_context(VERIFICATION)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.maximum_pdu_size = settings.max_pdu_bytes
    # `Admission` keeps the limit; pynetdicom also counts associations that are ending.
    ae.maximum_associations = settings.max_associations + MAX_ENDING_ASSOCIATIONS
    ae.require_called_aet = settings.check_called_ae_title
    ae.require_calling_aet = list(settings.calling_ae_titles)
    ae.acse_timeout = ACSE_SECONDS
    ae.dimse_timeout = settings.network_timeout_seconds
    ae.network_timeout = settings.network_timeout_seconds
    return ae
