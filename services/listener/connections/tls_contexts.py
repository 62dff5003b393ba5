"""TLS contexts of the listener: from the settings, and again when the files change.

A certificate is renewed by replacing its files, without a restart or a lost connection.
Unusable new files are refused with a log line and the old context stays in use, so that an
incomplete renewal does not close the port.
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

_CHECK_SECONDS = 2.0

_Signatures = tuple[tuple[int, int, int] | None, ...]


def server_tls(settings: Settings) -> ServerTls | None:
    """Return the TLS parameters of the DICOM TLS port, None without such a port.

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
    """The context in use, which is replaced when its files change.

    Raises
    ------
    ConfigurationError
        If the files cannot be used at the start.
    """

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._log = get_logger()
        self._next_check = 0.0
        self._signatures = self._read_signatures()
        # Expired at the start: logged as an error, since no earlier context can stay in use.
        self._expiry = _expiry(tls.identity.certificate)
        self._current = server_context(tls)
        self._report()

    @property
    def current(self) -> SSLContext:
        """The context for the next connection."""
        return self._current

    def refresh(self) -> None:
        """Read the files again if they have changed; for frequent calls."""
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + _CHECK_SECONDS
        signatures = self._read_signatures()
        if signatures != self._signatures:
            self._signatures = signatures
            self._reload()

    def _reload(self) -> None:
        try:
            context = server_context(self._tls)
            expiry = _future_expiry(self._tls.identity.certificate)
        except ConfigurationError as error:
            TLS_FILES_REFUSED.set(1)
            self._log.error("tls_files_refused", reason=str(error))
            return
        self._current, self._expiry = context, expiry
        self._report()

    def _report(self) -> None:
        TLS_FILES_REFUSED.set(0)
        TLS_CERTIFICATE_EXPIRY.set(self._expiry.timestamp())
        is_late = self._expiry <= datetime.now(UTC)
        log = self._log.error if is_late else self._log.info
        log("tls_certificate_in_use", expires=self._expiry.isoformat())

    def _read_signatures(self) -> _Signatures:
        return tuple(_signature(file) for file in self._tls.files)


def _signature(file: Path) -> tuple[int, int, int] | None:
    """Return inode, time and size, which change with each version; links are followed."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _future_expiry(certificate: Path) -> datetime:
    """Return when a chain expires; raises ConfigurationError if it has expired."""
    expiry = _expiry(certificate)
    if expiry <= datetime.now(UTC):
        raise ConfigurationError(f"the TLS certificate {certificate} has expired")
    return expiry


def _expiry(certificate: Path) -> datetime:
    """Return when the first certificate of a chain expires.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or holds no certificate.
    """
    # Imported here: a listener without TLS does not need its memory.
    from cryptography.x509 import load_pem_x509_certificates

    try:
        chain = load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the TLS certificate {certificate} cannot be read: {error}"
        ) from error
    return min(one.not_valid_after_utc for one in chain)
