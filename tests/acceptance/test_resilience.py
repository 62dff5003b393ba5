"""Killed and hanging processes: no instance is lost or doubled."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.acceptance.senders import dcmsend, write_phantoms
from tests.acceptance.system import System
from tests.waiting import wait_for
from veritag.process.run_directory import RunningChild
from veritag.records.status import SystemCounts

pytestmark = pytest.mark.acceptance


@contextmanager
def sending(system: System, folder: Path) -> Iterator[Callable[[], int]]:
    """Send in the background; yield a function that waits and returns the acknowledged number."""
    acknowledged: list[int] = []
    thread = threading.Thread(
        target=lambda: acknowledged.append(dcmsend(system, folder)), daemon=True
    )
    thread.start()

    def wait() -> int:
        thread.join(120)
        assert acknowledged
        return acknowledged[0]

    yield wait
    thread.join(120)


def assert_nothing_lost_or_doubled(
    system: System, before: SystemCounts, sent: int
) -> None:
    """Wait for the rest, then compare: each instance has one verdict, none a letter."""
    after = system.wait_for(
        lambda now: now.received >= before.received + sent and now.backlog == 0,
    )
    assert after.received == before.received + sent
    assert after.inspected == before.inspected + sent
    assert after.dead_letters == before.dead_letters
    with system.records.read() as connection:
        doubled = connection.execute(
            text(
                "SELECT instance_id FROM verdicts "
                "GROUP BY instance_id, bundle_id HAVING COUNT(*) > 1"
            )
        ).all()
    assert not doubled


def test_a_worker_killed_in_the_middle(system: System, outgoing: Path) -> None:
    """SIGKILL to the worker costs nothing: what it had begun is inspected again."""
    write_phantoms(outgoing, "CT-CHEST", 30, patients=2, size=256)
    before = system.counts()
    with sending(system, outgoing) as acknowledged:
        system.wait_for(lambda now: now.inspected > before.inspected)
        system.signal_child("worker", signal.SIGKILL)
        sent = acknowledged()
    assert sent == 60
    assert_nothing_lost_or_doubled(system, before, sent)


def test_a_broker_killed_while_sending(system: System, outgoing: Path) -> None:
    """While the broker is killed all instances are accepted, and later inspected."""
    write_phantoms(outgoing, "MR-BRAIN", 20, patients=3)
    before = system.counts()
    with sending(system, outgoing) as acknowledged:
        system.wait_for(lambda now: now.received > before.received)
        system.signal_child("broker", signal.SIGKILL)
        sent = acknowledged()
    assert sent == 60
    assert_nothing_lost_or_doubled(system, before, sent)


def test_a_broker_that_hangs_while_sending(system: System, outgoing: Path) -> None:
    """Reception continues while the broker hangs; inspection follows afterwards."""
    write_phantoms(outgoing, "MR-LSPINE", 20, patients=2)
    before = system.counts()
    system.signal_child("broker", signal.SIGSTOP)
    try:
        sent = dcmsend(system, outgoing)
        time.sleep(6)
    finally:
        system.signal_child("broker", signal.SIGCONT)
    assert sent == 40
    assert_nothing_lost_or_doubled(system, before, sent)


def test_up_killed_and_started_again(system: System, outgoing: Path) -> None:
    """After SIGKILL to `veritag up` its children end, and a new run finishes the work."""
    write_phantoms(outgoing, "CT-ABDOMEN", 20, patients=2, size=256)
    before = system.counts()
    sent = dcmsend(system, outgoing)
    children = [
        system.run.read(role) or {} for role in ("listener", "worker", "broker")
    ]
    system.kill()
    system.start()
    wait_for(lambda: not any(RunningChild(**c).runs() for c in children))
    assert sent == 40
    assert_nothing_lost_or_doubled(system, before, sent)


def test_a_second_up_in_the_same_directory_is_refused(system: System) -> None:
    """The second says who runs there, and the first is not disturbed."""
    answer = system.command("up")
    assert answer.returncode != 0
    assert "already runs" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert system.get("worklist") is not None
