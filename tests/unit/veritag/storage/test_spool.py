"""The spool stores an instance completely or not at all."""

import os
from pathlib import Path

import pytest

from veritag.storage.spool import Spool, SpoolFull, SpoolInUse


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    return spool


def test_chunks_become_one_file(spool: Spool) -> None:
    """An instance stored in chunks is one file in `ready`; `incoming` is empty."""
    name = spool.store((b"head", memoryview(b"body")))
    assert spool.path(name).read_bytes() == b"headbody"
    assert list(spool.incoming.iterdir()) == []


def test_names_sort_by_time(spool: Spool) -> None:
    """Names are in the order of reception, also within one millisecond."""
    stored = [spool.store((b"x",)) for _ in range(50)]
    assert spool.names() == stored


def test_files_are_not_for_everybody(spool: Spool) -> None:
    """Patient data is readable by owner and group alone."""
    name = spool.store((b"x",))
    assert spool.path(name).stat().st_mode & 0o777 == 0o640


def test_the_reserve_is_kept(tmp_path: Path) -> None:
    """An instance that needs the reserve is refused, with the reason."""
    spool = Spool(tmp_path / "spool", reserve_mb=1 << 40)
    spool.prepare()
    with pytest.raises(SpoolFull):
        spool.store((b"x",))
    assert "are free" in str(spool.problem())
    assert spool.names() == []


def test_a_failure_leaves_nothing_behind(spool: Spool) -> None:
    """After a disk error neither a partial nor a complete file remains."""
    spool.ready.rmdir()
    with pytest.raises(FileNotFoundError):
        spool.store((b"x",))
    assert list(spool.incoming.iterdir()) == []


def test_leftovers_are_swept_and_ready_files_stay(spool: Spool) -> None:
    """After a crash partial files are deleted and acknowledged ones stay."""
    (spool.incoming / "1-x.dcm").write_bytes(b"half")
    name = spool.store((b"whole",))
    assert spool.remove_leftovers() == 1
    assert spool.names() == [name]


def test_a_leftover_may_go_while_it_is_swept(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper of an earlier listener may rename its file during the cleanup."""
    listed = Path.iterdir

    def list_then_take(folder: Path) -> list[Path]:
        found = list(listed(folder))
        found[0].rename(spool.ready / found[0].name)
        return found

    (spool.incoming / "1-x.dcm").write_bytes(b"whole")
    monkeypatch.setattr(Path, "iterdir", list_then_take)
    spool.remove_leftovers()
    assert spool.names() == ["1-x.dcm"]


def test_every_new_folder_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new folder, at any depth, is synced in its parent."""
    synced: set[int] = set()
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    data = tmp_path / "a" / "data"
    spool = Spool(data / "spool")
    spool.prepare()
    holding = (tmp_path, tmp_path / "a", data, spool.root)
    assert {folder.stat().st_ino for folder in holding} <= synced


def test_work_is_claimed_once(spool: Spool) -> None:
    """A second indexer on a spool is refused; the lock of a dead one is free."""
    claim = spool.lock("indexer")
    with pytest.raises(SpoolInUse):
        Spool(spool.root).lock("indexer")
    spool.lock("listener").close()
    claim.close()
    Spool(spool.root).lock("indexer").close()


def test_a_missing_folder_is_a_problem(spool: Spool) -> None:
    """The problem names the folder that cannot be written."""
    assert spool.problem() is None
    spool.incoming.rmdir()
    assert "incoming cannot be written" in str(spool.problem())


def test_removing_twice_is_nothing(spool: Spool) -> None:
    """Removing a missing file is no error: a crash may repeat the step."""
    name = spool.store((b"x",))
    spool.remove(name)
    spool.remove(name)
    assert spool.names() == []
