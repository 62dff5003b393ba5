"""A process for hostile files: whatever ends it costs one job."""

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
from veritag.pixels.decoding_process import DecodingLimits, DecodingProcess


@pytest.fixture(scope="module")
def confined() -> Iterator[DecodingProcess]:
    """Processes with little memory."""
    with closing(
        DecodingProcess(DecodingLimits(60.0, 256), "veritag.dicom.read_instance")
    ) as made:
        yield made


def _ended(limit: str) -> float:
    return (
        REGISTRY.get_sample_value("veritag_decoding_ended_total", {"limit": limit}) or 0
    )


def test_a_result_comes_back_and_the_process_stays(confined: DecodingProcess) -> None:
    """Two calls are answered by one process, which is not ours."""
    first, second = confined.call(os.getpid), confined.call(os.getpid)
    assert first == second != os.getpid()


def test_an_endless_job_is_ended() -> None:
    """After its time the process is killed, the reason told, and a fresh one works."""
    with closing(DecodingProcess(DecodingLimits(5.0, 256))) as confined:
        before, process = _ended("time"), confined.call(os.getpid)
        started = time.monotonic()
        with pytest.raises(DecodingEnded, match="longer than 5 s") as ended:
            confined.call(time.sleep, 600)
        assert time.monotonic() - started < 60
        assert ended.value.limit == "time"
        assert not psutil.pid_exists(process)
        assert confined.call(os.getpid) != process
    assert _ended("time") == before + 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_crash_ends_that_process_alone(
    confined: DecodingProcess, number: signal.Signals
) -> None:
    """A decoder that crashes is told by the signal's name."""
    with pytest.raises(DecodingEnded, match=f"crashed .{number.name}"):
        confined.call(signal.raise_signal, number)
    assert confined.call(len, b"four") == 4


def test_a_kill_is_told_as_lack_of_memory(confined: DecodingProcess) -> None:
    """Nobody but the system's own killer does that."""
    with pytest.raises(DecodingEnded, match="lack of memory") as ended:
        confined.call(signal.raise_signal, signal.SIGKILL)
    assert ended.value.limit == "memory"


def test_memory_is_limited(confined: DecodingProcess) -> None:
    """What asks for more is refused, counted, and the process goes on."""
    before, process = _ended("memory"), confined.call(os.getpid)
    with pytest.raises(UnusableInstance, match="not enough memory"):
        confined.call(bytearray, 300 << 20)
    assert confined.call(len, bytes(1 << 20)) == 1 << 20
    assert confined.call(os.getpid) == process
    assert _ended("memory") == before + 1


def test_what_is_wrong_with_a_file_is_told_as_always(
    confined: DecodingProcess, tmp_path: Path
) -> None:
    """An error of Veritag arrives as it was raised."""
    path = tmp_path / "empty"
    path.touch()
    with pytest.raises(UnusableInstance, match="the file is empty"):
        confined.call(open_instance, path)


def test_a_foreign_error_quotes_nothing(confined: DecodingProcess) -> None:
    """The text of a library's error may hold patient data."""
    with pytest.raises(DecodingEnded, match="unexpected ValueError") as ended:
        confined.call(int, "DOE^JANE")
    assert "JANE" not in str(ended.value)


def test_nothing_is_written(
    confined: DecodingProcess, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No file gets content, and what libraries print goes nowhere."""
    with pytest.raises(DecodingEnded):
        confined.call(Path.write_bytes, tmp_path / "x", bytes(100))
    assert not (tmp_path / "x").exists() or (tmp_path / "x").stat().st_size == 0
    confined.call(print, "DOE^JANE")
    assert confined.call(len, b"") == 0
    assert capfd.readouterr() == ("", "")


def test_threads_have_a_process_each(tmp_path: Path) -> None:
    """Calls at the same time do not wait for one another, and are kept afterwards."""
    pipes = tmp_path / "one", tmp_path / "other"
    for pipe in pipes:
        os.mkfifo(pipe)
    with (
        closing(DecodingProcess(DecodingLimits(60.0, 256))) as confined,
        ThreadPoolExecutor(2) as pool,
    ):
        calls = [pool.submit(confined.call, Path.read_bytes, pipe) for pipe in pipes]
        # Opening waits for who reads, and who reads waits for the end.
        with pipes[0].open("wb"), pipes[1].open("wb"):
            pass
        assert [call.result() for call in calls] == [b"", b""]
        assert len(confined._idle) == 2


def test_a_process_that_was_killed_while_idle_is_replaced(
    confined: DecodingProcess,
) -> None:
    """Nobody's job fails because of it."""
    process = confined.call(os.getpid)
    os.kill(process, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(process)], timeout=60)
    assert confined.call(os.getpid) != process


def test_an_answer_goes_to_who_has_asked(confined: DecodingProcess) -> None:
    """Who is interrupted while waiting leaves no answer for the next one's question."""

    def interrupt(*_: object) -> None:
        raise MemoryError

    before = signal.signal(signal.SIGUSR1, interrupt)
    here = threading.main_thread().ident
    assert here
    timer = threading.Timer(1.0, signal.pthread_kill, (here, signal.SIGUSR1))
    confined.call(len, b"")  # so that the process is there
    try:
        timer.start()
        with pytest.raises(MemoryError):
            confined.call(time.sleep, 50)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert confined.call(len, b"four") == 4


def test_closing_ends_the_processes() -> None:
    """Nothing is left behind."""
    with closing(DecodingProcess(DecodingLimits(60.0, 256))) as confined:
        process = confined.call(os.getpid)
    assert not psutil.pid_exists(process)
