"""A child process is kept running, also by a system that is short of everything."""

import errno
import sys
from pathlib import Path

import pytest
import structlog

from services.listener import child as child_module
from services.listener.child import HelperProcess
from tests.waiting import wait_for


def test_a_child_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log says why it was not started; it is, as soon as the system lets us."""
    python, witness = tmp_path / "python", tmp_path / "started"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(child_module, "_FIRST_DELAY", 0.02)
    child = HelperProcess("indexer", "index")
    with structlog.testing.capture_logs() as logs:
        child.start()
        wait_for(lambda: logs)
        script = tmp_path / "script"
        script.write_text(f"#!/bin/sh\n: > '{witness}'\nexec sleep 60\n")
        script.chmod(0o700)
        script.rename(python)
        wait_for(witness.exists)
        child.ask_to_stop()
        child.wait(5)
    event = logs[0]
    assert (event["event"], event["child"]) == ("child_not_started", "indexer")
    assert event["errno"] == errno.ENOENT
