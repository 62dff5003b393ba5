"""Forwarding to real destinations: DCMTK's storescp, stopped, started and selective."""

import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt

from services.delivery import forwarder
from services.delivery.destination_filter import DestinationFilter
from services.delivery.forwarder import Forwarder
from services.delivery.receivers import receiver_of
from tests.certificates import Authority
from tests.integration.delivery.conftest import Delivery, Destination, Site, thread_of
from tests.ports import free_port
from tests.waiting import wait_for
from veritag.errors import ArchiveUnavailable
from veritag.peers.peer import Peer, read_peers
from veritag.records.audit import audit_trail
from veritag.records.delivery.destinations import (
    DestinationState,
    destination_states,
    sync_destinations,
)
from veritag.records.delivery.forwarding import (
    NothingParked,
    parked_forwards,
    retry_parked,
)
from veritag.settings import Settings
from veritag.storage.archive import Archive

# pynetdicom leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

MR = "1.2.840.10008.5.1.4.1.1.4"


def peer(port: int, more: str = "", name: str = "pacs") -> Peer:
    """Return a destination on this machine."""
    (only,) = read_peers([f"{name}=PACS@127.0.0.1:{port};forward{more}"])
    return only


def add(site: Site, *peers: Peer) -> None:
    """Record the peers as destinations, as a start of the process does."""
    sync_destinations(site.records, {p.name: p.since for p in peers})


def forwarder_of(
    site: Site, to: Peer, attempts: int = 5, settings: Settings | None = None
) -> Forwarder:
    """Return the forwarder of one destination."""
    (state,) = [s for s in destination_states(site.records) if s.name == to.name]
    archive = Archive(site.settings.archive_dir)
    return Forwarder(
        state.destination_id,
        to.name,
        receiver_of(to, settings or site.settings),
        site.records,
        archive,
        DestinationFilter(to, site.records, archive),
        attempts,
    )


def state_of(site: Site, name: str = "pacs") -> DestinationState:
    """Return the state of a destination."""
    return next(s for s in destination_states(site.records) if s.name == name)


def test_every_instance_arrives_as_it_was_received(
    site: Site, destination: Callable[..., Destination]
) -> None:
    """Conflicting instances are sent once each; a repeated one is not sent again."""
    pacs = destination()
    to = peer(pacs.port)
    add(site, to)
    names = [site.receive(f"1.2.3.{n}", filler=2 * n) for n in range(5)]
    site.index(*names, site.receive("1.2.3.4", filler=8))
    site.index(site.receive("1.2.3.4", filler=10))
    with thread_of(forwarder_of(site, to).run):
        wait_for(lambda: state_of(site).sent == 6)
    assert pacs.count() == 6
    received = pacs.received()
    assert {u: received[u] for u in received if u != "1.2.3.4"} == {
        u: site.sent[u] for u in site.sent if u != "1.2.3.4"
    }
    state = state_of(site)
    assert (state.waiting, state.parked, state.oldest_seconds) == (0, 0, 0.0)
    assert state.last_success_at


def test_a_destination_that_is_away_is_waited_for(
    site: Site, destination: Callable[..., Destination]
) -> None:
    """Instances stay queued with the reason, are sent later, and delay no other queue."""
    stopped, running = destination(running=False), destination()
    peers = peer(stopped.port, name="away"), peer(running.port, name="there")
    add(site, *peers)
    site.index(site.receive("1.2.3.1"), site.receive("1.2.3.2"))
    works = [forwarder_of(site, to) for to in peers]
    with thread_of(works[0].run), thread_of(works[1].run):
        wait_for(lambda: state_of(site, "there").sent == 2)
        wait_for(lambda: state_of(site, "away").last_failure)
        waiting = state_of(site, "away")
        assert waiting.waiting == 2
        assert "does not answer" in str(waiting.last_failure)
        stopped.start()
        wait_for(lambda: state_of(site, "away").sent == 2)
    assert stopped.received() == running.received() == site.sent


def test_what_a_destination_never_takes_is_parked_and_tried_again_on_demand(
    site: Site, destination: Callable[..., Destination]
) -> None:
    """A rejected context parks an instance while others are sent; a user can retry it."""
    choosy = destination("--config-file", str(_ct_only(site)), "CT")
    to = peer(choosy.port)
    add(site, to)
    site.index(site.receive("1.2.3.1"), site.receive("1.2.3.2", sop_class=MR))
    with thread_of(forwarder_of(site, to).run):
        wait_for(lambda: state_of(site).parked and state_of(site).sent)
        state = state_of(site)
        (parked,) = parked_forwards(site.records, state.destination_id)
        assert parked.sop_instance_uid == "1.2.3.2"
        assert "does not accept MR Image Storage" in str(parked.reason)
        choosy.stop()
        choosy.arguments = ()
        choosy.start()
        assert retry_parked(site.records, state.destination_id, "Ada") == 1
        wait_for(lambda: state_of(site).sent == 2)
    (event,) = audit_trail(site.records)
    assert (event.kind, event.actor) == ("forwards_retried", "Ada")
    assert event.detail == {"destination": "pacs", "instances": 1}
    with pytest.raises(NothingParked):
        retry_parked(site.records, state.destination_id, "Ada")


def _ct_only(site: Site) -> object:
    """Write an association profile of DCMTK that accepts only CT."""
    path = site.data_dir / "choosy.cfg"
    path.write_text(
        "[[TransferSyntaxes]]\n[Plain]\nTransferSyntax1 = LittleEndianImplicit\n"
        "[[PresentationContexts]]\n[CTOnly]\n"
        "PresentationContext1 = CTImageStorage\\Plain\n"
        "[[Profiles]]\n[CT]\nPresentationContexts = CTOnly\n"
    )
    return path


@contextmanager
def answering(statuses: Mapping[str, int]) -> Iterator[tuple[Peer, list[str]]]:
    """Run an archive with a status by SOP Instance UID; yield it and what it received."""
    uids: list[str] = []

    def store(event: Any) -> int:
        uids.append(str(event.request.AffectedSOPInstanceUID))
        return statuses.get(uids[-1], 0x0000)

    ae = AE(ae_title="PACS")
    ae.supported_contexts = AllStoragePresentationContexts
    port = free_port()
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, store)]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield peer(port), uids
    finally:
        server.shutdown()


def test_a_warning_is_a_success_and_a_refusal_is_tried_again_until_it_is_parked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0xB000 counts as sent; 0xC000 is tried as often as is set, and others are sent."""
    monkeypatch.setattr(forwarder, "_FIRST_REFUSAL", 0.05)
    with answering({"1.2.3.1": 0xC000, "1.2.3.2": 0xB000}) as (to, uids):
        add(site, to)
        site.index(*(site.receive(f"1.2.3.{n}") for n in (1, 2, 3)))
        with thread_of(forwarder_of(site, to, attempts=3).run):
            wait_for(lambda: state_of(site).parked)
    assert state_of(site).sent == 2
    assert Counter(uids) == {"1.2.3.1": 3, "1.2.3.2": 1, "1.2.3.3": 1}
    (parked,) = parked_forwards(site.records, state_of(site).destination_id)
    assert parked.attempts == 3
    assert "0xC000" in str(parked.reason)


def test_a_full_destination_is_waited_for_and_nothing_is_parked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0xA700 concerns the destination, not the instance, and is tried again."""
    monkeypatch.setattr(forwarder, "_POSTPONED", timedelta(seconds=0.05))
    statuses = {"1.2.3.1": 0xA700, "1.2.3.2": 0xA700}
    with answering(statuses) as (to, uids):
        add(site, to)
        site.index(*(site.receive(f"1.2.3.{n}") for n in (1, 2)))
        with thread_of(forwarder_of(site, to, attempts=1).run):
            wait_for(lambda: state_of(site).last_failure)
            waiting = state_of(site)
            assert (waiting.waiting, waiting.parked) == (2, 0)
            assert "0xA700" in str(waiting.last_failure)
            statuses.clear()
            wait_for(lambda: state_of(site).sent == 2)
    assert state_of(site).parked == 0
    assert set(uids[-2:]) == {"1.2.3.1", "1.2.3.2"}


def test_an_instance_that_is_too_much_for_a_destination_holds_up_no_other(
    site: Site,
) -> None:
    """An instance that always gets 0xA700 is postponed while the others are sent."""
    with answering({"1.2.3.1": 0xA700}) as (to, _uids):
        add(site, to)
        site.index(*(site.receive(f"1.2.3.{n}") for n in (1, 2, 3)))
        with thread_of(forwarder_of(site, to, attempts=1).run):
            wait_for(lambda: state_of(site).sent == 2)
    assert (state_of(site).waiting, state_of(site).parked) == (1, 0)


@pytest.mark.parametrize("more", ["", ";modality=CT"], ids=["all", "filtered"])
def test_an_archive_that_is_away_is_waited_for(site: Site, *, more: str) -> None:
    """An empty mount point does not cause instances to be skipped or parked."""
    root = site.settings.archive_dir
    with answering({}) as (receiver, uids):
        to = peer(receiver.port, more)
        add(site, to)
        site.index(site.receive("1.2.3.1"))
        work = forwarder_of(site, to)
        elsewhere = root.rename(site.data_dir / "elsewhere")
        root.mkdir()
        with pytest.raises(ArchiveUnavailable):
            work.round(threading.Event())
        elsewhere.rename(root)
        assert work.round(threading.Event()) == 1
    assert uids == ["1.2.3.1"]
    assert state_of(site).sent == 1


def test_what_a_filter_cannot_read_is_neither_sent_nor_skipped(site: Site) -> None:
    """An instance with an unreadable file is tried again, and the others are sent."""
    with answering({}) as (receiver, uids):
        to = peer(receiver.port, ";modality=CT")
        add(site, to)
        odd, _ = site.index(site.receive("1.2.3.1"), site.receive("1.2.3.2"))
        path = Archive(site.settings.archive_dir).path(odd.archive_key)
        path.unlink()
        path.mkdir()
        forwarder_of(site, to).round(threading.Event())
    assert uids == ["1.2.3.2"]
    state = state_of(site)
    assert (state.sent, state.waiting, state.skipped, state.parked) == (1, 1, 0, 0)


def test_a_destination_by_tls_gets_our_certificate(
    site: Site, tmp_path: Path, destination: Callable[..., Destination]
) -> None:
    """DCMTK requires a certificate and presents a trusted one; plain TCP is refused."""
    authority = Authority.create(tmp_path, "hospital")
    identity, veritag = authority.issue("pacs"), authority.issue("veritag")
    pacs = destination(
        "--accept-all",
        *("+tls", str(identity.key), str(identity.certificate)),
        *("+cf", str(authority.file)),
    )
    secured, plain = peer(pacs.port, ";tls"), peer(pacs.port, name="plain")
    add(site, secured, plain)
    site.index(site.receive("1.2.3.1"))
    settings = site.settings.model_copy(
        update={
            "dicom_tls_certificate": veritag.certificate,
            "dicom_tls_key": veritag.key,
            "dicom_tls_ca": authority.file,
        }
    )
    with thread_of(forwarder_of(site, secured, settings=settings).run):
        wait_for(lambda: state_of(site).sent)
    with thread_of(forwarder_of(site, plain).run):
        wait_for(lambda: state_of(site, "plain").last_failure)
    assert pacs.received() == site.sent


def test_what_the_archive_no_longer_holds_is_parked(
    site: Site, destination: Callable[..., Destination]
) -> None:
    """An instance without a file is parked with the reason, and the others are sent."""
    pacs = destination()
    to = peer(pacs.port)
    add(site, to)
    first, _ = site.index(site.receive("1.2.3.1"), site.receive("1.2.3.2"))
    Archive(site.settings.archive_dir).path(first.archive_key).unlink()
    with thread_of(forwarder_of(site, to).run):
        wait_for(lambda: state_of(site).parked and state_of(site).sent)
    assert list(pacs.received()) == ["1.2.3.2"]
    assert "no longer holds" in str(state_of(site).last_failure)


def test_a_filter_leaves_out_what_is_not_wanted(
    site: Site, destination: Callable[..., Destination]
) -> None:
    """Instances are filtered by Modality and calling AE title; skipped ones are counted."""
    pacs = destination()
    to = peer(pacs.port, ";modality=CT|MR;calling=SCANNER1")
    add(site, to)
    site.index(
        site.receive("1.2.3.1"),
        site.receive("1.2.3.2", modality="US"),
        site.receive("1.2.3.3", calling="SCANNER2"),
        site.receive("1.2.3.4", modality="MR"),
    )
    with thread_of(forwarder_of(site, to).run):
        wait_for(lambda: not state_of(site).waiting)
    assert sorted(pacs.received()) == ["1.2.3.1", "1.2.3.4"]
    assert (state_of(site).sent, state_of(site).skipped) == (2, 2)


def test_a_new_destination_gets_what_came_since_a_day_it_names(site: Site) -> None:
    """Without `since` no older instance is queued; with it they are, once."""
    site.index(site.receive("1.2.3.1"), site.receive("1.2.3.2"))
    today = datetime.now(UTC).date()
    add(site, peer(1), peer(2, f";since={today}", "archive"))
    assert state_of(site).waiting == 0
    assert state_of(site, "archive").waiting == 2
    add(site, peer(1), peer(2, f";since={today}", "archive"))
    assert state_of(site, "archive").waiting == 2


def test_a_destination_that_is_no_longer_set_gets_nothing_new(site: Site) -> None:
    """Its queue is kept, in case it is set again."""
    add(site, peer(1))
    site.index(site.receive("1.2.3.1"))
    add(site)
    site.index(site.receive("1.2.3.2"))
    assert not state_of(site).active
    assert state_of(site).waiting == 1


def _metrics(port: int) -> str:
    url = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url, timeout=45) as answer:
        return str(answer.read().decode())


def test_a_kill_in_mid_batch_loses_nothing(
    site: Site,
    destination: Callable[..., Destination],
    deliver: Callable[..., Delivery],
) -> None:
    """After SIGKILL during sending every instance arrives, byte for byte."""
    folder = site.data_dir / "held"
    folder.touch()
    pacs = destination(
        "--accept-all", "--exec-sync", "--exec-on-reception", running=False
    )
    # After the eighth instance it blocks until it is released.
    many = f'test "$(ls {pacs.folder} | wc -l)" -ge 8 -a -e {folder}'
    pacs.arguments += (f"while {many}; do sleep 0.05; done",)
    pacs.start()
    line = f"pacs=PACS@127.0.0.1:{pacs.port};forward"
    add(site, peer(pacs.port))
    names = [site.receive(f"1.2.3.{n}", filler=400_000) for n in range(60)]
    site.index(*names)
    process = deliver(line)
    wait_for(lambda: pacs.count() >= 8)
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    folder.unlink()
    assert state_of(site).waiting, "all was sent before the kill"
    process = deliver(line)
    wait_for(lambda: state_of(site).sent == 60)
    wait_for(lambda: not state_of(site).waiting)
    gauge = 'veritag_forwards_waiting{destination="pacs"}'
    wait_for(lambda: gauge in _metrics(process.http_port))
    assert process.end() == 0
    assert pacs.received() == site.sent
