"""The archive: one file per digest, and no path from outside."""

import os
from pathlib import Path

import pytest

from veritag.errors import ArchiveUnavailable
from veritag.storage.archive import Archive

DIGEST = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty archive."""
    (tmp_path / "archive").mkdir()
    return Archive(tmp_path / "archive")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A durable file to put into the archive."""
    path = tmp_path / "source.dcm"
    path.write_bytes(b"content")
    return path


def test_what_is_put_is_there(archive: Archive, source: Path) -> None:
    """The content is found under the key, also after the source is deleted."""
    key = archive.put(source, DIGEST)
    archive.sync([key])
    source.unlink()
    assert archive.path(key).read_bytes() == b"content"


def test_gone_is_not_the_same_as_away(archive: Archive, source: Path) -> None:
    """A missing file has no size; a missing folder means that the archive is absent."""
    key = archive.put(source, DIGEST)
    assert archive.size(key) == len(b"content")
    archive.remove([key])
    assert archive.size(key) is None
    archive.path(key).parent.rmdir()
    with pytest.raises(ArchiveUnavailable, match="not there"):
        archive.size(key)


def test_putting_costs_no_copy(archive: Archive, source: Path) -> None:
    """On one file system the archive holds a hard link, not a second copy."""
    assert archive.path(archive.put(source, DIGEST)).samefile(source)


def test_without_hard_links_a_copy_is_made(
    archive: Archive, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Across file systems the content is copied, and no partial file remains."""

    def refuse(*_: object) -> None:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(os, "link", refuse)
    path = archive.path(archive.put(source, DIGEST))
    assert path.read_bytes() == b"content"
    assert not path.samefile(source)
    assert list(path.parent.iterdir()) == [path]


def test_the_same_digest_is_kept_once(archive: Archive, source: Path) -> None:
    """Putting the same digest again changes nothing."""
    key = archive.put(source, DIGEST)
    other = source.with_name("other.dcm")
    other.write_bytes(b"other")
    assert archive.put(other, DIGEST) == key
    assert archive.path(key).read_bytes() == b"content"


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", "ABC", DIGEST + "0"])
def test_only_digests_make_keys(archive: Archive, source: Path, digest: str) -> None:
    """Only a BLAKE2b-128 digest makes a key."""
    with pytest.raises(ValueError, match="digest"):
        archive.put(source, digest)


@pytest.mark.parametrize("key", ["../x.dcm", "/etc/passwd", "012/../x.dcm", ""])
def test_only_keys_lead_into_the_archive(archive: Archive, key: str) -> None:
    """A key with another form is refused, so that no path leaves the archive."""
    with pytest.raises(ValueError, match="key"):
        archive.path(key)


def test_a_missing_archive_is_a_reason_to_wait(archive: Archive, source: Path) -> None:
    """A write error is an ArchiveUnavailable, which callers retry."""
    archive.root.rmdir()
    archive.root.write_bytes(b"in the way")
    with pytest.raises(ArchiveUnavailable):
        archive.put(source, DIGEST)
    assert source.exists()
