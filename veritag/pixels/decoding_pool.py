"""Pool of processes that read and decode untrusted files.

A file that takes too long, needs too much memory or crashes a decoder costs one process
of the pool, which is then replaced. A thread could not be ended, and a crash in one
would end the whole worker. The results are small (a tile, a few tags), so a pipe is as
good as shared memory.
"""

import pickle
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from veritag.errors import DecodingEnded, OutOfMemory
from veritag.pixels.decoding_process import DecodingLimits, DecodingProcess
from veritag.process.metrics import DECODING_ENDED, count_from_zero

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LIMITS = ("time", "memory", "crash")


class DecodingPool:
    """Pool of warm processes, one for each thread that calls at the same time.

    Parameters
    ----------
    modules
        Modules to import at the start of a process: those of the functions to call.
    """

    def __init__(self, limits: DecodingLimits, *modules: str) -> None:
        self._limits = limits
        self._modules = modules
        self._idle: list[DecodingProcess] = []
        self._closed = False
        count_from_zero(DECODING_ENDED, LIMITS)

    def call(
        self,
        function: Callable[Parameters, Result],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Call a function of a module in a process: return its result or raise its error.

        Raises
        ------
        DecodingEnded
            If the process exceeded the time or memory limit, or crashed.
        DecoderUnavailable
            If a process does not start.
        """
        job = pickle.dumps((function, args, kwargs))
        process = self._acquire()
        try:
            answer = process.run(job, self._limits.seconds)
        except DecodingEnded as error:
            DECODING_ENDED.labels(error.limit).inc()
            raise
        except BaseException:
            process.end()  # else its late answer would be read as that of the next job
            raise
        finally:
            self._release(process)
        if isinstance(answer, OutOfMemory):
            DECODING_ENDED.labels("memory").inc()
        if isinstance(answer, Exception):
            raise answer
        return cast(Result, answer)

    def warm(self) -> None:
        """Start one more process, so that the first call does not wait for it."""
        self._release(DecodingProcess(self._limits, self._modules))

    def _acquire(self) -> DecodingProcess:
        while self._idle:
            # A list needs no lock: pop and append are atomic in CPython.
            try:
                process = self._idle.pop()
            except IndexError:
                break  # another thread acquired the last one
            if process.is_alive:
                return process
            process.end()
        return DecodingProcess(self._limits, self._modules)

    def _release(self, process: DecodingProcess) -> None:
        if process.is_alive and not self._closed:
            self._idle.append(process)
        else:
            process.end()

    def close(self) -> None:
        """End the idle processes; busy ones end after their job."""
        self._closed = True
        while self._idle:
            self._idle.pop().end()
