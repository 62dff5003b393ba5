"""Work on hostile files in processes of its own, which may be ended.

What takes too long or too much memory, or crashes in a decoder, costs a process that has
nothing else to do; it is replaced by a fresh one. A thread could not be ended, and a
crash would take the whole worker along. What comes back is small (a tile, a few tags),
so a pipe is as good as shared memory.
"""

import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, Self, TypeVar, cast

from veritag.errors import DecoderUnavailable, DecodingEnded, OutOfMemory
from veritag.process.metrics import DECODING_ENDED, count_from_zero
from veritag.settings import Settings

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LIMITS = ("time", "memory", "crash")
LENGTH = struct.Struct("<Q")

_START_SECONDS = 30.0
_CHUNK = 1 << 20
# glibc gives memory back after each file and takes it anew for the next, which costs
# 500 page faults and 2 ms for a CT slice; so much it may keep, in bytes.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}
# More is no answer but a process that writes whatever it likes.
_LONGEST_ANSWER = 64 << 20


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """What one file may take.

    Attributes
    ----------
    memory_mb
        Beyond what the process takes when idle.
    """

    seconds: float
    memory_mb: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of the settings."""
        return cls(settings.decode_seconds, settings.decode_memory_mb)


class DecodingProcess:
    """Processes that are kept warm, one for each thread that calls at the same time.

    Parameters
    ----------
    modules
        To load at start; the functions that are called are there.
    """

    def __init__(self, limits: DecodingLimits, *modules: str) -> None:
        self._limits = limits
        self._modules = modules
        self._idle: list[DecodingChild] = []
        self._closed = False
        count_from_zero(DECODING_ENDED, LIMITS)

    def call(
        self,
        function: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Return what a module's function returns there, or raise what it raises.

        Raises
        ------
        DecodingEnded
            If the process took too long or too much memory, or crashed.
        DecoderUnavailable
            If there is none.
        """
        job = pickle.dumps((function, args, kwargs))
        child = self._take()
        try:
            answer = child.ask(job, self._limits.seconds)
        except DecodingEnded as error:
            DECODING_ENDED.labels(error.limit).inc()
            raise
        except BaseException:
            child.end()  # its answer, still to come, would be taken for the next one
            raise
        finally:
            self._give_back(child)
        if isinstance(answer, OutOfMemory):
            DECODING_ENDED.labels("memory").inc()
        if isinstance(answer, Exception):
            raise answer
        return cast(Result, answer)

    def warm(self) -> None:
        """Start one more process, for the first call not to wait for it."""
        self._give_back(DecodingChild(self._limits, self._modules))

    def _take(self) -> "DecodingChild":
        while self._idle:
            try:
                child = self._idle.pop()
            except IndexError:
                break  # another thread was faster
            if child.is_alive:
                return child
            child.end()
        return DecodingChild(self._limits, self._modules)

    def _give_back(self, child: "DecodingChild") -> None:
        if child.is_alive and not self._closed:
            self._idle.append(child)
        else:
            child.end()

    def close(self) -> None:
        """End the processes; those that work end with their work."""
        self._closed = True
        while self._idle:
            self._idle.pop().end()


class DecodingChild:
    """One process that works off one job at a time."""

    def __init__(self, limits: DecodingLimits, modules: tuple[str, ...]) -> None:
        numbers = [str(limits.memory_mb), str(limits.seconds)]
        # -P: what lies in the working directory is no module of ours.
        command = [sys.executable, "-P", "-m", "veritag.pixels.decoding_child"]
        self._process = subprocess.Popen(
            [*command, *numbers, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
        )
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._jobs, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._answers.fileno(), False)
        try:
            self._read(time.monotonic() + _START_SECONDS, _START_SECONDS)
        except DecodingEnded as error:
            self.end()
            raise DecoderUnavailable(
                f"the process that decodes does not start: {error}"
            ) from error

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def ask(self, job: bytes, seconds: float) -> Any:
        """Return the answer to a job, an exception as such.

        Raises
        ------
        DecodingEnded
            If there is none.
        """
        deadline = time.monotonic() + seconds
        try:
            self._jobs.write(LENGTH.pack(len(job)) + job)
            self._jobs.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return pickle.loads(self._read(deadline, seconds))  # noqa: S301 - our own process

    def _read(self, deadline: float, seconds: float) -> bytes:
        (length,) = LENGTH.unpack(self._receive(LENGTH.size, deadline, seconds))
        if length > _LONGEST_ANSWER:
            self.end()
            raise DecodingEnded("the process that decoded it answered nonsense")
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
        """Return how it has ended by itself."""
        status = self._process.wait()
        self.end()
        if status == -signal.SIGKILL:
            return DecodingEnded(
                "the process that decoded it was killed, mostly for lack of memory",
                "memory",
            )
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        # What C++ does where no memory is left and nobody has thought of it.
        why = ", often for lack of memory" if status == -signal.SIGABRT else ""
        return DecodingEnded(f"the decoder crashed ({name}{why})")

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._jobs, self._answers):
            # What was not written is for nobody.
            try:
                pipe.close()
            except BrokenPipeError:
                continue


def _too_long(seconds: float) -> str:
    return f"decoding took longer than {seconds:g} s (VERITAG_DECODE_SECONDS)"
