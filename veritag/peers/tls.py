"""TLS contexts by a profile of PS3.15, for clients and servers.

Profile: BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile (PS3.15 section
B.12). It also meets the Non-Downgrading BCP 195 TLS Profile (B.10): nothing below TLS
1.2 is ever negotiated, and of TLS 1.2 only suites with forward secrecy and AEAD.
"""

import errno
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from veritag.errors import ConfigurationError

# RFC 9325 section 4.2 for TLS 1.2; of TLS 1.3 all cipher suites are permitted.
# Level 2: RSA keys of 2048 bits, elliptic curves of 224, no SHA-1 in signatures.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"

ClientCertificates = Literal["required", "optional", "none"]

_VERIFICATION = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that another thread may shut down during a read.

    `SSLSocket.shutdown` drops the session, so that a read in another thread would return
    ciphertext as data. An ENOTCONN is ignored: pynetdicom 3.0 would not close the socket
    after it.
    """

    def shutdown(self, how: int) -> None:
        """Shut the connection down, if there is one; a read then returns its end."""
        try:
            socket.socket.shutdown(self, how)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A certificate with its key.

    Attributes
    ----------
    certificate
        PEM file; intermediate certificates follow that of the owner.
    key
        PEM file; None where the certificate's file contains the key.
    password_file
        File with the password of the key in its first line.
    """

    certificate: Path
    key: Path | None = None
    password_file: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        named = (self.certificate, self.key, self.password_file)
        return tuple(file for file in named if file is not None)


@dataclass(frozen=True, slots=True)
class PeerTls:
    """TLS parameters of a connection to a peer.

    Attributes
    ----------
    ca
        PEM file of the authorities that may sign the peer's certificate; None for those
        of the operating system.
    identity
        Our client certificate; None for none.
    check_host_name
        Whether the peer's certificate must contain the name of the host.
    """

    ca: Path | None = None
    identity: TlsIdentity | None = None
    check_host_name: bool = True


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS parameters of a port.

    Attributes
    ----------
    ca
        PEM file of the authorities that may sign a client's certificate.
    client_certificates
        Whether clients must, may or need not present one.
    """

    identity: TlsIdentity
    ca: Path | None = None
    client_certificates: ClientCertificates = "required"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return self.identity.files + ((self.ca,) if self.ca else ())


def client_context(tls: PeerTls) -> ssl.SSLContext:
    """Return a context for connections to a peer; its certificate is always verified.

    Raises
    ------
    ConfigurationError
        If a file cannot be used, with its name and the reason.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.check_host_name
    if tls.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_ca(context, tls.ca)
    if tls.identity is not None:
        _load_identity(context, tls.identity)
    return context


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """Return a context for connections from peers.

    Raises
    ------
    ConfigurationError
        If a file cannot be used, or there is no CA for client certificates.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    context.verify_mode = _VERIFICATION[tls.client_certificates]
    if tls.client_certificates != "none":
        if tls.ca is None:
            raise ConfigurationError(
                "client certificates cannot be verified without a CA file"
            )
        _load_ca(context, tls.ca)
    _load_identity(context, tls.identity)
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION
    context.sslsocket_class = TlsSocket
    return context


def _load_ca(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except (OSError, ValueError) as error:
        raise _unusable("CA file", ca, error) from error


def _load_identity(context: ssl.SSLContext, identity: TlsIdentity) -> None:
    password = _password(identity.password_file)
    try:
        # Without a callback OpenSSL would prompt for a password at the terminal.
        context.load_cert_chain(identity.certificate, identity.key, lambda: password)
    except (OSError, ValueError) as error:
        files = " with key ".join(
            map(str, filter(None, (identity.certificate, identity.key)))
        )
        raise _unusable("certificate", files, error) from error


def _password(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise _unusable("password file", file, error) from error
    return lines[0] if lines else ""


def _unusable(kind: str, file: object, error: Exception) -> ConfigurationError:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return ConfigurationError(f"the TLS {kind} {file} cannot be used: {reason}")
