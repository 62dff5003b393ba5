"""Certificates for tests: an authority and the certificates it signs (PS3.15 annex B)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from veritag.peers.tls import TlsIdentity

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: str, issuer: str, key: Key, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * _DAY)
        .not_valid_after(now + days * _DAY)
    )


@dataclass(frozen=True)
class Authority:
    """A certificate authority with its certificate in a file."""

    name: str
    key: ec.EllipticCurvePrivateKey
    folder: Path

    @classmethod
    def create(cls, folder: Path, name: str) -> Self:
        """Make an authority with its files in a folder."""
        authority = cls(name, ec.generate_private_key(ec.SECP256R1()), folder)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = (
            _builder(name, name, authority.key, 30)
            .add_extension(constraints, critical=True)
            .sign(authority.key, hashes.SHA256())
        )
        authority.file.write_bytes(certificate.public_bytes(Encoding.PEM))
        return authority

    @property
    def file(self) -> Path:
        """The PEM file of its certificate."""
        return self.folder / f"{self.name}.ca.pem"

    def issue(
        self,
        name: str,
        *,
        days: float = 30,
        host: str = "127.0.0.1",
        password: str | None = None,
        rsa_bits: int = 0,
    ) -> TlsIdentity:
        """Sign a certificate for a host; with negative `days` it expired that long ago."""
        key: Key = (
            rsa.generate_private_key(65537, rsa_bits)
            if rsa_bits
            else ec.generate_private_key(ec.SECP256R1())
        )
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        constraints = x509.BasicConstraints(ca=False, path_length=None)
        certificate = (
            _builder(name, self.name, key, days)
            .add_extension(names, critical=False)
            .add_extension(constraints, critical=True)
            .sign(self.key, hashes.SHA256())
        )
        identity = TlsIdentity(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        identity.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        self._write_key(identity, key, password)
        if password is None:
            return identity
        file = self.folder / f"{name}.password"
        file.write_text(password + "\n")
        return TlsIdentity(identity.certificate, identity.key, file)

    def _write_key(self, identity: TlsIdentity, key: Key, password: str | None) -> None:
        assert identity.key
        encryption = (
            BestAvailableEncryption(password.encode()) if password else NoEncryption()
        )
        identity.key.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        )
