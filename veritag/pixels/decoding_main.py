"""Program of a decoding process: reads jobs from stdin and writes answers to stdout.

The operating system limits its memory and forbids it to write files and core dumps (they
would hold patient data). A timer of its own ends it if the parent is gone.
"""

import importlib
import math
import os
import pickle
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

from veritag.errors import DecodingEnded, OutOfMemory, VeritagError, describe_error
from veritag.process.memory import release_memory, skip_packages

LENGTH = struct.Struct("<Q")
"""Prefix of each job and each answer: its length in bytes."""

# The parent ends a job at the limit; the alarm is for the case that it is gone.
_GRACE_SECONDS = 10
_MEGABYTE = 1 << 20


def main(memory_mb: str, seconds: str, *modules: str) -> None:
    """Run jobs until stdin ends."""
    skip_packages("requests")  # pydicom would import it to download test files
    for name in modules:
        importlib.import_module(name)
    release_memory()
    answers = _silence_output()
    _limit(int(memory_mb))
    # Ctrl-C in a terminal reaches the parent too, which then closes stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _answer(answers, None)  # the parent waits for this: the process is ready
    while (job := _read_job(sys.stdin.buffer)) is not None:
        signal.alarm(math.ceil(float(seconds)) + _GRACE_SECONDS)
        _answer(answers, _run(job))
        signal.alarm(0)


def _silence_output() -> BinaryIO:
    """Return a stream for answers; stdout and stderr of libraries go to /dev/null."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    return answers


def _limit(memory_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # RLIMIT_AS counts address space, of which the libraries alone have mapped a lot.
    status = Path("/proc/self/statm")
    if status.is_file():
        pages = int(status.read_text().split()[0])
        limit = pages * resource.getpagesize() + memory_mb * _MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _read_job(jobs: BinaryIO) -> bytes | None:
    head = jobs.read(LENGTH.size)
    return jobs.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else None


def _run(job: bytes) -> Any:
    """Return the result of a job, or the exception that it raised."""
    try:
        function, args, kwargs = pickle.loads(job)  # noqa: S301 - from the parent
        return function(*args, **kwargs)
    except VeritagError as error:
        return error
    except MemoryError:
        return OutOfMemory("not enough memory to read the file")
    except Exception as error:  # noqa: BLE001 - decoders raise anything on malformed files
        return DecodingEnded(describe_error(error))


def _answer(answers: BinaryIO, answer: Any) -> None:
    pickled = pickle.dumps(answer)
    answers.write(LENGTH.pack(len(pickled)) + pickled)
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
