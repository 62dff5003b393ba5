"""Refused instances, their statuses, and that nothing of them stays."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.listener.message_buffer import MEMORY_LIMIT
from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import (
    CT_IMAGE_STORAGE,
    DEFLATED,
    IMPLICIT,
    VERIFICATION,
    Peer,
    data_set,
    element,
)
from tests.waiting import wait_for

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
FIND = "1.2.840.10008.5.1.4.1.2.1.1"
NO_PATIENT_OBJECT = "1.2.840.10008.5.1.4.38.1"


def test_an_instance_with_an_identity_is_stored(listening: Listening) -> None:
    """The smallest Data Set with its UIDs gets 0x0000 and is in the spool."""
    with Peer(listening.port).associate() as peer:
        data = data_set(CT_IMAGE_STORAGE, "1.2.3")
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0x0000
        peer.release()
    (path,) = listening.received()
    assert path.read_bytes().endswith(data)


@pytest.mark.parametrize(
    ("in_class", "in_instance"),
    [(MR_IMAGE_STORAGE, "1.2.3"), (CT_IMAGE_STORAGE, "1.2.4")],
)
def test_command_and_data_set_must_agree(
    listening: Listening, in_class: str, in_instance: str
) -> None:
    """Another SOP Class or SOP Instance UID in the Data Set gets 0xA900."""
    with Peer(listening.port).associate() as peer:
        answer = peer.store(data_set(in_class, in_instance), CT_IMAGE_STORAGE, "1.2.3")
        assert answer.status == 0xA900
        assert "differ" in answer.comment
    assert listening.received() == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 4096,
        bytes(100_000),
        b"this is no Data Set at all, but it is quite long" * 50,
        element(0x00080016, CT_IMAGE_STORAGE.encode()),
        element(0x00080018, b"1.2.3"),
        data_set(CT_IMAGE_STORAGE, "1.2.3")[:40],
        bytes(128) + b"DICM" + data_set(CT_IMAGE_STORAGE, "1.2.3"),
    ],
    ids=["empty", "ones", "zeros", "text", "no-instance", "no-class", "cut", "file"],
)
def test_what_has_no_identity_is_not_understood(
    listening: Listening, data: bytes
) -> None:
    """A Data Set with unreadable UIDs gets 0xC000."""
    with Peer(listening.port).associate() as peer:
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0xC000
        repeated = peer.store(
            data_set(CT_IMAGE_STORAGE, "1.2"), CT_IMAGE_STORAGE, "1.2"
        )
        assert repeated.status == 0x0000
    assert len(listening.received()) == 1


UNUSABLE = {
    "path": "../../etc/x",
    "absolute": "/etc/x",
    "null": "1.2\x003",
    "newline": "1.2\n3",
    "accent": "1.2.é",
    "windows": "..\\..\\x",
    "long": "1." * 40 + "1",
    "empty": "",
}


@pytest.mark.parametrize("uid", UNUSABLE.values(), ids=UNUSABLE)
def test_a_hostile_uid_harms_nobody(listening: Listening, uid: str) -> None:
    """An invalid UID is refused, and the association continues."""
    before = sorted(listening.settings.data_dir.rglob("*"))
    with Peer(listening.port).associate() as peer:
        answer = peer.store(data_set(CT_IMAGE_STORAGE, uid), CT_IMAGE_STORAGE, uid)
        assert answer.status == 0xC000
        assert answer.comment
        assert sorted(listening.settings.data_dir.rglob("*")) == before
        _send_one_more(peer)
    assert len(listening.received()) == 1


def _send_one_more(peer: Peer) -> None:
    """Check that another instance over the same association is stored."""
    data = data_set(CT_IMAGE_STORAGE, "1.2.3")
    assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0x0000
    peer.release()


@pytest.mark.parametrize(
    "sop_class",
    [
        "31",
        "1.2.3.4",
        VERIFICATION,
        MR_IMAGE_STORAGE,
        FIND,
        NO_PATIENT_OBJECT,
        *UNUSABLE.values(),
    ],
)
def test_another_class_than_the_contexts_is_not_supported(
    listening: Listening, sop_class: str
) -> None:
    """Another SOP Class than that of the context gets 0x0122; the association continues."""
    with Peer(listening.port).associate() as peer:
        data = data_set(CT_IMAGE_STORAGE, "1.2.4")
        answer = peer.store(data, sop_class, "1.2.4")
        assert answer.status == 0x0122
        assert answer.comment
        _send_one_more(peer)
    assert len(listening.received()) == 1


def test_a_store_over_the_context_of_an_echo_is_not_supported(
    listening: Listening,
) -> None:
    """A C-STORE over the Verification context gets 0x0122."""
    offers = (VERIFICATION, [IMPLICIT]), (CT_IMAGE_STORAGE, [IMPLICIT])
    with Peer(listening.port).associate(*offers) as peer:
        data = data_set(CT_IMAGE_STORAGE, "1.2.3")
        for sop_class in (CT_IMAGE_STORAGE, VERIFICATION):
            assert peer.store(data, sop_class, "1.2.3").status == 0x0122
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3", context=3).status == 0x0000
        peer.release()
    assert len(listening.received()) == 1


@pytest.mark.parametrize("uid", ["abc-def_1.2", "0.01.2", "dccc9599" * 8])
def test_a_word_or_a_hash_can_be_a_uid(listening: Listening, uid: str) -> None:
    """UIDs of de-identified archives are accepted, and the response repeats them."""
    with Peer(listening.port).associate() as peer:
        data = data_set(CT_IMAGE_STORAGE, uid)
        assert peer.store(data, CT_IMAGE_STORAGE, uid).status == 0x0000
        peer.release()


@pytest.mark.parametrize("priority", [b"\x07\0", b"", b"\1\0\2\0"])
def test_what_reception_has_no_use_for_refuses_nothing(
    listening: Listening, priority: bytes
) -> None:
    """An invalid Priority (PS3.7 table 9.3-1) has no effect."""
    with Peer(listening.port).associate() as peer:
        more = element(0x00000700, priority)
        peer.send_command(CT_IMAGE_STORAGE, "1.2.4", more=more)
        peer.send_data(data_set(CT_IMAGE_STORAGE, "1.2.4"), last=True)
        assert peer.answer().status == 0x0000
        _send_one_more(peer)


@pytest.mark.parametrize(
    "command",
    [
        b"",
        b"\xff" * 100,
        element(0x00000100, b"\x77\x77"),
        element(0x00000110, b"\1\0"),
    ],
    ids=["empty", "ones", "unknown", "incomplete"],
)
def test_a_command_that_cannot_be_read_is_aborted(
    listening: Listening, command: bytes
) -> None:
    """Bytes that are no command get A-ABORT, and the listener continues."""
    with Peer(listening.port).associate() as peer:
        peer.send_pdv(command, 1, 3)
        assert peer.read()[0] == 7
    with Peer(listening.port).associate() as peer:
        _send_one_more(peer)


def test_a_large_instance_with_unusable_uids_does_not_stay(
    listening: Listening,
) -> None:
    """A file written during reception is removed when its command is refused."""
    more = element(0x7FE00010, bytes(MEMORY_LIMIT))
    with Peer(listening.port).associate() as peer:
        data = data_set(CT_IMAGE_STORAGE, "1.2.4", more=more)
        assert peer.store(data, CT_IMAGE_STORAGE, "").status == 0xC000
        assert peer.store(data, "31", "1.2.4").status == 0x0122
        assert list(listening.spool.incoming.iterdir()) == []
        _send_one_more(peer)


def test_deflated_data_sets_are_looked_into(listening: Listening) -> None:
    """The UIDs of a deflated Data Set are compared like others."""
    with Peer(listening.port).associate((CT_IMAGE_STORAGE, [DEFLATED])) as peer:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = deflate.compress(data_set(CT_IMAGE_STORAGE, "1.2.3")) + deflate.flush()
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0x0000
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.4").status == 0xA900
        assert peer.store(data[3:], CT_IMAGE_STORAGE, "1.2.3").status == 0xC000


def test_a_full_disk_refuses_and_recovers(listen: Callable[..., Listening]) -> None:
    """Below the reserve a C-STORE gets 0xA700, and readiness fails with the reason."""
    listening = listen(disk_reserve_mb=1 << 40)
    with Peer(listening.port).associate() as peer:
        data = data_set(CT_IMAGE_STORAGE, "1.2.3")
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0xA700
    assert listening.received() == []
    assert "are free" in str(listening.spool.problem())


def test_a_broken_spool_refuses_and_recovers(listening: Listening) -> None:
    """While the spool cannot be written the status is 0xA700."""
    data = data_set(CT_IMAGE_STORAGE, "1.2.3")
    aside = listening.spool.root / "aside"
    with Peer(listening.port).associate() as peer:
        Path(listening.spool.incoming).rename(aside)
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0xA700
        assert "cannot be written" in str(listening.spool.problem())
        aside.rename(listening.spool.incoming)
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0x0000
    assert len(listening.received()) == 1


def test_refusals_are_counted_by_reason(listening: Listening) -> None:
    """Each refusal adds one to the counter of its reason."""
    labels = {"reason": "mismatch"}
    name = "veritag_instances_refused_total"
    before = REGISTRY.get_sample_value(name, labels) or 0
    with Peer(listening.port).associate() as peer:
        peer.store(data_set(CT_IMAGE_STORAGE, "1.2"), CT_IMAGE_STORAGE, "1.2.3")
    wait_for(lambda: REGISTRY.get_sample_value(name, labels) == before + 1)
