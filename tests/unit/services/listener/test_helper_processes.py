"""Helper processes are kept running, also by a system that lacks resources."""

import errno
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from services.listener import helper_processes
from services.listener.helper_processes import HelperProcesses, helper_process
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll often."""
    monkeypatch.setattr(helper_processes, "_POLL_SECONDS", 0.01)


@contextmanager
def watching(helpers: HelperProcesses) -> Iterator[None]:
    """Start and watch helpers in a thread; stop them at the end."""
    stop = threading.Event()

    def run() -> None:
        helpers.start()
        helpers.watch(stop)
        helpers.terminate()
        helpers.wait(5)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def script(path: Path, body: str) -> None:
    """Write a shell script in one step."""
    draft = path.with_suffix(".draft")
    draft.write_text(f"#!/bin/sh\n{body}\n")
    draft.chmod(0o700)
    draft.rename(path)


def test_a_process_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says why it was not started; later it is started."""
    python, mark = tmp_path / "python", tmp_path / "started"
    monkeypatch.setattr(sys, "executable", str(python))
    helpers = HelperProcesses([helper_process("indexer", "index")])
    with structlog.testing.capture_logs() as logs, watching(helpers):
        wait_for(lambda: logs)
        script(python, f": > '{mark}'\nexec sleep 60")
        wait_for(mark.exists)
    event = logs[0]
    assert (event["event"], event["child"]) == ("child_not_started", "indexer")
    assert event["errno"] == errno.ENOENT


def test_a_process_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time to end there is SIGKILL, and no restart."""
    python, mark = tmp_path / "python", tmp_path / "started"
    monkeypatch.setattr(sys, "executable", str(python))
    script(python, f"trap '' TERM\necho >> '{mark}'\nsleep 60 & wait; wait")
    process = helper_process("indexer", "index")
    helpers = HelperProcesses([process])
    helpers.start()
    wait_for(mark.exists)
    helpers.terminate()
    helpers.wait(0.1)
    assert process.last_status == -9
    assert mark.read_text() == "\n"
