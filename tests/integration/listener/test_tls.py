"""DICOM TLS (PS3.15 section B.12): who can connect, and what is logged and counted."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from prometheus_client import REGISTRY

from services.listener.acceptor import ACSE_SECONDS
from services.listener.connections import tls_contexts as tls_module
from tests.certificates import Authority
from tests.integration.listener.conftest import Clock, Listening
from tests.integration.listener.scu import dcmtk
from tests.integration.listener.wire import (
    CT_IMAGE_STORAGE,
    Peer,
    data_set,
    element,
)
from tests.real_parts import program
from tests.waiting import wait_for
from veritag.errors import ConfigurationError
from veritag.peers import association as association_module
from veritag.peers.association import Receiver, ReceiverUnavailable
from veritag.peers.storage_scu import send
from veritag.peers.tls import (
    PeerTls,
    ServerTls,
    TlsIdentity,
    client_context,
    server_context,
)

CT = Path(pydicom.__file__).parent / "data" / "test_files" / "CT_small.dcm"


@dataclass
class SecuredPeer(Peer):
    """A peer that uses TLS and does not check host names."""

    tls: PeerTls | None = None

    def __post_init__(self) -> None:
        """Connect and do the handshake."""
        super().__post_init__()
        assert self.tls
        self.socket = client_context(self.tls).wrap_socket(self.socket)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the listener trusts."""
    return Authority.create(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority."""
    return Authority.create(tmp_path_factory.mktemp("theirs"), "theirs")


@pytest.fixture(scope="module")
def modality(ours: Authority) -> TlsIdentity:
    """The certificate of a modality."""
    return ours.issue("modality")


@pytest.fixture
def listen_tls(
    listen: Callable[..., Listening], ours: Authority, tmp_path: Path
) -> Callable[..., Listening]:
    """Return a function that starts a Storage SCP with a TLS port only."""

    def start(**changes: Any) -> Listening:
        identity = ours.issue("listener")
        assert identity.key
        folder = tmp_path / "tls"
        folder.mkdir(exist_ok=True)
        shutil.copy(identity.certificate, folder / "certificate.pem")
        shutil.copy(identity.key, folder / "key.pem")
        values = {
            "dicom_plain": False,
            "dicom_tls_port": 0,
            "dicom_tls_certificate": folder / "certificate.pem",
            "dicom_tls_key": folder / "key.pem",
            "dicom_tls_ca": ours.file,
        }
        return listen(**{**values, **changes})

    return start


def rejected(reason: str) -> float:
    """Return the number of refusals for a reason so far."""
    name = "veritag_associations_rejected_total"
    return REGISTRY.get_sample_value(name, {"reason": reason}) or 0


def peer_tls(authority: Authority, identity: TlsIdentity | None = None) -> PeerTls:
    """Return parameters that trust an authority and present a certificate."""
    return PeerTls(authority.file, identity, check_host_name=False)


def storescu(
    port: int, authority: Authority, identity: TlsIdentity, *options: str
) -> subprocess.CompletedProcess[str]:
    """Send a file with DCMTK's storescu over TLS."""
    files = identity.key, identity.certificate, "+cf", authority.file
    return dcmtk("storescu", "+tls", *files, *options, "127.0.0.1", port, CT)


def is_stored(listening: Listening, tls: PeerTls, uid: str = "1.2.3") -> bool:
    """Send one instance; return whether it was acknowledged."""
    try:
        with SecuredPeer(listening.port, tls=tls) as peer:
            peer.associate()
            data = data_set(CT_IMAGE_STORAGE, uid)
            answer = peer.store(data, CT_IMAGE_STORAGE, uid)
            peer.release()
            return answer.status == 0
    except (AssertionError, OSError):  # an alert, or no more than the end
        return False


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
@pytest.mark.parametrize("rsa_bits", [0, 2048])
def test_dcmtk_sends_by_each_profile(
    listen_tls: Callable[..., Listening],
    ours: Authority,
    profile: str,
    rsa_bits: int,
) -> None:
    """DCMTK's BCP 195 profiles, with elliptic curves and with RSA, get 0x0000."""
    server, client = (ours.issue(n, rsa_bits=rsa_bits) for n in ("server", "client"))
    listening = listen_tls(
        dicom_tls_certificate=server.certificate, dicom_tls_key=server.key
    )
    process = storescu(listening.port, ours, client, profile)
    assert process.returncode == 0, process.stderr
    (stored,) = listening.received()
    sent, received = pydicom.dcmread(CT), pydicom.dcmread(stored)
    assert received.PixelData == sent.PixelData


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(
    listen_tls: Callable[..., Listening], version: str
) -> None:
    """TLS 1.0 and 1.1 get an alert and are counted."""
    listening, before = listen_tls(), rejected("tls_protocol")
    command = [
        program("openssl"),
        "s_client",
        "-connect",
        f"127.0.0.1:{listening.port}",
    ]
    process = subprocess.run(
        [*command, version, "-cipher", "DEFAULT@SECLEVEL=0"],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert process.returncode != 0
    assert b"alert protocol version" in process.stderr
    wait_for(lambda: rejected("tls_protocol") == before + 1)


@pytest.mark.parametrize(
    ("version", "options"),
    [("TLSv1.2", ["-tls1_2"]), ("TLSv1.3", ["-tls1_3"])],
)
def test_new_versions_are_taken(
    listen_tls: Callable[..., Listening],
    ours: Authority,
    modality: TlsIdentity,
    version: str,
    options: list[str],
) -> None:
    """TLS 1.2 and 1.3 are negotiated, with forward secrecy."""
    listening = listen_tls()
    command = [
        program("openssl"),
        "s_client",
        "-connect",
        f"127.0.0.1:{listening.port}",
    ]
    files = ["-cert", modality.certificate, "-key", modality.key, "-CAfile", ours.file]
    process = subprocess.run(
        [*command, *options, *map(str, files), "-brief"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert f"Protocol version: {version}" in process.stderr
    assert "GCM" in process.stderr or "CHACHA20" in process.stderr
    assert "Verification: OK" in process.stderr


def test_weak_suites_are_refused(
    listen_tls: Callable[..., Listening], ours: Authority, modality: TlsIdentity
) -> None:
    """A client that offers only suites without forward secrecy or AEAD is refused."""
    listening, before = listen_tls(), rejected("tls_protocol")
    for suite in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"):
        context = client_context(peer_tls(ours, modality))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(suite)
        with (
            socket.create_connection(("127.0.0.1", listening.port), timeout=60) as peer,
            pytest.raises(ssl.SSLError),
        ):
            context.wrap_socket(peer)
    wait_for(lambda: rejected("tls_protocol") == before + 2)


@pytest.mark.parametrize("kind", ["none", "foreign", "expired"])
def test_without_a_valid_certificate_nobody_gets_in(
    listen_tls: Callable[..., Listening], ours: Authority, theirs: Authority, kind: str
) -> None:
    """No certificate, one of another authority, and an expired one are refused."""
    identity = {
        "none": None,
        "foreign": theirs.issue("intruder"),
        "expired": ours.issue("expired", days=-1),
    }[kind]
    listening, before = listen_tls(), rejected("tls_certificate")
    assert not is_stored(listening, peer_tls(ours, identity))
    wait_for(lambda: rejected("tls_certificate") == before + 1)
    assert listening.received() == []


def test_dcmtk_with_a_foreign_certificate_is_refused(
    listen_tls: Callable[..., Listening], ours: Authority, theirs: Authority
) -> None:
    """A storescu with a certificate of another authority is refused."""
    listening, before = listen_tls(), rejected("tls_certificate")
    intruder = theirs.issue("intruder")
    process = storescu(listening.port, ours, intruder)
    assert process.returncode != 0
    wait_for(lambda: rejected("tls_certificate") == before + 1)
    assert listening.received() == []


def test_an_optional_certificate_must_still_be_valid(
    listen_tls: Callable[..., Listening],
    ours: Authority,
    theirs: Authority,
    modality: TlsIdentity,
) -> None:
    """Optional certificates may be absent, but not invalid."""
    listening = listen_tls(dicom_tls_client_certificates="optional")
    assert is_stored(listening, peer_tls(ours), "1.2.1")
    assert is_stored(listening, peer_tls(ours, modality), "1.2.2")
    assert not is_stored(listening, peer_tls(ours, theirs.issue("intruder")), "1.2.3")
    assert len(listening.received()) == 2


def test_clients_need_no_certificate_where_none_is_wanted(
    listen_tls: Callable[..., Listening], ours: Authority
) -> None:
    """With `none` the connection is encrypted, and any client may connect."""
    listening = listen_tls(dicom_tls_client_certificates="none", dicom_tls_ca=None)
    assert is_stored(listening, peer_tls(ours))


def test_a_plain_port_may_stand_beside(
    listen_tls: Callable[..., Listening], ours: Authority, modality: TlsIdentity
) -> None:
    """Plain and TLS port share spool and limits."""
    listening = listen_tls(dicom_plain=True, max_associations=1)
    secured = listening.acceptor.tls_port
    assert secured not in (None, listening.port)
    with Peer(listening.port).associate() as plain:
        process = storescu(int(secured or 0), ours, modality)
        assert process.returncode != 0
        assert "Local Limit Exceeded" in process.stderr
        plain.release()
    wait_for(lambda: not listening.acceptor.associations)
    process = storescu(int(secured or 0), ours, modality)
    assert process.returncode == 0, process.stderr


def test_plain_dicom_is_no_way_into_the_tls_port(
    listen_tls: Callable[..., Listening],
) -> None:
    """A peer without TLS on the TLS port is refused and counted."""
    listening, before = listen_tls(), rejected("tls_protocol")
    with Peer(listening.port) as peer, pytest.raises(AssertionError, match="PDU type"):
        peer.associate()
    wait_for(lambda: rejected("tls_protocol") == before + 1)
    assert listening.received() == []


def test_tls_is_no_way_into_the_plain_port(listening: Listening) -> None:
    """A ClientHello on the plain port is not an A-ASSOCIATE-RQ."""
    before = rejected("protocol")
    with (
        socket.create_connection(("127.0.0.1", listening.port), timeout=60) as peer,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        ssl.create_default_context().wrap_socket(peer, server_hostname="127.0.0.1")
    wait_for(lambda: rejected("protocol") == before + 1)


def test_a_large_instance_comes_through_unchanged(
    listen_tls: Callable[..., Listening], ours: Authority, modality: TlsIdentity
) -> None:
    """Megabytes in many TLS records arrive byte for byte."""
    listening = listen_tls()
    data = data_set(
        CT_IMAGE_STORAGE, "1.2.3", more=element(0x7FE00010, os.urandom(6_000_000))
    )
    with SecuredPeer(listening.port, tls=peer_tls(ours, modality)) as peer:
        peer.associate()
        for uid in ("1.2.3", "1.2.3"):
            assert peer.store(data, CT_IMAGE_STORAGE, uid).status == 0
        peer.release()
    assert all(p.read_bytes().endswith(data) for p in listening.received())
    assert len(listening.received()) == 2


def test_a_silent_client_holds_up_nobody(
    listen_tls: Callable[..., Listening],
    ours: Authority,
    modality: TlsIdentity,
    pending_clock: Clock,
) -> None:
    """A client that never completes the handshake is closed and delays no other."""
    listening, before = listen_tls(), rejected("tls_timeout")
    with ExitStack() as stack:
        silent = [stack.enter_context(Peer(listening.port)) for _ in range(20)]
        for peer in silent[::2]:
            peer.socket.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        assert is_stored(listening, peer_tls(ours, modality))
        assert rejected("tls_timeout") == before
        pending_clock.ahead = ACSE_SECONDS
        wait_for(lambda: rejected("tls_timeout") == before + 20)
        for peer in silent:
            assert peer.read()[0] == 0


def _serial_in_use(listening: Listening, tls: PeerTls) -> str:
    with SecuredPeer(listening.port, tls=tls) as peer:
        assert isinstance(peer.socket, ssl.SSLSocket)
        certificate = peer.socket.getpeercert() or {}
        return str(certificate["serialNumber"])


def _put(listening: Listening, identity: TlsIdentity) -> None:
    """Replace certificate and key, as a renewal does."""
    settings = listening.settings
    assert identity.key
    assert settings.dicom_tls_certificate
    assert settings.dicom_tls_key
    shutil.copy(identity.key, settings.dicom_tls_key)
    shutil.copy(identity.certificate, settings.dicom_tls_certificate)


@pytest.fixture
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_module, "_CHECK_SECONDS", 0.02)


@pytest.mark.usefixtures("_look_often")
def test_a_new_certificate_is_used_without_a_restart(
    listen_tls: Callable[..., Listening], ours: Authority, modality: TlsIdentity
) -> None:
    """New files serve the next connection; open associations continue."""
    listening, tls = listen_tls(), peer_tls(ours, modality)
    first = _serial_in_use(listening, tls)
    with SecuredPeer(listening.port, tls=tls) as peer:
        peer.associate()
        _put(listening, ours.issue("renewed", days=60))
        wait_for(lambda: _serial_in_use(listening, tls) != first)
        data = data_set(CT_IMAGE_STORAGE, "1.2.3")
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0
    expiry = REGISTRY.get_sample_value(
        "veritag_tls_certificate_expiry_timestamp_seconds"
    )
    assert 59 < (float(expiry or 0) - time.time()) / 86400 < 61


@pytest.mark.usefixtures("_look_often")
@pytest.mark.parametrize("kind", ["rubbish", "other key", "expired", "gone"])
def test_a_broken_renewal_is_refused(
    listen_tls: Callable[..., Listening],
    ours: Authority,
    modality: TlsIdentity,
    kind: str,
) -> None:
    """Unusable new files leave the old certificate in use until they are corrected."""
    listening, tls = listen_tls(), peer_tls(ours, modality)
    first, file = (
        _serial_in_use(listening, tls),
        listening.settings.dicom_tls_certificate,
    )
    assert file
    if kind == "rubbish":
        file.write_text("no certificate")
    elif kind == "other key":
        shutil.copy(modality.certificate, file)
    elif kind == "expired":
        _put(listening, ours.issue("expired", days=-1))
    else:
        file.unlink()
    refused = "veritag_tls_files_refused"
    wait_for(lambda: REGISTRY.get_sample_value(refused) == 1)
    assert _serial_in_use(listening, tls) == first
    _put(listening, ours.issue("mended"))
    wait_for(lambda: REGISTRY.get_sample_value(refused) == 0)
    assert _serial_in_use(listening, tls) != first


def test_a_key_may_be_encrypted(
    listen_tls: Callable[..., Listening], ours: Authority, modality: TlsIdentity
) -> None:
    """The first line of the password file decrypts the key."""
    locked = ours.issue("locked", password=":".join("abc"))
    listening = listen_tls(
        dicom_tls_certificate=locked.certificate,
        dicom_tls_key=locked.key,
        dicom_tls_key_password_file=locked.password_file,
    )
    assert is_stored(listening, peer_tls(ours, modality))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dicom_tls_port": None}, "VERITAG_DICOM_TLS_PORT"),
        ({"dicom_tls_certificate": None}, "VERITAG_DICOM_TLS_CERTIFICATE"),
        ({"dicom_tls_ca": None}, "VERITAG_DICOM_TLS_CA"),
        ({"dicom_tls_certificate": Path("/no/such.pem")}, "/no/such.pem"),
        ({"dicom_tls_key": CT}, "CT_small.dcm"),
        ({"dicom_tls_ca": CT}, "CT_small.dcm"),
    ],
)
def test_wrong_settings_stop_the_start(
    listen_tls: Callable[..., Listening], changes: dict[str, Any], named: str
) -> None:
    """An error at the start names the setting or the file."""
    with pytest.raises(ConfigurationError, match=named):
        listen_tls(**changes)


def test_veritag_sends_by_tls(
    listen_tls: Callable[..., Listening], ours: Authority, modality: TlsIdentity
) -> None:
    """`veritag send --tls` with a CA and a client certificate stores, host name checked."""
    listening = listen_tls()
    tls = PeerTls(ours.file, modality)
    (outcome,) = send(Receiver("127.0.0.1", listening.port, tls=tls), [CT])
    assert outcome.stored
    assert len(listening.received()) == 1


def test_the_command_sends_by_tls(
    listen_tls: Callable[..., Listening], ours: Authority, modality: TlsIdentity
) -> None:
    """`veritag send --tls` with its options; TLS files without it are an error."""
    listening = listen_tls()
    command = [sys.executable, "-m", "veritag.cli", "send"]
    files = ["--tls-ca", ours.file, "--tls-certificate", modality.certificate]
    files += ["--tls-key", modality.key]
    arguments = ["127.0.0.1", str(listening.port), str(CT), "--calling-aet", "CT1"]
    for tls, status in ((["--tls"], 0), ([], 2)):
        process = subprocess.run(
            [*command, *tls, *map(str, files), *arguments],
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert process.returncode == status, process.stderr
    assert len(listening.received()) == 1


def test_a_reader_gets_no_ciphertext_when_it_is_hung_up_on(
    ours: Authority, modality: TlsIdentity
) -> None:
    """After a shutdown in another thread a read returns plaintext or nothing."""
    end, other_end = socket.socketpair()
    server = server_context(ServerTls(ours.issue("listener"), ours.file)).wrap_socket(
        end, server_side=True, do_handshake_on_connect=False
    )
    with ThreadPoolExecutor(1) as pool, server:
        context = client_context(peer_tls(ours, modality))
        connecting = pool.submit(context.wrap_socket, other_end)
        server.do_handshake()
        with connecting.result() as client:
            client.sendall(b"data")
            server.shutdown(socket.SHUT_RDWR)
            assert server.recv(100) in (b"data", b"")


@pytest.mark.parametrize("kind", ["host name", "authority", "no certificate"])
def test_sending_by_tls_says_what_is_wrong(
    listen_tls: Callable[..., Listening],
    ours: Authority,
    theirs: Authority,
    modality: TlsIdentity,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong host name, authority or certificate is named in the error."""
    monkeypatch.setattr(association_module, "_TLS_SECONDS", 45.0)
    elsewhere = ours.issue("elsewhere", host="192.0.2.1")
    changes, tls, reason = {
        "host name": (
            {
                "dicom_tls_certificate": elsewhere.certificate,
                "dicom_tls_key": elsewhere.key,
            },
            PeerTls(ours.file, modality),
            "mismatch",
        ),
        "authority": ({}, PeerTls(theirs.file, modality), "certificate is not valid"),
        "no certificate": ({}, PeerTls(ours.file), "CERTIFICATE_REQUIRED"),
    }[kind]
    listening = listen_tls(**changes)
    with pytest.raises(ReceiverUnavailable, match=reason):
        send(Receiver("127.0.0.1", listening.port, tls=tls), [CT])
    assert listening.received() == []
