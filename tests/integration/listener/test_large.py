"""Instances larger than the memory for one."""

import hashlib
import os

import psutil
import pydicom

from services.listener.message_buffer import MEMORY_LIMIT
from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer, data_set, element
from tests.waiting import wait_for
from veritag.dicom.part10 import read_file_meta

LARGE = 4 * MEMORY_LIMIT


def _large(uid: str) -> bytes:
    return data_set(CT_IMAGE_STORAGE, uid, more=element(0x7FE00010, os.urandom(LARGE)))


def test_a_large_instance_goes_to_disk_as_it_comes(listening: Listening) -> None:
    """It is stored byte for byte, and pydicom reads the file with its padded header."""
    data = _large("1.2.3")
    with Peer(listening.port).associate() as peer:
        assert peer.store(data, CT_IMAGE_STORAGE, "1.2.3").status == 0x0000
        peer.release()
    (stored,) = listening.received()
    meta = read_file_meta(stored)
    body = stored.read_bytes()[meta.dataset_offset :]
    assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()
    assert pydicom.dcmread(stored, stop_before_pixels=True).SOPInstanceUID == "1.2.3"
    assert list(listening.spool.incoming.iterdir()) == []


def test_large_instances_take_no_memory(listening: Listening) -> None:
    """During reception the process holds a few megabytes of them."""
    chunk = bytes(1 << 20)
    before = psutil.Process().memory_info().rss
    with (
        Peer(listening.port).associate() as one,
        Peer(listening.port).associate() as two,
    ):
        for peer in (one, two):
            peer.send_command(CT_IMAGE_STORAGE, "1.2.3")
            peer.send_data(data_set(CT_IMAGE_STORAGE, "1.2.3"), last=False)
            for _ in range(100):
                peer.send_data(chunk, last=False)
        wait_for(lambda: _incoming_bytes(listening) > 150 << 20)
        grown = psutil.Process().memory_info().rss - before
    assert grown < 2 * MEMORY_LIMIT + (40 << 20)
    wait_for(lambda: list(listening.spool.incoming.iterdir()) == [])
    assert listening.received() == []


def _incoming_bytes(listening: Listening) -> int:
    return sum(path.stat().st_size for path in listening.spool.incoming.iterdir())


def test_a_large_instance_of_another_identity_is_refused(listening: Listening) -> None:
    """The UIDs of an instance on disk are compared, and a refused one is removed."""
    with Peer(listening.port).associate() as peer:
        answer = peer.store(_large("1.2.3"), CT_IMAGE_STORAGE, "1.2.4")
        assert answer.status == 0xA900
        peer.release()
    assert listening.received() == []
    assert list(listening.spool.incoming.iterdir()) == []


def test_a_disk_that_fails_amid_an_instance_is_reported(listening: Listening) -> None:
    """The rest is discarded, the status is 0xA700, and the association continues."""
    aside = listening.spool.root / "aside"
    listening.spool.incoming.rename(aside)
    with Peer(listening.port).associate() as peer:
        answer = peer.store(_large("1.2.3"), CT_IMAGE_STORAGE, "1.2.3")
        assert answer.status == 0xA700
        aside.rename(listening.spool.incoming)
        answer = peer.store(_large("1.2.3"), CT_IMAGE_STORAGE, "1.2.3")
        assert answer.status == 0x0000
        peer.release()
    assert len(listening.received()) == 1
