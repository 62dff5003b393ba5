"""The indexer as a child process of the listener, started again whenever it ends."""

import os
import subprocess
import sys
import threading
import time

from veritag.logs import get_logger

_FIRST_DELAY = 0.5
_LAST_DELAY = 30.0
# A child that lived so long was well; the next one starts at once again.
_WELL_SECONDS = 60.0


class IndexerChild:
    """Keeps one indexer running."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Start the indexer."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Tell the indexer to end; what it has not indexed waits in the spool."""
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
            status = self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _WELL_SECONDS:
                delay = _FIRST_DELAY
            get_logger().error("indexer_ended", status=status, restart_in=delay)
            self._stopping.wait(delay)
            delay = min(delay * 2, _LAST_DELAY)

    def _run_once(self) -> int:
        command = [sys.executable, "-m", "services.listener", "index"]
        self._process = subprocess.Popen([*command, "--parent", str(os.getpid())])
        if self._stopping.is_set():
            self._process.terminate()
        return self._process.wait()
