"""The spool keeps what it was given, whole or not at all."""

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
    """What is stored in parts lies in one file in `ready`, and none in `incoming`."""
    name = spool.store((b"head", memoryview(b"body")))
    assert spool.path(name).read_bytes() == b"headbody"
    assert list(spool.incoming.iterdir()) == []


def test_names_sort_by_time(spool: Spool) -> None:
    """The oldest comes first, however many arrive in a moment."""
    stored = [spool.store((b"x",)) for _ in range(50)]
    assert spool.names() == stored


def test_files_are_not_for_everybody(spool: Spool) -> None:
    """Patient data is readable by owner and group alone."""
    name = spool.store((b"x",))
    assert spool.path(name).stat().st_mode & 0o777 == 0o640


def test_the_reserve_is_kept(tmp_path: Path) -> None:
    """Nothing is stored that would eat into the reserve; the reason is said."""
    spool = Spool(tmp_path / "spool", reserve_mb=1 << 40)
    spool.prepare()
    with pytest.raises(SpoolFull):
        spool.store((b"x",))
    assert "are free" in str(spool.problem())
    assert spool.names() == []


def test_a_failure_leaves_nothing_behind(spool: Spool) -> None:
    """When the disk fails in the middle no file remains, neither half nor whole."""
    spool.ready.rmdir()
    with pytest.raises(FileNotFoundError):
        spool.store((b"x",))
    assert list(spool.incoming.iterdir()) == []


def test_leftovers_are_swept_and_ready_files_stay(spool: Spool) -> None:
    """After a crash what was half received goes, what was acknowledged stays."""
    (spool.incoming / "1-x.dcm").write_bytes(b"half")
    name = spool.store((b"whole",))
    assert spool.remove_leftovers() == 1
    assert spool.names() == [name]


def test_a_leftover_may_go_while_it_is_swept(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper of the listener before may still take its file away."""
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
    """A power cut takes no folder that was made, however deep it lies."""
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
    """Two indexers never work on one spool; a dead one's claim ends with it."""
    claim = spool.lock("indexer")
    with pytest.raises(SpoolInUse):
        Spool(spool.root).lock("indexer")
    spool.lock("listener").close()
    claim.close()
    Spool(spool.root).lock("indexer").close()


def test_a_missing_folder_is_a_problem(spool: Spool) -> None:
    """Readiness names the folder that cannot be written."""
    assert spool.problem() is None
    spool.incoming.rmdir()
    assert "incoming cannot be written" in str(spool.problem())


def test_removing_twice_is_nothing(spool: Spool) -> None:
    """A file that is already gone may be removed again after a crash."""
    name = spool.store((b"x",))
    spool.remove(name)
    spool.remove(name)
    assert spool.names() == []
