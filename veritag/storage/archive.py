"""The archive: every instance once, under a key made from its digest.

A key never contains received text. Files are written once and never changed; putting
the same instance again changes nothing.
"""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from veritag.errors import ArchiveUnavailable
from veritag.storage.spool import make_folder, sync_folder

_DIGEST = re.compile(r"[0-9a-f]{32}\Z")
_KEY = re.compile(r"[0-9a-f]{3}/[0-9a-f]{32}\.dcm\Z")
# Errors that mean: no hard link is possible between these folders, copy instead.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES}


class Archive:
    """A folder of instances."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @staticmethod
    def key(digest: str) -> str:
        """Return the key of a digest (BLAKE2b-128, hex)."""
        if not _DIGEST.match(digest):
            raise ValueError("not a BLAKE2b-128 digest")
        return f"{digest[:3]}/{digest}.dcm"

    def path(self, key: str) -> Path:
        """Return the file of a key."""
        if not _KEY.match(key):
            raise ValueError("not an archive key")
        return self.root / key

    def put(self, source: Path, digest: str) -> str:
        """Store a durable file under its digest; return the key. Idempotent.

        The entry survives a power cut only after `sync`, even if it existed before: the
        process that made it may have ended before its own `sync`.

        Raises
        ------
        ArchiveUnavailable
            If the file cannot be written; the source is unchanged.
        """
        key = self.key(digest)
        target = self.path(key)
        try:
            if not target.exists():
                self._make_folder(target.parent)
                _link_or_copy(source, target)
        except OSError as error:
            raise _unavailable(error) from error
        return key

    def sync(self, keys: Iterable[str]) -> None:
        """Make the entries of these keys durable.

        Separate from `put`: the fsync of one folder writes the journal of the file
        system, so that the following ones cost little.

        Raises
        ------
        ArchiveUnavailable
            If the disk fails.
        """
        try:
            for folder in {self.path(key).parent for key in keys}:
                sync_folder(folder)
        except OSError as error:
            raise _unavailable(error) from error

    def remove(self, keys: Sequence[str]) -> None:
        """Delete instances; a missing one is not an error.

        Raises
        ------
        ArchiveUnavailable
            If the disk fails; some may be deleted, and the call may be repeated.
        """
        paths = [self.path(key) for key in keys]
        try:
            for path in paths:
                path.unlink(missing_ok=True)
            for folder in {path.parent for path in paths if path.parent.is_dir()}:
                sync_folder(folder)
        except OSError as error:
            raise _unavailable(error) from error

    def size(self, key: str) -> int | None:
        """Return the size of an instance in bytes, None where it was deleted.

        Raises
        ------
        ArchiveUnavailable
            If the archive cannot be read, or its folder is missing, as on an empty
            mount point.
        """
        path = self.path(key)
        try:
            return _size(path)
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            raise ArchiveUnavailable(
                f"the archive {self.root} is not there or cannot be read: {reason}"
            ) from error

    def free_bytes(self) -> int:
        """Return the free bytes of its file system; 0 if the folder is missing."""
        try:
            return shutil.disk_usage(self.root).free
        except OSError:
            return 0

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        make_folder(folder)
        # Another process may have made the folder and ended before its fsync.
        sync_folder(self.root)
        sync_folder(self.root.parent)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        # Folders are never deleted: if the folder is missing too, the archive is absent.
        if path.parent.is_dir():
            return None
        raise


def _unavailable(error: OSError) -> ArchiveUnavailable:
    reason = os.strerror(error.errno or errno.EIO)
    return ArchiveUnavailable(f"the archive cannot be written: {reason}")


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        return  # another process has stored the same bytes meanwhile
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        shutil.copyfile(source, part)
        # fsync before rename: a power cut must not leave an empty file under the key.
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
