"""Probes, which leave no thread, descriptor or memory behind."""

import gc
import threading
from collections.abc import Callable

import psutil
import pytest

from tests.integration.listener.conftest import Listening
from tests.integration.listener.probes import PROBES
from tests.waiting import wait_for

ROUND = 60


@pytest.mark.parametrize("reception", ["fast", "stock"])
def test_probes_leave_nothing_behind(
    listen: Callable[..., Listening], reception: str
) -> None:
    """After hundreds of connections the numbers of threads and descriptors are the same."""
    listening = listen(reception=reception)
    probe_all(listening)
    process = psutil.Process()
    threads, before = threading.active_count(), process.memory_info().rss
    descriptors = process.num_fds()
    for _ in range(5):
        probe_all(listening)
    wait_for(lambda: threading.active_count() <= threads)
    wait_for(lambda: process.num_fds() <= descriptors)
    assert process.memory_info().rss - before < 10 << 20


def probe_all(listening: Listening) -> None:
    """Run each kind of probe, and wait until the listener has closed them."""
    for number in range(ROUND):
        list(PROBES.values())[number % len(PROBES)](listening.port)
    wait_for(lambda: not listening.acceptor.associations)
    gc.collect()
