"""Several processes and several associations that receive at the same time."""

import signal
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil

from tests.integration.listener.conftest import Listening, Service
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer, data_set
from tests.ports import free_port
from tests.waiting import wait_for


def _send(port: int, uid: str) -> int:
    with Peer(port).associate() as peer:
        answer = peer.store(data_set(CT_IMAGE_STORAGE, uid), CT_IMAGE_STORAGE, uid)
        peer.release()
    return answer.status


def _is_taken(port: int, uid: str) -> bool:
    try:
        return _send(port, uid) == 0x0000
    except (AssertionError, OSError):
        return False


def _received(http_port: int) -> int:
    url = f"http://127.0.0.1:{http_port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return -1
    name = "veritag_instances_received_total "
    line = next(line for line in text.splitlines() if line.startswith(name))
    return int(float(line.removeprefix(name)))


def test_two_processes_share_a_port_and_a_spool(service: Service) -> None:
    """Connections go to both processes, each counts its own, and nothing is lost."""
    second = free_port()
    service.start(
        "--no-indexer",
        VERITAG_LISTENER_PROCESSES="2",
        VERITAG_HELPER_HTTP_PORT=str(second),
    )
    wait_for(lambda: _received(second) == 0)
    with ThreadPoolExecutor(8) as pool:
        statuses = pool.map(lambda n: _send(service.port, f"1.2.{n}"), range(64))
    assert set(statuses) == {0x0000}
    counts = _received(service.http_port), _received(second)
    assert sum(counts) == 64
    assert min(counts) > 0
    assert len(list((service.data_dir / "spool" / "ready").iterdir())) == 64
    service.signal(signal.SIGTERM)
    assert service.wait() == 0


def test_a_helper_that_dies_is_started_again_and_ends_with_its_listener(
    service: Service,
) -> None:
    """SIGKILL of the second process costs only its associations."""
    second = free_port()
    service.start(
        "--no-indexer",
        VERITAG_LISTENER_PROCESSES="2",
        VERITAG_HELPER_HTTP_PORT=str(second),
    )
    wait_for(lambda: _received(second) == 0)
    assert service.process
    (helper,) = psutil.Process(service.process.pid).children()
    helper.kill()
    wait_for(lambda: not helper.is_running())
    # A connection that the kernel had given to the dead one is gone with it.
    wait_for(lambda: _is_taken(service.port, "1.2.0"))
    assert {_send(service.port, f"1.2.{n}") for n in range(1, 8)} == {0x0000}
    # The new process may have received some of these already.
    wait_for(lambda: _received(second) >= 0)
    (helper,) = psutil.Process(service.process.pid).children()
    service.signal(signal.SIGKILL)
    service.wait()
    psutil.wait_procs([helper], timeout=45)
    assert not helper.is_running()


def test_associations_share_the_sync_of_a_folder(
    listen: Callable[..., Listening],
) -> None:
    """Eight associations at the same time store every instance once."""
    listening = listen()
    with ThreadPoolExecutor(8) as pool:
        sent = pool.map(lambda n: _send(listening.port, f"1.2.{n}"), range(40))
    assert set(sent) == {0x0000}
    assert len(listening.received()) == 40
    assert not list(listening.spool.incoming.iterdir())
