"""Helper processes of the listener: the indexer, and more listeners on its port."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from veritag.process.logs import get_logger
from veritag.process.supervised_process import SupervisedProcess

_POLL_SECONDS = 0.5
_STOP_POLL_SECONDS = 0.02


def helper_process(
    name: str,
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
) -> SupervisedProcess:
    """Return `python -m module arguments`, to be started; it ends with this process.

    Parameters
    ----------
    environment
        Variables beside those of this process.
    """
    command = [sys.executable, "-m", module, *arguments, "--parent", str(os.getpid())]
    env = {**os.environ, **(environment or {})}

    def launch() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, env=env)

    return SupervisedProcess(name, launch)


class HelperProcesses:
    """Keeps processes running; only one thread may use it."""

    def __init__(self, processes: Sequence[SupervisedProcess]) -> None:
        self._processes = processes

    def start(self) -> None:
        """Start each process."""
        for process in self._processes:
            self._start(process)

    def watch(self, stopping: threading.Event) -> None:
        """Start again each process that ends, until `stopping` is set."""
        while not stopping.wait(_POLL_SECONDS if self._processes else None):
            for process in self._processes:
                if process.poll():
                    self._log(process, "child_ended", status=process.last_status)
                if process.start_again_at is not None and not process.seconds_to_start:
                    self._start(process)

    def _start(self, process: SupervisedProcess) -> None:
        try:
            process.start()
        except OSError as error:  # the system lacks memory, processes or descriptors
            self._log(process, "child_not_started", errno=error.errno)

    def _log(self, process: SupervisedProcess, event: str, **why: int | None) -> None:
        seconds = round(process.seconds_to_start, 1)
        get_logger().error(event, child=process.name, restart_in_seconds=seconds, **why)

    def terminate(self) -> None:
        """Send SIGTERM to each process."""
        for process in self._processes:
            process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until all have ended; send SIGKILL to those that run after `seconds`."""
        deadline = time.monotonic() + seconds
        while self._are_running():
            if time.monotonic() > deadline:
                for process in self._processes:
                    process.kill()
            time.sleep(_STOP_POLL_SECONDS)

    def _are_running(self) -> bool:
        for process in self._processes:
            process.poll()
        return any(process.running for process in self._processes)
