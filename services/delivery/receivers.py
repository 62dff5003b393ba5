"""Receivers for the peers of the settings."""

from veritag.peers.association import Receiver
from veritag.peers.peer import Peer
from veritag.peers.tls import PeerTls, TlsIdentity
from veritag.settings import Settings


def receiver_of(peer: Peer, settings: Settings, calling_ae_title: str = "") -> Receiver:
    """Return the receiver; TLS uses the certificate of the listener."""
    return Receiver(
        host=peer.host,
        port=peer.port,
        called_ae_title=peer.ae_title,
        calling_ae_title=calling_ae_title or settings.ae_title,
        tls=_tls(settings) if peer.tls else None,
    )


def _tls(settings: Settings) -> PeerTls:
    certificate = settings.dicom_tls_certificate
    identity = None
    if certificate is not None:
        password = settings.dicom_tls_key_password_file
        identity = TlsIdentity(certificate, settings.dicom_tls_key, password)
    return PeerTls(settings.dicom_tls_ca, identity)
