"""The audit trail as received by a repository, over UDP, TCP and TLS, and in a file."""

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from prometheus_client import REGISTRY

from services.listener.audit import trail as audit_trail_module
from services.listener.audit.messages import (
    APPLICATION_ACTIVITY,
    Event,
    Origin,
    this_process,
)
from services.listener.audit.syslog import StreamChannel
from services.listener.audit.trail import AuditTrail, ChannelQueue
from tests.certificates import Authority
from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import (
    CT_IMAGE_STORAGE,
    Peer,
    Rejected,
    data_set,
    element,
)
from tests.ports import free_port
from tests.waiting import wait_for
from veritag.peers.tls import ServerTls, server_context

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
EVENT = Event(APPLICATION_ACTIVITY, "E", (this_process("VERITAG"),))


class Repository:
    """A receiver of syslog with octet counting (RFC 6587), with or without TLS (RFC 5425)."""

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._context = context
        self.port = port or free_port()
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.messages: queue.Queue[bytes] = queue.Queue()
        self.refusals = 0
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                if self._context is not None:
                    try:
                        connection = self._context.wrap_socket(
                            connection, server_side=True
                        )
                    except ssl.SSLError:
                        self.refusals += 1
                        continue
                self._open.append(connection)
                threading.Thread(
                    target=self._read, args=(connection,), daemon=True
                ).start()

    def _read(self, connection: socket.socket) -> None:
        with (
            contextlib.suppress(OSError, ValueError),
            connection.makefile("rb") as file,
        ):
            while length := b"".join(iter(lambda: file.read(1).strip(), b"")):
                self.messages.put(file.read(int(length)))

    def next(self) -> bytes:
        """Wait for a message."""
        return self.messages.get(timeout=45)

    def close(self) -> None:
        """End every connection and refuse new ones."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(45)
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@pytest.fixture
def repository() -> Iterator[Repository]:
    """A repository over TCP."""
    repository = Repository()
    yield repository
    repository.close()


def read(message: bytes) -> tuple[str, ET.Element]:
    """Return the code of the event and the message."""
    audit = ET.fromstring(message.partition(b"\xef\xbb\xbf")[2])  # noqa: S314 - ours
    event = audit.find("EventIdentification/EventID")
    assert event is not None
    return str(event.get("csd-code")), audit


def lines(file: Path) -> list[tuple[str, ET.Element]]:
    """Return the complete messages of a file."""
    content = file.read_bytes() if file.exists() else b""
    return [read(line) for line in content.split(b"\n")[:-1]]


def outcome(audit: ET.Element) -> tuple[str, str]:
    """Return the outcome of an event, as code and description."""
    event = audit.find("EventIdentification")
    assert event is not None
    words = event.findtext("EventOutcomeDescription") or ""
    return str(event.get("EventOutcomeIndicator")), words


def test_an_association_is_told_at_its_end(
    listen: Callable[..., Listening], tmp_path: Path
) -> None:
    """One message for each study with its numbers, and one for the refused instances."""
    file = tmp_path / "audit.log"
    listening = listen(audit_file=file, audit_site="Hospital")
    offers = [(c, ["1.2.840.10008.1.2"]) for c in (CT_IMAGE_STORAGE, MR_IMAGE_STORAGE)]
    with Peer(listening.port, calling="CT1").associate(*offers) as peer:
        for number in range(3):
            uid = f"1.2.{number}"
            data = data_set(CT_IMAGE_STORAGE, uid)
            assert peer.store(data, CT_IMAGE_STORAGE, uid).status == 0
        data = data_set(MR_IMAGE_STORAGE, "1.9").replace(b"1.2.3\0", b"7.7.7\0")
        assert peer.store(data, MR_IMAGE_STORAGE, "1.9", context=3).status == 0
        assert peer.store(data, MR_IMAGE_STORAGE, "1.8", context=3).status == 0xA900
        wait_for(lambda: len(lines(file)) == 1)  # the start
        peer.release()
    wait_for(lambda: len(lines(file)) == 4)
    messages = lines(file)
    assert [code for code, _ in messages] == ["110100", "110104", "110104", "110104"]
    studies = {
        item.get("ParticipantObjectID"): {
            c.get("UID"): c.get("NumberOfInstances") for c in item.iter("SOPClass")
        }
        for _, audit in messages
        for item in audit.iter("ParticipantObjectIdentification")
    }
    assert studies == {
        "1.2.3": {CT_IMAGE_STORAGE: "3"},
        "7.7.7": {MR_IMAGE_STORAGE: "1"},
    }
    assert outcome(messages[-1][1]) == ("4", "instances refused: mismatch=1")
    listening.acceptor.stop(1)
    wait_for(lambda: len(lines(file)) == 5)
    assert lines(file)[-1][0] == "110100"


@pytest.mark.parametrize("reception", ["fast", "stock"])
def test_an_abort_is_an_end_too(
    listen: Callable[..., Listening], tmp_path: Path, reception: str
) -> None:
    """Instances acknowledged before an abort are reported, by both receptions."""
    file = tmp_path / "audit.log"
    listening = listen(audit_file=file, reception=reception)
    with Peer(listening.port).associate() as peer:
        data = data_set(CT_IMAGE_STORAGE, "1.2.3")
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0
    wait_for(lambda: len(lines(file)) == 2)
    code, audit = lines(file)[1]
    assert code == "110104"
    assert outcome(audit)[0] == "0"
    event = audit.find("EventIdentification")
    assert event is not None
    assert event.get("EventActionCode") == "R"
    study = audit.find("ParticipantObjectIdentification")
    assert study is not None
    assert study.get("ParticipantObjectID") == "1.2.3"


def test_a_study_that_is_not_found_is_said_so(
    listen: Callable[..., Listening], tmp_path: Path
) -> None:
    """Without a Study Instance UID the number of instances is reported."""
    file = tmp_path / "audit.log"
    listening = listen(audit_file=file)
    data = element(0x00080016, CT_IMAGE_STORAGE.encode()) + element(0x00080018, b"1.2")
    with Peer(listening.port).associate() as peer:
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2").status == 0
        peer.release()
    wait_for(lambda: len(lines(file)) == 2)
    assert outcome(lines(file)[1][1]) == (
        "0",
        "1 instances; Study Instance UID not read",
    )


def test_who_may_not_come_in_is_told(
    listen: Callable[..., Listening], tmp_path: Path
) -> None:
    """A refused AE title is a security alert; repetitions within a minute are not."""
    file = tmp_path / "audit.log"
    listening = listen(audit_file=file, calling_ae_titles=("CT1",))
    for _ in range(5):
        with pytest.raises(Rejected):
            Peer(listening.port, calling="<EVIL>").associate()
    listening.acceptor.stop(1)  # which delivers everything that was reported
    ((_, _), (code, audit), (last, _)) = lines(file)
    assert (code, last) == ("110113", "110100")
    kind = audit.find("EventIdentification/EventTypeCode")
    assert kind is not None
    assert kind.get("csd-code") == "110126"
    assert outcome(audit)[0] == "8"
    assert "calling_ae_title (<EVIL>)" in outcome(audit)[1]


def test_over_tcp(listen: Callable[..., Listening], repository: Repository) -> None:
    """A repository gets complete messages in order over one connection."""
    listening = listen(audit_syslog=f"tcp://127.0.0.1:{repository.port}")
    assert read(repository.next())[0] == "110100"
    with Peer(listening.port).associate() as peer:
        data = data_set(CT_IMAGE_STORAGE, "1.2.3")
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0
    assert read(repository.next())[0] == "110104"


def test_over_udp(listen: Callable[..., Listening]) -> None:
    """A datagram contains one message."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as repository:
        repository.bind(("127.0.0.1", 0))
        repository.settimeout(45)
        listen(audit_syslog=f"udp://127.0.0.1:{repository.getsockname()[1]}")
        assert read(repository.recv(65536))[0] == "110100"


def test_over_tls_with_certificates_on_both_sides(
    listen: Callable[..., Listening], tmp_path: Path
) -> None:
    """The certificate of the repository is verified, and it may require ours."""
    authority = Authority.create(tmp_path, "authority")
    own, other = authority.issue("listener"), authority.issue("repository")
    assert own.key
    chain = tmp_path / "both.pem"
    chain.write_bytes(own.certificate.read_bytes() + own.key.read_bytes())
    tls = server_context(ServerTls(other, authority.file))
    with contextlib.closing(Repository(tls)) as repository:
        listening = listen(
            audit_syslog=f"tls://127.0.0.1:{repository.port}",
            audit_tls_ca=authority.file,
            audit_tls_certificate=chain,
        )
        assert read(repository.next())[0] == "110100"
        listening.acceptor.stop(1)
        assert read(repository.next())[0] == "110100"


def test_an_unknown_repository_gets_nothing(
    listen: Callable[..., Listening], tmp_path: Path
) -> None:
    """No message goes to a repository with a certificate of another authority."""
    ours, other = (Authority.create(tmp_path, name) for name in ("ours", "other"))
    tls = ServerTls(other.issue("repository"), client_certificates="none")
    with contextlib.closing(Repository(server_context(tls))) as repository:
        url = f"tls://127.0.0.1:{repository.port}"
        listen(audit_syslog=url, audit_tls_ca=ours.file)
        wait_for(lambda: repository.refusals)
        assert repository.messages.empty()


def test_reception_goes_on_without_the_repository(
    listen: Callable[..., Listening], repository: Repository
) -> None:
    """Without the repository instances are acknowledged at once and reported later."""
    listening = listen(audit_syslog=f"tcp://127.0.0.1:{repository.port}")
    assert read(repository.next())[0] == "110100"
    repository.close()
    for number in range(3):
        start = time.monotonic()
        with Peer(listening.port).associate() as peer:
            data = data_set(CT_IMAGE_STORAGE, f"1.{number}")
            assert peer.store(data, CT_IMAGE_STORAGE, f"1.{number}").status == 0
            peer.release()
        assert time.monotonic() - start < 20
    with contextlib.closing(Repository(port=repository.port)) as reopened:
        assert [read(reopened.next())[0] for _ in range(3)] == ["110104"] * 3


def test_what_is_too_much_is_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch, repository: Repository
) -> None:
    """A full queue drops events without blocking, and the trail stops on demand."""
    monkeypatch.setattr(audit_trail_module, "_MAX_QUEUED", 10)
    repository.close()
    channel = StreamChannel("127.0.0.1", repository.port)
    threads = threading.active_count()
    channel_queue = ChannelQueue("syslog", channel, Origin("x"))
    trail = AuditTrail([channel_queue])
    before = REGISTRY.get_sample_value("veritag_audit_dropped_total") or 0
    for _ in range(50):
        trail.add(EVENT)
    dropped = (REGISTRY.get_sample_value("veritag_audit_dropped_total") or 0) - before
    assert 39 <= dropped <= 40
    assert 10 <= (REGISTRY.get_sample_value("veritag_audit_waiting") or 0) <= 11
    trail.stop()
    wait_for(lambda: threading.active_count() <= threads)


def test_a_rotated_file_is_begun_anew(
    listen: Callable[..., Listening], tmp_path: Path
) -> None:
    """After a rotation messages go to a new file, which others cannot read."""
    file = tmp_path / "audit.log"
    listening = listen(audit_file=file)
    wait_for(lambda: len(lines(file)) == 1)
    file.rename(tmp_path / "audit.log.1")
    listening.acceptor.stop(1)
    wait_for(lambda: lines(file))
    assert [code for code, _ in lines(file)] == ["110100"]
    assert file.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("url", ["http://x:1", "tcp://", "udp://a b:1", "tls://x:port"])
def test_a_wrong_address_is_told_at_the_start(
    listen: Callable[..., Listening], url: str
) -> None:
    """A URL that is not udp://, tcp:// or tls:// with a host is refused."""
    wrong: dict[str, Any] = {"audit_syslog": url}
    with pytest.raises(ValueError, match="audit_syslog"):
        listen(**wrong)
