"""DICOM TLS of the listener: what the settings say, and certificates that change.

A certificate is replaced by replacing its files; nothing is restarted and no connection
is lost. New files that cannot be used are refused with a log line, and the old ones go
on being used: half a renewal must not close the port.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from ssl import SSLContext

from veritag.errors import ConfigurationError
from veritag.peers.tls import ServerTls, TlsIdentity, server_context
from veritag.process.logs import get_logger
from veritag.process.metrics import TLS_CERTIFICATE_EXPIRY, TLS_FILES_REFUSED
from veritag.settings import Settings

_LOOK_SECONDS = 2.0

_Seen = tuple[tuple[int, int, int] | None, ...]


def tls_of(settings: Settings) -> ServerTls | None:
    """Return how the DICOM TLS port is set up, None where there is none.

    Raises
    ------
    ConfigurationError
        If settings contradict one another.
    """
    if settings.dicom_tls_port is None:
        if not settings.dicom_plain:
            raise ConfigurationError(
                "no DICOM port is open: VERITAG_DICOM_PLAIN=0 needs "
                "VERITAG_DICOM_TLS_PORT"
            )
        return None
    if settings.dicom_tls_certificate is None:
        raise ConfigurationError(
            "VERITAG_DICOM_TLS_PORT needs VERITAG_DICOM_TLS_CERTIFICATE"
        )
    certificates = settings.dicom_tls_client_certificates
    if certificates != "none" and settings.dicom_tls_ca is None:
        raise ConfigurationError(
            "set VERITAG_DICOM_TLS_CA to the authorities of your clients, or "
            "VERITAG_DICOM_TLS_CLIENT_CERTIFICATES=none to let anybody connect"
        )
    identity = TlsIdentity(
        settings.dicom_tls_certificate,
        settings.dicom_tls_key,
        settings.dicom_tls_key_password_file,
    )
    return ServerTls(identity, settings.dicom_tls_ca, certificates)


class TlsContexts:
    """The context in use, made anew when its files change.

    Raises
    ------
    ConfigurationError
        If the files cannot be used at the start.
    """

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._log = get_logger()
        self._next_look = 0.0
        self._seen = self._look()
        self._expiry = _expiry(tls.identity.certificate)
        self._current = server_context(tls)
        self._take_note()

    @property
    def current(self) -> SSLContext:
        """The context for the next connection."""
        return self._current

    def refresh(self) -> None:
        """Take the files anew if they have changed; to be called often."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            self._take_new()

    def _take_new(self) -> None:
        try:
            context = server_context(self._tls)
            expiry = _future_expiry(self._tls.identity.certificate)
        except ConfigurationError as error:
            TLS_FILES_REFUSED.set(1)
            self._log.error("tls_files_refused", reason=str(error))
            return
        self._current, self._expiry = context, expiry
        self._take_note()

    def _take_note(self) -> None:
        TLS_FILES_REFUSED.set(0)
        TLS_CERTIFICATE_EXPIRY.set(self._expiry.timestamp())
        is_late = self._expiry <= datetime.now(UTC)
        log = self._log.error if is_late else self._log.info
        log("tls_certificate_in_use", expires=self._expiry.isoformat())

    def _look(self) -> _Seen:
        return tuple(_signature(file) for file in self._tls.files)


def _signature(file: Path) -> tuple[int, int, int] | None:
    """Return what tells one version of a file from the next, links followed."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _future_expiry(certificate: Path) -> datetime:
    """Return when a chain expires; raises ConfigurationError also if it has already."""
    expiry = _expiry(certificate)
    if expiry <= datetime.now(UTC):
        raise ConfigurationError(f"the TLS certificate {certificate} has expired")
    return expiry


def _expiry(certificate: Path) -> datetime:
    """Return when the first of a chain's certificates expires.

    Raises
    ------
    ConfigurationError
    """
    # Only who speaks TLS pays for it.
    from cryptography.x509 import load_pem_x509_certificates

    try:
        chain = load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the TLS certificate {certificate} cannot be read: {error}"
        ) from error
    return min(one.not_valid_after_utc for one in chain)
