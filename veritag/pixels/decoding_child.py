"""The process of `veritag.pixels.decoding_process`: takes jobs from stdin, answers on stdout.

Limited by the operating system: memory, no files written, no core dumps (they would hold
patient data), and a timer of its own in case nobody is left to end it.
"""

import importlib
import math
import os
import pickle
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from veritag.errors import DecodingEnded, OutOfMemory, VeritagError, in_words
from veritag.pixels.decoding_process import LENGTH

# The parent ends a job at the limit; this is for a parent that is gone.
_GRACE_SECONDS = 10
_MEGABYTE = 1 << 20


def main(memory_mb: str, seconds: str, *modules: str) -> None:
    """Work until stdin ends."""
    for name in modules:
        importlib.import_module(name)
    answers = _keep_to_ourselves()
    _limit(int(memory_mb))
    # Ctrl-C in a terminal is for the parent, who then closes stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _answer(answers, None)
    while (job := _next(sys.stdin.buffer)) is not None:
        signal.alarm(math.ceil(float(seconds)) + _GRACE_SECONDS)
        _answer(answers, _do(job))
        signal.alarm(0)


def _keep_to_ourselves() -> BinaryIO:
    """Return where answers go; what libraries print goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    return answers


def _limit(memory_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    status = Path("/proc/self/statm")
    if status.is_file():
        pages = int(status.read_text().split()[0])
        most = pages * resource.getpagesize() + memory_mb * _MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _next(jobs: BinaryIO) -> bytes | None:
    head = jobs.read(LENGTH.size)
    return jobs.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else None


def _do(job: bytes) -> Any:
    """Return what the job returns, or what it raises."""
    try:
        function, args, kwargs = pickle.loads(job)  # noqa: S301 - from our own parent
        return function(*args, **kwargs)
    except VeritagError as error:
        return error
    except MemoryError:
        return OutOfMemory("not enough memory to read the file")
    except Exception as error:  # noqa: BLE001 - decoders and odd files raise anything
        return DecodingEnded(in_words(error))


def _answer(answers: BinaryIO, answer: Any) -> None:
    pickled = pickle.dumps(answer)
    answers.write(LENGTH.pack(len(pickled)) + pickled)
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
