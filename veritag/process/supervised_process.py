"""A process that is kept running: its starts, its ends and the delays between them."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from veritag.process.backoff import Backoff

# A process that ran this long works: after its end the delays begin with the first.
_STABLE_SECONDS = 10.0


def _restart_delays() -> Backoff:
    return Backoff(first=0.5, longest=30.0)


@dataclass(slots=True)
class SupervisedProcess:
    """A process that is started again after each end.

    The owner calls `start`, then `poll` or `wait` until the process has ended, and
    `start` again once `start_again_at` is reached.

    Attributes
    ----------
    launch
        Starts the process.
    process
        None while nothing runs.
    start_again_at
        Time of the next start on the clock of `time.monotonic`; None while the process
        runs and before the first start.
    last_status
        Exit status of the last process that ended; -N after signal N.
    """

    name: str
    launch: Callable[[], "subprocess.Popen[bytes]"]
    process: "subprocess.Popen[bytes] | None" = None
    starts: int = 0
    start_again_at: float | None = None
    last_status: int | None = None
    started_at: float = 0.0
    _delays: Backoff = field(default_factory=_restart_delays)

    @property
    def running(self) -> bool:
        """Whether a process runs, as far as `poll` and `wait` have noted."""
        return self.process is not None

    @property
    def seconds_to_start(self) -> float:
        """Seconds until the next start, 0 where it is due or none is planned."""
        return max(0.0, (self.start_again_at or 0.0) - time.monotonic())

    def start(self) -> None:
        """Start the process.

        Raises
        ------
        OSError
            If the system lacks memory, processes or descriptors; the next start is
            planned as after an end.
        """
        self.started_at, self.start_again_at = time.monotonic(), None
        try:
            self.process = self.launch()
        except OSError:
            self._plan_start()
            raise
        self.starts += 1

    def poll(self) -> bool:
        """Return whether the process has ended since the last call."""
        if self.process is None or self.process.poll() is None:
            return False
        self._note_end(self.process.returncode)
        return True

    def wait(self) -> None:
        """Block until the process has ended."""
        if self.process is not None:
            self._note_end(self.process.wait())

    def terminate(self) -> None:
        """Send SIGTERM and plan no further start."""
        self.start_again_at = None
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def _note_end(self, status: int) -> None:
        self.last_status, self.process = status, None
        if time.monotonic() - self.started_at > _STABLE_SECONDS:
            self._delays.reset()
        self._plan_start()

    def _plan_start(self) -> None:
        self.start_again_at = time.monotonic() + self._delays.next()
