"""One kept process with real children: starts, ends and planned starts."""

import subprocess
import sys

import pytest

from veritag.process.supervised_process import SupervisedProcess


def ending_with(status: int) -> SupervisedProcess:
    command = [sys.executable, "-c", f"raise SystemExit({status})"]
    return SupervisedProcess("ending", lambda: subprocess.Popen(command))


def test_an_end_plans_the_next_start() -> None:
    """After the end its status is known and a start is planned within half a second."""
    process = ending_with(3)
    process.start()
    process.wait()
    assert not process.running
    assert process.last_status == 3
    assert process.start_again_at is not None
    assert process.seconds_to_start <= 0.5


def test_a_start_that_fails_is_planned_again() -> None:
    """A program that cannot be started leaves a planned start behind, and no process."""
    process = SupervisedProcess(
        "absent", lambda: subprocess.Popen(["/no/such/program"])
    )
    with pytest.raises(FileNotFoundError):
        process.start()
    assert not process.running
    assert process.starts == 0
    assert process.start_again_at is not None


def test_a_terminated_process_has_no_planned_start() -> None:
    """`terminate` cancels a start that was planned."""
    process = ending_with(0)
    process.start()
    process.wait()
    process.terminate()
    assert process.start_again_at is None
