"""A full disk: no instance is acknowledged without being stored, and none is removed."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.faults.failing_parts import Disk
from tests.faults.reception import (
    OFFER,
    data_of,
    files_by_uid,
    instance,
    listener,
    settings,
)
from tests.faults.steps import Recorder
from tests.integration.listener.wire import CT_IMAGE_STORAGE, Peer
from tests.real_parts import program
from tests.waiting import wait_for
from veritag.phantoms.series import phantom_series
from veritag.records import Records
from veritag.records.schema import receptions
from veritag.settings import Settings

_RESERVE_MB = 12
# Events of an indexer that waits for records or archive.
_WAITING = ("records_unavailable", "instance_not_indexed")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of 48 MB."""
    made = Disk(tmp_path, 48)
    made.make()
    if not made.is_own:
        pytest.skip("only root can mount a small file system")
    yield made
    made.remove()


@pytest.fixture
def small(disk: Disk, shim: Path, tmp_path: Path) -> Recorder:
    """A recorder of what happens on the small disk."""
    under = disk.path / "data"
    under.mkdir()
    return Recorder(shim, tmp_path / "steps.log", under)


def status_of(port: int, number: int, *, large: bool = False) -> int:
    """Send an instance; return the status."""
    uid, data = instance(number, large=large)
    with Peer(port).associate(OFFER) as peer:
        return peer.store(data, CT_IMAGE_STORAGE, uid).status


def storescu(port: int, paths: Sequence[Path]) -> str:
    """Send with DCMTK; return its output."""
    command = [program("storescu"), "-v", "-aec", "VERITAG", "-R", "--no-halt"]
    answer = subprocess.run(
        [*command, "127.0.0.1", str(port), *map(str, paths)],
        env={**os.environ, "TCP_NODELAY": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return answer.stdout + answer.stderr


@pytest.mark.parametrize("reception", ["fast", "stock"])
def test_below_the_reserve_instances_are_refused_before_they_are_written(
    small: Recorder, disk: Disk, reception: str
) -> None:
    """0xA700 while less than the reserve is free; later instances are accepted again."""
    variables = settings(small, reception)
    variables["VERITAG_DISK_RESERVE_MB"] = str(_RESERVE_MB)
    port = int(variables["VERITAG_DICOM_PORT"])
    with listener(small, variables):
        assert status_of(port, 1) == 0x0000
        disk.fill(_RESERVE_MB // 2)
        before = len(small.steps())
        assert status_of(port, 2) == 0xA700
        assert status_of(port, 3, large=True) == 0xA700
        touched = [s for s in small.steps()[before:] if "/spool/incoming" in s.path]
        assert [s for s in touched if s.name == "written"] == []
        disk.relieve()
        assert status_of(port, 2) == 0x0000
        assert status_of(port, 3, large=True) == 0x0000
    assert set(files_by_uid(small.under / "spool" / "ready")) == {
        "1.2.3.1",
        "1.2.3.2",
        "1.2.3.3",
    }


@pytest.mark.parametrize("reception", ["fast", "stock"])
def test_a_disk_that_is_full_to_the_last_byte(
    small: Recorder, disk: Disk, reception: str
) -> None:
    """Without a reserve an instance that cannot be written is refused without leftovers."""
    variables = settings(small, reception)
    port = int(variables["VERITAG_DICOM_PORT"])
    with listener(small, variables):
        assert status_of(port, 1) == 0x0000
        disk.fill(0)
        assert status_of(port, 2, large=True) == 0xA700
        incoming = small.under / "spool" / "incoming"
        wait_for(lambda: not list(incoming.iterdir()))
        disk.relieve()
        assert status_of(port, 2, large=True) == 0x0000
    ready = files_by_uid(small.under / "spool" / "ready")
    assert {uid: [data_of(p) for p in ready[uid]] for uid in ready} == {
        uid: [data] for uid, data in (instance(1), instance(2, large=True))
    }


def test_dcmtk_is_told_and_sends_again(
    small: Recorder, disk: Disk, tmp_path: Path
) -> None:
    """DCMTK receives Out of Resources, and its next attempt succeeds."""
    variables = settings(small)
    variables["VERITAG_DISK_RESERVE_MB"] = str(_RESERVE_MB)
    port = int(variables["VERITAG_DICOM_PORT"])
    paths = []
    for n, ds in enumerate(
        phantom_series("CT-HEAD", patient=1, instances=3, seed=5, size=64)
    ):
        paths.append(tmp_path / f"{n}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    with listener(small, variables):
        disk.fill(_RESERVE_MB // 2)
        output = storescu(port, paths)
        assert output.count("OutOfResources") == 3, output
        disk.relieve()
        output = storescu(port, paths)
        assert output.count("(Success)") == 3, output


@contextmanager
def indexing(
    recorder: Recorder, variables: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run an indexer."""
    process = recorder.start("services.indexer", "index", settings=variables)
    try:
        yield process
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def recorded(data_dir: Path) -> int:
    """Return how many receptions are recorded."""
    records = Records.open(Settings(data_dir=data_dir).records_url)
    try:
        with records.read() as connection:
            query = select(func.count()).select_from(receptions)
            return int(connection.scalar(query) or 0)
    finally:
        records.close()


def test_the_indexer_waits_while_the_disk_of_the_records_is_full(
    small: Recorder, disk: Disk
) -> None:
    """With spool, archive and records on one full disk the indexer waits, then continues."""
    variables = settings(small)
    port = int(variables["VERITAG_DICOM_PORT"])
    ready = small.under / "spool" / "ready"
    with listener(small, variables), indexing(small, variables) as indexer:
        assert status_of(port, 0) == 0x0000
        wait_for(lambda: not list(ready.iterdir()))
        # Stopped, so that it finds the instances only when the disk is full.
        indexer.send_signal(signal.SIGSTOP)
        assert [status_of(port, n) for n in range(1, 40)] == [0x0000] * 39
        disk.fill(0)
        indexer.send_signal(signal.SIGCONT)
        log = small.log.with_suffix(".err")
        wait_for(lambda: any(event in log.read_text() for event in _WAITING))
        here = set(files_by_uid(small.under))
        assert here == {f"1.2.3.{n}" for n in range(40)}
        disk.relieve()
        wait_for(lambda: not list(ready.iterdir()))
    assert recorded(small.under) == 40
    assert len(files_by_uid(small.under / "archive")) == 40


def test_the_indexer_waits_while_the_disk_of_the_archive_is_full(
    recorder: Recorder, disk: Disk
) -> None:
    """With the archive on a full disk the instances stay in the spool until there is room."""
    (disk.path / "archive").mkdir()
    (recorder.under / "archive").symlink_to(disk.path / "archive")
    variables = settings(recorder)
    port = int(variables["VERITAG_DICOM_PORT"])
    ready = recorder.under / "spool" / "ready"
    disk.fill(0)
    with listener(recorder, variables), indexing(recorder, variables):
        assert [status_of(port, n, large=True) for n in range(3)] == [0x0000] * 3
        log = recorder.log.with_suffix(".err")
        wait_for(lambda: log.read_text().count("instance_not_indexed") >= 3)
        assert len(list(ready.iterdir())) == 3
        assert recorded(recorder.under) == 0
        disk.relieve()
        wait_for(lambda: not list(ready.iterdir()))
    assert recorded(recorder.under) == 3
    assert not list(disk.path.rglob("*.part"))
    assert len(files_by_uid(disk.path / "archive")) == 3
