"""Peers that do not wait for responses."""

import os
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from services.listener.presentation_contexts import VERIFICATION
from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import (
    CT_IMAGE_STORAGE,
    IMPLICIT,
    Peer,
    data_set,
    echo_command,
)

_ECHOES, _COUNT, _SIZE = 20, 60, 3_000_000


@pytest.mark.parametrize("reception", ["fast", "stock"])
def test_requests_without_end_do_not_fill_the_memory(
    listen: Callable[..., Listening], reception: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """180 MB sent ahead to a slow disk are answered in order, within 100 MB of memory."""
    sync = os.fsync

    def slow(descriptor: int) -> None:
        time.sleep(0.02)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    listening = listen(reception=reception)
    process, highest = psutil.Process(os.getpid()), 0
    offers = (CT_IMAGE_STORAGE, [IMPLICIT]), (VERIFICATION, [IMPLICIT])
    with Peer(listening.port).associate(*offers) as peer:
        before = process.memory_info().rss
        sender = threading.Thread(target=_send_all, args=(peer,))
        sender.start()
        for _ in range(_ECHOES + _COUNT):
            assert peer.answer().status == 0x0000
            highest = max(highest, process.memory_info().rss)
        sender.join()
        peer.release()
    assert len(listening.received()) == _COUNT
    assert highest - before < 100e6


def _send_all(peer: Peer) -> None:
    for number in range(_ECHOES):
        peer.send_pdv(echo_command(number + 1), 3, 3)
    for number in range(_COUNT):
        uid = f"1.2.{number}"
        peer.send_command(CT_IMAGE_STORAGE, uid)
        peer.send_data(data_set(CT_IMAGE_STORAGE, uid) + bytes(_SIZE), last=True)
