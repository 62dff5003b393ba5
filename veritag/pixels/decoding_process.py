"""One process that reads and decodes untrusted files, as its parent sees it.

Jobs and answers are pickled and prefixed by their length. `decoding_main` is the program
of the process.
"""

import os
import pickle
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Self

from veritag.errors import DecoderUnavailable, DecodingEnded
from veritag.pixels.decoding_main import LENGTH
from veritag.settings import Settings

_START_SECONDS = 30.0
_CHUNK = 1 << 20
# By default glibc returns the memory of each file to the system, which costs 500 page
# faults and 2 ms for each CT slice. These settings let it keep so many bytes.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}
# A longer answer comes from a process that an exploited decoder controls.
_MAX_ANSWER = 64 << 20


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """Limits of time and memory for one file.

    Attributes
    ----------
    memory_mb
        Memory in MB, in addition to that of the idle process.
    """

    seconds: float
    memory_mb: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of the settings."""
        return cls(settings.decode_seconds, settings.decode_memory_mb)


class DecodingProcess:
    """One process that runs one job at a time."""

    def __init__(self, limits: DecodingLimits, modules: tuple[str, ...]) -> None:
        numbers = [str(limits.memory_mb), str(limits.seconds)]
        # -P: no module is imported from the working directory.
        command = [sys.executable, "-P", "-m", "veritag.pixels.decoding_main"]
        self._process = subprocess.Popen(
            [*command, *numbers, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
        )
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._jobs, self._answers = self._process.stdin, self._process.stdout
        # A read must never block: the deadline holds for the whole answer.
        os.set_blocking(self._answers.fileno(), False)
        try:
            self._read(time.monotonic() + _START_SECONDS, _START_SECONDS)
        except DecodingEnded as error:
            self.end()
            raise DecoderUnavailable(
                f"the decoding process does not start: {error}"
            ) from error

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def run(self, job: bytes, seconds: float) -> Any:
        """Return the result of a pickled job; an exception of the job is returned, too.

        Raises
        ------
        DecodingEnded
            If the process does not answer in time or ends.
        """
        deadline = time.monotonic() + seconds
        try:
            self._jobs.write(LENGTH.pack(len(job)) + job)
            self._jobs.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return pickle.loads(self._read(deadline, seconds))  # noqa: S301 - of our own process

    def _read(self, deadline: float, seconds: float) -> bytes:
        (length,) = LENGTH.unpack(self._receive(LENGTH.size, deadline, seconds))
        if length > _MAX_ANSWER:
            self.end()
            raise DecodingEnded("the decoding process sent an invalid answer")
        return self._receive(length, deadline, seconds)

    def _receive(self, size: int, deadline: float, seconds: float) -> bytes:
        received = bytearray()
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while len(received) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                self.end()
                raise DecodingEnded(_too_long(seconds), "time")
            part = os.read(self._answers.fileno(), min(size - len(received), _CHUNK))
            if not part:
                raise self._ended()
            received += part
        return bytes(received)

    def _ended(self) -> DecodingEnded:
        """Return the reason why the process ended by itself."""
        status = self._process.wait()
        self.end()
        if status == -signal.SIGKILL:
            # Only the kernel's out-of-memory killer does this.
            return DecodingEnded(
                "the decoding process was killed, probably for lack of memory", "memory"
            )
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        # C++ aborts where an allocation fails and the exception is not caught.
        cause = ", often for lack of memory" if status == -signal.SIGABRT else ""
        return DecodingEnded(f"the decoder crashed ({name}{cause})")

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._jobs, self._answers):
            # Closing flushes, and the reader of the pipe is gone.
            try:
                pipe.close()
            except BrokenPipeError:
                continue


def _too_long(seconds: float) -> str:
    return f"decoding took longer than {seconds:g} s (VERITAG_DECODE_SECONDS)"
