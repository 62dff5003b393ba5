"""A peer that does not wait for answers."""

import os
import threading
from collections.abc import Callable

import psutil
import pytest

from tests.integration.listener.conftest import Listening
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer, data_set

_COUNT, _SIZE = 60, 3_000_000


@pytest.mark.parametrize("reception", ["fast", "stock"])
def test_requests_without_end_do_not_fill_the_memory(
    listen: Callable[..., Listening], reception: str
) -> None:
    """180 MB of pipelined instances are all answered, in order, within 100 MB."""
    listening = listen(reception=reception)
    process, highest = psutil.Process(os.getpid()), 0
    with Peer(listening.port).associate() as peer:
        before = process.memory_info().rss
        sender = threading.Thread(target=_send_all, args=(peer,))
        sender.start()
        for _ in range(_COUNT):
            assert peer.answer().status == 0x0000
            highest = max(highest, process.memory_info().rss)
        sender.join()
        peer.release()
    assert len(listening.received()) == _COUNT
    assert highest - before < 100e6


def _send_all(peer: Peer) -> None:
    for number in range(_COUNT):
        uid = f"1.2.{number}"
        peer.send_command(CT_IMAGE_STORAGE, uid)
        peer.send_data(data_set(CT_IMAGE_STORAGE, uid) + bytes(_SIZE), last=True)
