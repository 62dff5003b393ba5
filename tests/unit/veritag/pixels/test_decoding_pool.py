"""A hostile file ends at most its process and its own job."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from prometheus_client import REGISTRY

from veritag.dicom.read_instance import open_instance
from veritag.errors import DecodingEnded, UnusableInstance
from veritag.pixels.decoding_pool import DecodingPool
from veritag.pixels.decoding_process import DecodingLimits


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    """A pool of processes with little memory."""
    with closing(
        DecodingPool(DecodingLimits(60.0, 256), "veritag.dicom.read_instance")
    ) as decoders:
        yield decoders


def _ended(limit: str) -> float:
    return (
        REGISTRY.get_sample_value("veritag_decoding_ended_total", {"limit": limit}) or 0
    )


def test_a_result_comes_back_and_the_process_stays(pool: DecodingPool) -> None:
    """One process, not the caller's, answers two calls."""
    first, second = pool.call(os.getpid), pool.call(os.getpid)
    assert first == second != os.getpid()


@pytest.mark.slow
def test_an_endless_job_is_ended() -> None:
    """A job over its time is killed with a reason, and a new process works."""
    with closing(DecodingPool(DecodingLimits(5.0, 256))) as pool:
        before, process = _ended("time"), pool.call(os.getpid)
        started = time.monotonic()
        with pytest.raises(DecodingEnded, match="longer than 5 s") as ended:
            pool.call(time.sleep, 600)
        assert time.monotonic() - started < 60
        assert ended.value.limit == "time"
        assert not psutil.pid_exists(process)
        assert pool.call(os.getpid) != process
    assert _ended("time") == before + 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_crash_ends_that_process_alone(
    pool: DecodingPool, number: signal.Signals
) -> None:
    """The reason of a crash names the signal."""
    with pytest.raises(DecodingEnded, match=f"crashed .{number.name}"):
        pool.call(signal.raise_signal, number)
    assert pool.call(len, b"four") == 4


def test_a_kill_is_reported_as_lack_of_memory(pool: DecodingPool) -> None:
    """SIGKILL is reported as lack of memory, since only the kernel sends it."""
    with pytest.raises(DecodingEnded, match="lack of memory") as ended:
        pool.call(signal.raise_signal, signal.SIGKILL)
    assert ended.value.limit == "memory"


def test_memory_is_limited(pool: DecodingPool) -> None:
    """An allocation over the limit fails and is counted, and the process continues."""
    before, process = _ended("memory"), pool.call(os.getpid)
    with pytest.raises(UnusableInstance, match="not enough memory"):
        pool.call(bytearray, 300 << 20)
    assert pool.call(len, bytes(1 << 20)) == 1 << 20
    assert pool.call(os.getpid) == process
    assert _ended("memory") == before + 1


def test_errors_of_veritag_are_raised_unchanged(
    pool: DecodingPool, tmp_path: Path
) -> None:
    """An error of Veritag is raised in the caller with the same text."""
    path = tmp_path / "empty"
    path.touch()
    with pytest.raises(UnusableInstance, match="the file is empty"):
        pool.call(open_instance, path)


def test_a_foreign_error_quotes_nothing(pool: DecodingPool) -> None:
    """Texts of other errors may hold patient data and are not passed on."""
    with pytest.raises(DecodingEnded, match="unexpected ValueError") as ended:
        pool.call(int, "DOE^JANE")
    assert "JANE" not in str(ended.value)


def test_nothing_is_written(
    pool: DecodingPool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No file is written, and the output of libraries is discarded."""
    with pytest.raises(DecodingEnded):
        pool.call(Path.write_bytes, tmp_path / "x", bytes(100))
    assert not (tmp_path / "x").exists() or (tmp_path / "x").stat().st_size == 0
    pool.call(print, "DOE^JANE")
    assert pool.call(len, b"") == 0
    assert capfd.readouterr() == ("", "")


def test_threads_have_a_process_each(tmp_path: Path) -> None:
    """Simultaneous calls do not wait for each other; their processes are kept."""
    pipes = tmp_path / "one", tmp_path / "other"
    for pipe in pipes:
        os.mkfifo(pipe)
    with (
        closing(DecodingPool(DecodingLimits(60.0, 256))) as pool,
        ThreadPoolExecutor(2) as threads,
    ):
        calls = [threads.submit(pool.call, Path.read_bytes, pipe) for pipe in pipes]
        # Opening a FIFO blocks until the other side opens it, reading until it closes.
        with pipes[0].open("wb"), pipes[1].open("wb"):
            pass
        assert [call.result() for call in calls] == [b"", b""]
        assert len(pool._idle) == 2


def test_a_process_that_was_killed_while_idle_is_replaced(
    pool: DecodingPool,
) -> None:
    """The next job runs in a new process."""
    process = pool.call(os.getpid)
    os.kill(process, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(process)], timeout=60)
    assert pool.call(os.getpid) != process


def test_an_answer_belongs_to_its_call(pool: DecodingPool) -> None:
    """An interrupted call leaves no answer for the next one."""

    def interrupt(*_: object) -> None:
        raise MemoryError

    before = signal.signal(signal.SIGUSR1, interrupt)
    here = threading.main_thread().ident
    assert here
    timer = threading.Timer(1.0, signal.pthread_kill, (here, signal.SIGUSR1))
    pool.call(len, b"")  # so that the process is there
    try:
        timer.start()
        with pytest.raises(MemoryError):
            pool.call(time.sleep, 50)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert pool.call(len, b"four") == 4


def test_closing_ends_the_processes() -> None:
    """`close` ends the idle processes."""
    with closing(DecodingPool(DecodingLimits(60.0, 256))) as pool:
        process = pool.call(os.getpid)
    assert not psutil.pid_exists(process)
