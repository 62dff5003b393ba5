"""HelperProcess processes of the listener, started again whenever they end."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

from veritag.process.logs import get_logger

_FIRST_DELAY = 0.5
_LAST_DELAY = 30.0
# A child that lived so long was well; the next one starts at once again.
_WELL_SECONDS = 10.0


class HelperProcess:
    """Keeps one process running.

    Parameters
    ----------
    name
        For the log.
    module, arguments
        Of `python -m`.
    environment
        Variables beside our own.
    """

    def __init__(
        self,
        name: str,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        self._arguments = (module, *arguments)
        self._environment = {**os.environ, **(environment or {})}
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start it."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Tell it to end."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for its end, and see to it after so many seconds."""
        self._thread.join(seconds)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()
            self._thread.join()

    def _run(self) -> None:
        delay = _FIRST_DELAY
        while not self._stopping.is_set():
            started = time.monotonic()
            event, why = self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _WELL_SECONDS:
                delay = _FIRST_DELAY
            get_logger().error(event, child=self._name, restart_in=delay, **why)
            self._stopping.wait(delay)
            delay = min(delay * 2, _LAST_DELAY)

    def _run_once(self) -> tuple[str, dict[str, int | None]]:
        """Return, for the log, what happened and why."""
        command = [sys.executable, "-m", *self._arguments]
        try:
            self._process = subprocess.Popen(
                [*command, "--parent", str(os.getpid())], env=self._environment
            )
        except OSError as error:  # the system lacks memory, processes or descriptors
            return "child_not_started", {"errno": error.errno}
        if self._stopping.is_set():
            self._process.terminate()
        return "child_ended", {"status": self._process.wait()}
