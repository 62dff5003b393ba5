"""Fast reception: when it is used, and its state beyond a message."""

import time
from collections.abc import Callable

import pynetdicom
import pytest

from services.listener.acceptor import FAST, STOCK
from services.listener.fast.pynetdicom_check import missing_internal
from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer, data_set
from tests.waiting import wait_for

Listen = Callable[..., Listening]


def _store(peer: Peer, uid: str) -> int:
    return peer.store(data_set(CT_IMAGE_STORAGE, uid), CT_IMAGE_STORAGE, uid).status


def test_the_library_looks_as_expected() -> None:
    """The pinned version of pynetdicom passes the check."""
    assert missing_internal() is None


def test_another_library_falls_back_to_its_own_way(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another minor version of pynetdicom reception is stock, and works."""
    monkeypatch.setattr(pynetdicom, "__version__", "3.1.0")
    listening = listen(reception="fast")
    assert listening.acceptor.reception == STOCK
    with Peer(listening.port).associate() as peer:
        assert _store(peer, "1.2.3") == 0x0000
        peer.release()


def test_a_renamed_internal_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing internal is named."""
    monkeypatch.delattr(pynetdicom.dul.DULServiceProvider, "_is_transport_event")
    monkeypatch.setattr(
        "services.listener.fast.pynetdicom_check.inspect.getsource",
        lambda _: "nothing of that name",
    )
    assert missing_internal() is not None


def test_an_association_that_is_busy_is_not_idle(listen: Listen) -> None:
    """An association that stores continuously outlives the network timeout."""
    listening = listen(reception="fast", network_timeout_seconds=3.0)
    assert listening.acceptor.reception == FAST
    deadline = time.monotonic() + 3.5
    with Peer(listening.port).associate() as peer:
        count = 0
        while time.monotonic() < deadline:
            count += 1
            assert _store(peer, f"1.2.{count}") == 0x0000
        peer.release()
    assert len(listening.received()) == count


def test_an_association_leaves_no_spare_file_behind(listen: Listen) -> None:
    """The file for a next instance is removed with the association."""
    listening = listen(reception="fast")
    with Peer(listening.port).associate() as peer:
        for number in range(3):
            assert _store(peer, f"1.2.{number}") == 0x0000
        wait_for(lambda: len(list(listening.spool.incoming.iterdir())) == 1)
        peer.release()
    wait_for(lambda: not list(listening.spool.incoming.iterdir()))
    assert len(listening.received()) == 3


def test_a_full_disk_is_known_before_the_data_set(listen: Listen) -> None:
    """Below the reserve a Data Set is not written, and the status is 0xA700."""
    listening = listen(reception="fast", disk_reserve_mb=1 << 40)
    with Peer(listening.port).associate() as peer:
        assert _store(peer, "1.2.3") == 0xA700
        assert _store(peer, "1.2.4") == 0xA700
        assert not list(listening.spool.incoming.iterdir())
        peer.release()
    assert not listening.received()
